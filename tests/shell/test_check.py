"""`avi-shell --check`: what lines would do; nothing is changed by it."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from avi_shell.__main__ import main
from avi_shell.configuration import transfer
from avi_shell.configuration.candidate import Candidate
from avi_shell.configuration.configuration import Configuration
from avi_shell.fronts.batch import Batch
from avi_shell.session.rehearsal import Rehearsal
from avi_shell.session.session import Session
from avi_shell.session.source import Source
from tests.configuration.test_candidate import stepped

from .conftest import ROOT, VIRTUAL_SERVICE, Run

LINES = VIRTUAL_SERVICE.splitlines()


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the memory that SQLite shares among who reads."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {str(path): path.read_bytes() for path in files}


def checked(state: Path, *lines: str) -> int:
    return main(["--state", str(state), "--check", *(word for line in lines for word in ("-c", line))])


def as_json(capsys: pytest.CaptureFixture[str], state: Path, *lines: str) -> tuple[int, dict[str, object]]:
    status = main(["--state", str(state), "--check", "--json", *(word for line in lines for word in ("-c", line))])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture
def stored(state: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Path]:
    """A state directory with a virtual service."""
    assert main(["--state", str(state), "-c", VIRTUAL_SERVICE]) == 0
    capsys.readouterr()
    before = contents(state)
    yield state
    assert contents(state) == before


def test_what_would_change(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ("configure pool p1 servers index 1 enabled false", "save", "save", "delete virtualservice vs1")
    assert checked(stored, *lines) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [[cell.strip() for cell in line.split("|")[1:5]] for line in table][1:4] == [
        ["Pool p1", "servers[10.1.1.10:80].enabled", "True", "False"],
        ["VirtualService vs1", "", "stored", "deleted"],
        ["VirtualService vs1", "services[80]", "port 80 port_range_end 80", ""],
    ]
    status, told = as_json(capsys, stored, *lines)
    assert (status, told["ok"], told["lines"], told["faults"]) == (0, True, 4, [])
    changes = told["changes"]
    assert isinstance(changes, list)
    assert [(one["name"], one["change"]) for one in changes] == [("p1", "update"), ("vs1", "delete")]


def test_nothing_would_change(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(stored, "show pool", "configure pool p1 enabled", "save") == 0
    assert capsys.readouterr().out == "Nothing is changed.\n3 lines can be run: 0 changed objects.\n"


def test_every_line_that_would_be_refused(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    twice = VIRTUAL_SERVICE.replace(" vs1", " vs2").replace(" p1", " p2").replace(" v1", " v2")
    path.write_text(f"configure pool p3 nonsense\nsave\n{twice}delete pool p9\nconfigure session\nsave\n{twice}")
    argv = ["--state", str(stored), "--check", "-f", str(path)]
    assert main(argv) == 1
    told = capsys.readouterr()
    assert told.out == ""
    places = [line.removeprefix(f"{path}:").split(": ")[0:2] for line in told.err.splitlines()]
    count = len(LINES)
    assert places == [[str(line), "error"] for line in (1, count + 2, count + 3, 2 * count + 6)]
    assert "another VIP, protocol or port" in told.err
    assert main([*argv, "--json"]) == 1
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert [(fault["file"], fault["line"]) for fault in faults] == [(str(path), int(line)) for line, _ in places]


def test_what_passes_can_be_run(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (VIRTUAL_SERVICE, f"configure session\n{VIRTUAL_SERVICE}commit session\n"):
        assert checked(state, *text.splitlines()) == 0
        assert main(["--state", str(state), "-c", text]) == 0


@pytest.mark.parametrize("seed", range(6))
def test_what_is_checked_is_what_is_run(seed: int) -> None:
    random, stored, other = Random(seed), Configuration.in_memory(), Configuration.in_memory()
    stepped(stored, random, 6)
    stepped(other, random, 14)
    lines = transfer.running_config(other, "*")
    for _ in range(random.choice([0, 1, 2, 5])):
        at = random.randrange(len(lines))
        odd = [
            "configure session",
            "commit session",
            "delete pool p1",
            '"x',
            "exit",
            "save",
            "rollback 1",
            lines[at][:-1],
        ]
        lines[at : at + random.randrange(2)] = [random.choice(odd)]
    candidate = Candidate(stored, lenient=False)
    tried = Rehearsal(Session(candidate.configuration, Path("/nonexistent")))
    tried.run([Source("file", list(lines))])
    out, err = io.StringIO(), io.StringIO()
    status = Batch(Session(stored, Path("/nonexistent")), out=out, err=err).run([Source("file", lines)])
    if status == 0:
        assert tried.faults == []
        assert transfer.running_config(stored, "*") == transfer.running_config(candidate.configuration, "*")
    else:
        assert tried.faults[0].path.split(": ")[0] == err.getvalue().split(": error")[0]


def test_no_state_directory_is_made(shell: Run, state: Path) -> None:
    done = shell("--check", stdin=VIRTUAL_SERVICE)
    assert done.stdout.endswith(f"{len(LINES)} lines can be run: 4 changed objects.\n")
    assert (done.stderr, done.returncode) == ("", 0)
    assert not state.exists()


def test_files_are_not_written(stored: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert checked(stored, f"export configuration file {target}", f"show pool | save {target}", "exit", "nonsense") == 0
    assert not target.exists()


def test_what_another_shell_has_not_checkpointed_is_seen(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configuration = Configuration.open(state)
    configuration.save("pool", {"name": "p1"}, "admin")
    before = contents(state)
    assert checked(state, "delete pool p1") == 0
    assert contents(state) == before
    assert checked(state, "delete pool p2") == 1
    configuration.close()


@pytest.mark.parametrize("words", [("--engine", "eth0"), ("--wait", "5"), ("--transcript",), ("--store", "etcd://h/c")])
def test_it_goes_with_nothing_that_runs_something(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--check", "-c", "show pool", *words])
    assert caught.value.code == 2
    assert "error: --check" in capsys.readouterr().err


def test_a_terminal_alone_is_nothing_to_check(state: Path) -> None:
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "avi_shell", "--state", str(state), "--check"]
    done = subprocess.run(
        command, stdin=child, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    os.close(parent)
    os.close(child)
    assert done.returncode == 2
    assert done.stderr == "avi-shell: error: --check is about lines: -f FILE, -c LINE, or standard input\n"


def test_a_damaged_store_is_named(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state.mkdir()
    (state / "config.db").write_bytes(b"nonsense" * 1000)
    assert checked(state, "show pool") == 4
    assert "file is not a database" in capsys.readouterr().err
