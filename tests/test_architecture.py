"""The arrows between the rooms point in one direction."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("grammar", "avi_shell", "dataplane")
ALLOWED = {
    "grammar": ("grammar",),
    "dataplane": ("dataplane",),
    "avi_shell": (
        "avi_shell",
        "grammar",
        "dataplane.plan",
        "dataplane.client",
        "dataplane.errors",
        "dataplane.foreign",
        "dataplane.statedir",
        "dataplane.server.recipe",
    ),
}
TOP_LEVEL = {
    "avi_shell", "grammar", "dataplane", "tests", "examples",
    "README.md", "setup.cfg", "pyproject.toml", "ruff.toml", "Makefile", "LICENSE", ".ci", ".gitignore",
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Every module of ours that a file imports, absolute, with the names imported from packages."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= names if (ROOT / module.replace(".", "/")).is_dir() else {module}
    return {name for name in found if name.split(".")[0] in ROOMS}


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may_know(room: str) -> None:
    for path in sources(room):
        for name in imports(path):
            allowed = any(name == ok or name.startswith(f"{ok}.") for ok in ALLOWED[room])
            assert allowed, f"{path.relative_to(ROOT)} imports {name}"


def test_the_walk_sees_what_is_there() -> None:
    assert "dataplane.plan" in imports(ROOT / "dataplane" / "engine" / "engine.py")
    assert "dataplane.errors" in imports(ROOT / "dataplane" / "engine" / "engine.py")


@pytest.mark.parametrize("path", [p for p in sources("avi_shell") if p.name not in ("terminal.py", "__main__.py")])
def test_only_the_terminal_front_knows_prompt_toolkit(path: Path) -> None:
    tree = ast.parse(path.read_text())
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    assert not any((m or "").startswith("prompt_toolkit") for m in modules)


def test_the_top_level_holds_only_what_it_must() -> None:
    import subprocess

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split("/")[0] for line in tracked.splitlines()} <= TOP_LEVEL
