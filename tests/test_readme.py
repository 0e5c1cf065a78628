"""README and manual: their commands and sessions work as printed, and their pages can be shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from avi_shell import manual
from grammar.pages import PAGES
from grammar.tree import verb_help

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES_OF_FILES = [README, *sorted(manual.HERE.glob("*.md"))]
BIN = Path(sys.executable).parent

_BLOCK = re.compile(r"^```(\w*)(?: after (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLE, _BAR = re.compile(r"(?:^\|.*\n)+", re.MULTILINE), re.compile(r"(?<!\\)\|")
BLOCKS = [(page.name, *found) for page in PAGES_OF_FILES for found in _BLOCK.findall(page.read_text("utf-8"))]
"""Page, language, what a session stands on ("" for a fresh store), text."""
SCRIPTS = [(page, text) for page, language, _, text in BLOCKS if language == "sh"]
SESSIONS = [(page, before, text) for page, language, before, text in BLOCKS if language == "session"]
TEXTS = [(page, text) for page, language, _, text in BLOCKS if language == "text"]
SEEN = (ROOT / "tests" / "README.md").read_text("utf-8").split("## Seen to work")[1]
SELECTIONS = re.findall(r"`\.venv/bin/pytest ([^`]+)`", SEEN)


def run(words: list[str], state: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "AVI_SHELL_STATE": str(state)}
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("page", "before", "session"), SESSIONS, ids=[f"{page}-{text[:30]!r}" for page, _, text in SESSIONS]
)
def test_a_session_works_as_printed(page: str, before: str, session: str, tmp_path: Path) -> None:
    (tmp_path / "session").write_text(session, "utf-8")
    files = [word for path in (before, str(tmp_path / "session")) if path for word in ("-f", path)]
    done = run(["avi-shell", "--transcript", *files], tmp_path / "state")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    for line in session.splitlines():
        assert any(line == one or one.endswith(f"> {line}") for one in shown), line


def test_the_readmes_service_is_twenty_lines_and_becomes_a_service(tmp_path: Path) -> None:
    (session,) = (text for page, _, text in SESSIONS if page == README.name)
    assert len(session.splitlines()) == 20
    (tmp_path / "session").write_text(session, "utf-8")
    asked = ["-c", "show virtualservice | count", "-c", "export configuration file " + str(tmp_path / "export.json")]
    done = run(["avi-shell", "-f", str(tmp_path / "session"), *asked], tmp_path / "state")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2] == "1"
    done = run(["avi-shell", "compile", str(tmp_path / "export.json"), str(tmp_path / "plan.json")], tmp_path / "state")
    assert done.returncode == 0, done.stderr
    assert "192.168.1.100" in (tmp_path / "plan.json").read_text("utf-8")


@pytest.mark.parametrize(("page", "script"), SCRIPTS, ids=[f"{s[0]} {s[1][:30]!r}" for s in SCRIPTS])
def test_the_commands_work_as_printed(page: str, script: str, tmp_path: Path) -> None:
    done = run(["bash", "-euc", script.replace("/tmp/avi", str(tmp_path / "avi"))], tmp_path / "state")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_block_says_what_it_is() -> None:
    assert {language for _, language, _, _ in BLOCKS} == {"sh", "session", "text"}
    assert len(SCRIPTS) >= 2
    assert len(SESSIONS) >= 3


def test_the_pages_that_help_lists_are_the_files() -> None:
    assert set(PAGES) == {path.stem for path in manual.HERE.glob("*.md")}
    assert not set(PAGES) & set(verb_help())
    linked = re.findall(r"\]\(avi_shell/manual/([\w-]+)\.md\)", README.read_text("utf-8"))
    assert set(linked) == set(PAGES)


def test_the_pictures_are_there_small_and_load_nothing() -> None:
    linked = re.findall(r"\]\(avi_shell/manual/pictures/([\w.]+)\)", README.read_text("utf-8"))
    taken = {path.name: path for path in (manual.HERE / "pictures").iterdir()}
    assert set(linked) == set(taken)
    assert sum(path.stat().st_size for path in taken.values()) < 200_000
    for path in taken.values():
        if path.suffix == ".svg":
            drawn = path.read_text("utf-8")
            assert "url(http" not in drawn
            assert "href" not in drawn
            assert "down" in drawn.lower()  # what it shows is a service with a dead server


def test_help_shows_every_page(tmp_path: Path) -> None:
    done = run(["avi-shell", *(word for name in PAGES for word in ("-c", f"help {name}"))], tmp_path / "state")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(f"{manual.page(name)}\n" for name in PAGES)


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 120


@pytest.fixture(scope="module")
def collected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of all tests there are: this run's own, where it collected all of them."""
    options = request.config.option
    if request.config.args == request.config.getini("testpaths") and not (options.keyword or options.markexpr):
        return [item.nodeid for item in request.session.items]
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
    done = run(words, tmp_path_factory.mktemp("collect") / "state")
    assert done.returncode == 0, done.stdout[-2000:]
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_the_named_tests_exist(selection: str, collected: list[str]) -> None:
    for path in selection.split():
        assert any(name == path or name.startswith((f"{path}::", f"{path}/", f"{path}[")) for name in collected), path


def test_the_page_about_tests_names_what_is_there() -> None:
    tests = Path(__file__).parent
    page = (tests / "README.md").read_text("utf-8")
    assert len(SELECTIONS) >= 5
    folders = {path.parent.name for path in tests.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", page, re.MULTILINE)) == folders
    for path in re.findall(r"`([\w/]+/[\w.]+\.\w+)`", page):
        assert (tests / path).exists() or (ROOT / path).exists(), path
    recipes = dict(re.findall(r"^([\w-]+):.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"^\| `make ([\w-]+)", page, re.MULTILINE))
    assert named <= set(recipes)
    assert {target for target, recipe in recipes.items() if "tests" in recipe} - {"manual"} <= named


def test_every_row_of_a_table_has_the_cells_of_its_head() -> None:
    """Others are shown under another column's name, or not at all."""
    ours = [page for page in ROOT.glob("[a-z]*/**/README.md") if ROOT / "build" not in page.parents]
    pages = {*PAGES_OF_FILES, *ours}
    tables = [found for page in pages for found in _TABLE.findall(_BLOCK.sub("", page.read_text("utf-8")))]
    assert len(tables) > 20
    for head, *rows in map(str.splitlines, tables):
        assert [row for row in rows if len(_BAR.findall(row)) != len(_BAR.findall(head))] == []


@pytest.mark.root
def test_make_demo(tmp_path: Path) -> None:
    done = run(["make", "demo"], tmp_path / "state")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "everything was seen" in done.stdout
