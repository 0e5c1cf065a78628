"""The README's commands and session, as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drivers import every_driver

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text("utf-8")
BIN = Path(sys.executable).parent

SCRIPTS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SESSION = re.findall(r"<!-- session -->\n```\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
LATER_SESSIONS = re.findall(r"<!-- session after (\S+) -->\n```\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SELECTIONS = re.findall(r"`\.venv/bin/pytest ([^`]+)`", TEXT)


def run(words: list[str], state: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "AVI_SHELL_STATE": str(state)}
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_session_works_as_printed(tmp_path: Path) -> None:
    (session,) = SESSION
    (tmp_path / "session").write_text(session, "utf-8")
    done = run(["avi-shell", "--transcript", "-f", str(tmp_path / "session")], tmp_path / "state")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    for line in session.splitlines():
        assert line in shown
    done = run(["avi-shell", "-c", "show networkprofile dsr-l2"], tmp_path / "state")
    assert "DSR_TYPE_L2" in done.stdout


@pytest.mark.parametrize(("before", "session"), LATER_SESSIONS, ids=[before for before, _ in LATER_SESSIONS])
def test_a_session_works_after_another_as_printed(before: str, session: str, tmp_path: Path) -> None:
    (tmp_path / "session").write_text(session, "utf-8")
    done = run(["avi-shell", "--transcript", "-f", before, "-f", str(tmp_path / "session")], tmp_path / "state")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    for line in session.splitlines():
        assert line in shown


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.splitlines()[0])
def test_the_commands_work_as_printed(script: str, tmp_path: Path) -> None:
    done = run(["bash", "-euc", script.replace("/tmp/avi", str(tmp_path / "avi"))], tmp_path / "state")
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_something_to_run() -> None:
    assert len(SCRIPTS) >= 1
    assert len(SELECTIONS) >= 5


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of all tests there are."""
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
    folders = {path.parent.name for path in tests.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", page, re.MULTILINE)) == folders
    for path in re.findall(r"`([\w/]+/[\w.]+\.\w+)`", page):
        assert (tests / path).exists() or (ROOT / path).exists(), path
    for target in re.findall(r"^\| `make ([\w-]+)", page, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


@pytest.mark.root
@every_driver
def test_make_demo(driver: str, tmp_path: Path) -> None:
    done = run(["make", "demo", f"DRIVER={driver}"], tmp_path / "state")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "everything was seen" in done.stdout
