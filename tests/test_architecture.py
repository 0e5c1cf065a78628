"""The rooms are as their pages say: what a package holds and may import, no circles, words and sizes of the house."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import architecture

ROOT = Path(__file__).parent.parent
TOP_LEVEL = {
    "avi_shell", "grammar", "dataplane", "tests", "examples", "distribution",
    "README.md", "setup.cfg", "pyproject.toml", "ruff.toml", "Makefile", "LICENSE", ".ci", ".gitignore",
}  # fmt: skip
BEYOND = {"grammar": (), "dataplane": (), "avi_shell": ("grammar", "dataplane")}
"""Of each room, the other rooms that it may know at all."""
KNOWN_OF_DATAPLANE = {
    "dataplane.plan", "dataplane.client", "dataplane.cluster", "dataplane.drawing", "dataplane.errors",
    "dataplane.events", "dataplane.foreign", "dataplane.impact", "dataplane.membership", "dataplane.placement",
    "dataplane.ratehistory", "dataplane.server.recipe", "dataplane.statedir", "dataplane.version",
    "dataplane.wording",
}  # fmt: skip
"""All that the shell may know of the dataplane."""
LONGEST = 400
"""Lines of a module."""
TABLES = {"tests/packets/cases.py", "tests/configuration/rulesrefused.py"}
"""Modules that are tables of data, and may be longer."""


def tracked(*patterns: str) -> list[Path]:
    told = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in told.splitlines() if (ROOT / line).exists()]


def test_the_packages_are_as_their_pages_say() -> None:
    assert architecture.faults(ROOT) == []


def test_the_rooms_know_of_each_other_only_what_they_may() -> None:
    for name, row in architecture.table(ROOT).items():
        room = name.split(".")[0]
        for one in row.imports:
            assert one.split(".")[0] in (room, *BEYOND[room]), f"{name} may import {one}"
            assert room != "avi_shell" or not one.startswith("dataplane") or one in KNOWN_OF_DATAPLANE, one


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the rooms' sources and pages."""
    folder = tmp_path_factory.mktemp("rooms")
    for room in architecture.ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__", "*.o", "*.so"))
    return folder


class TestThePlanted:
    """The walk finds what is planted in a copy."""

    @pytest.fixture
    def copy(self, rooms: Path) -> Iterator[Path]:
        """The copy, without what the last test planted."""
        before = {path: path.read_bytes() for path in rooms.rglob("*") if path.suffix in (".py", ".md")}
        yield rooms
        for path in [path for path in rooms.rglob("*") if path.suffix in (".py", ".md")]:
            if path not in before:
                path.unlink()
            elif path.read_bytes() != before[path]:
                path.write_bytes(before[path])

    @pytest.mark.parametrize(
        ("module", "line", "fault"),
        [
            (
                "grammar/schema.py",
                "import dataplane.plan",
                "grammar.schema imports dataplane.plan, which grammar may not",
            ),
            (
                "dataplane/plan/model.py",
                "from dataplane.engine.engine import Engine",
                "dataplane.plan.model imports dataplane.engine.engine, which dataplane.plan may not",
            ),
            (
                "avi_shell/output/result.py",
                "if TYPE_CHECKING:\n    from avi_shell.session.session import Session",
                "avi_shell.output.result imports avi_shell.session.session, which avi_shell.output may not",
            ),
            (
                "dataplane/forwarding/values.py",
                "def late():\n    from dataplane.forwarding import decision",
                "modules import each other in a circle: dataplane.forwarding.",
            ),
            (
                "dataplane/network/routes.py",
                "from dataplane.health import checker",
                "packages import each other in a circle: dataplane.",
            ),
        ],
    )
    def test_import_is_found(self, copy: Path, module: str, line: str, fault: str) -> None:
        path = copy / module
        path.write_text(f"{path.read_text()}\n{line}\n")
        assert any(found.startswith(fault) for found in architecture.faults(copy))

    def test_package_is_found(self, copy: Path) -> None:
        (copy / "dataplane" / "attic").mkdir()
        (copy / "dataplane" / "attic" / "old.py").write_text('"""Old things."""\nX = 1\n')
        assert "no table names dataplane.attic" in architecture.faults(copy)

    def test_untrue_row_is_found(self, copy: Path) -> None:
        page = copy / "dataplane" / "README.md"
        page.write_text(page.read_text().replace("| `dataplane.errors` | ", "| `dataplane.errors` | Not "))
        assert any("dataplane.errors" in found for found in architecture.faults(copy))


def test_only_the_terminal_front_knows_prompt_toolkit() -> None:
    for path in tracked("avi_shell/*.py"):
        modules = {n.module or "" for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)}
        if any(module.startswith("prompt_toolkit") for module in modules):
            assert path.name in ("terminal.py", "__main__.py")


def test_the_top_level_holds_only_what_it_must() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP_LEVEL


def test_a_module_is_read_in_one_sitting() -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in tracked("*.py", "*.c", "*.h")
    }
    assert lines
    assert {path: count for path, count in lines.items() if count > LONGEST and path not in TABLES} == {}


def _sources() -> list[Path]:
    return [path for path in tracked("*.py", "*.c", "*.h", "*.md", "*.avi") if path != Path(__file__)]


def test_the_word_way_names_one_thing() -> None:
    """The way back: a server's direct answer to the client. All else has a term of the field."""
    found = []
    for path in _sources():
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            for word in re.finditer(r"(?<![A-Za-z])(way|ways)(?![A-Za-z])", line, re.IGNORECASE):
                if not re.match(r"ways?[ _]back(?![a-z])", line[word.start() :], re.IGNORECASE):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def _told_far_off(path: Path) -> Iterator[str]:
    """Fields of dataclasses and named tuples that the class's docstring explains, instead of their own line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ClassDef):
            continue
        marks = [ast.unparse(one) for one in (*node.decorator_list, *node.bases)]
        if not any(mark.startswith("dataclass") or mark == "NamedTuple" for mark in marks):
            continue
        told = ast.get_docstring(node) or ""
        for field in node.body:
            if isinstance(field, ast.AnnAssign) and re.search(rf"(^|[.;]\s){ast.unparse(field.target)}: ", told):
                yield f"{path.relative_to(ROOT)}:{field.lineno}: {ast.unparse(field.target)}"


def test_fields_are_explained_where_they_are_declared() -> None:
    assert [
        far for path in tracked("avi_shell/*.py", "grammar/*.py", "dataplane/*.py") for far in _told_far_off(path)
    ] == []
