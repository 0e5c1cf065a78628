"""`save confirm <minutes>` and `confirm`, as operators meet them; and who undoes when nobody confirms."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from avi_shell.__main__ import main
from avi_shell.configuration import confirming
from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import InvalidFile, StoreError
from avi_shell.output.render import message
from avi_shell.session.session import Session

from .conftest import ROOT, Run, Typist

PROMPT = "[admin:10-1-1-1]: > "
NEW = "configure pool p1"


def pools(session: Session) -> list[str]:
    return session.stored.names("pool", "admin")


def waits(session: Session) -> tuple[tuple[int, ...], float]:
    """Which commits wait, and the minutes they have."""
    found = confirming.waiting(session.stored)
    return (found.commits, found.seconds / 60) if found is not None else ((), 0)


def refusal(session: Session, line: str) -> str:
    """Why a line is refused."""
    error = session.run(line).error
    assert error is not None
    return message(error)


def hasten(state: Path, seconds: float) -> None:
    """What waits in a store has so many seconds from now on: minutes are for operators."""
    with closing(sqlite3.connect(state / "config.db")) as store, store:
        done = store.execute("UPDATE unconfirmed SET deadline = ?, seconds = ?", (time.time() + seconds, seconds))
        assert done.rowcount


def over(session: Session) -> None:
    """What waits in a session's store has no time left."""
    with session.stored.transaction() as store:
        store.connection.execute("UPDATE unconfirmed SET deadline = deadline - seconds")


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([NEW, "save confirm 5"], ((1,), 5)),
        ([NEW, "sa con 1440"], ((1,), 1440)),
        ([NEW, 'save confirm 5 comment "why"'], ((1,), 5)),
        ([NEW, 'save comment "why" confirm 5'], ((1,), 5)),
        ([NEW, "servers ip 10.1.1.1 port 80", "save confirm 7", "save"], ((1,), 7)),
        ([NEW, "servers ip 10.1.1.1 port 80", "save confirm 7", "exit"], ((1,), 7)),
        ([NEW, "save confirm 5", "configure pool p2", "save confirm 9"], ((1, 2), 9)),
        ([NEW, "save confirm 5", "save confirm 9"], ((1,), 9)),
        ([NEW, "save confirm 5", "configure pool p2", "save"], ((1,), 5)),
        ([NEW, "save confirm 5", "configure pool p2", "confirm", "cancel"], ((), 0)),
        ([NEW, "save", NEW, "save confirm 5"], ((), 0)),
        ([NEW, "save", "rollback 0 confirm 3"], ((2,), 3)),
        ([NEW, "save confirm 5", "rollback 0"], ((), 0)),
        (["configure session", NEW, "save", "commit session confirm 4"], ((1,), 4)),
        ([NEW, "save confirm 5", "configure session", "confirm", "discard session"], ((), 0)),
        (["load merge lines confirm 6 comment x"], ((1,), 6)),
    ],
)
def test_a_commit_waits_as_long_as_its_save_says(
    session: Session, lines: list[str], left: tuple[object, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lines").write_text(f"{NEW}\nsave\n")
    for line in lines:
        result = session.run(line)
        assert result.ok, (line, result.error)
    assert waits(session) == left


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("save confirm", "the line ends after 'confirm', where more must follow; expected: <1-1440>"),
        ("save confirm 0", "'0' is no time to confirm in; expected: <1-1440> min"),
        ("save confirm 1441", "'1441' is no time to confirm in; expected: <1-1440> min"),
        ("save confirm soon", "'soon' is not a number; expected: <1-1440>"),
        ("save confirm 5 confirm 6", "'confirm' is not possible after '5'; expected: comment"),
        ("confirm", "nothing waits to be confirmed"),
        ("confi", "'configure' is a command of the root prompt; an object is open: save or cancel it first"),
    ],
)
def test_what_is_wrong_with_it_is_told_and_loses_nothing(session: Session, line: str, told: str) -> None:
    session.run(f"{NEW} description a")
    assert refusal(session, line).startswith(told)
    assert session.run("save").ok
    assert waits(session) == ((), 0)


def test_conf_is_configure_as_ever(session: Session) -> None:
    assert session.run("confi pool p1").ok
    assert session.mode == ["pool"]
    session.run("cancel")
    assert "did you mean confirm" in refusal(session, "confir")


def test_a_rollback_says_whose_wait_it_ends(session: Session) -> None:
    for line in (NEW, "save confirm 5"):
        session.run(line)
    told = [str(part) for part in session.run("rollback 0 force").parts]
    assert told[-1] == "Commit 1 waits for confirm no more: it is undone by this rollback."
    assert "waits" not in str(session.run("rollback 1 force").parts)


def test_nothing_waits_in_a_configuration_session_or_where_nothing_is_open(session: Session) -> None:
    assert refusal(session, "save confirm 5") == "nothing is open, so there is no commit to be confirmed"
    for line in ("configure session", NEW):
        session.run(line)
    assert refusal(session, "save confirm 5").startswith("nothing is committed in a configuration session")
    assert session.mode == ["pool"]


@pytest.mark.parametrize(
    "lines",
    [
        f"{NEW}\nsave confirm 5\n",
        f"configure session\n{NEW}\nsave\ncommit session confirm 5\ndiscard session\n",
        f"{NEW}\nsave\nrollback 0 confirm 5\n",
        f"{NEW}\nsave\nconfirm\n",
    ],
)
def test_a_file_that_is_loaded_is_one_commit(session: Session, tmp_path: Path, lines: str) -> None:
    session.run("configure tenant t1")
    assert session.run("save confirm 5").ok
    (tmp_path / "lines").write_text(lines)
    error = session.run(f"load merge {tmp_path}/lines").error
    assert isinstance(error, InvalidFile)
    assert ["a file that is loaded is one commit" in fault.what for fault in error.faults] == [True]
    assert pools(session) == []


def test_a_shell_is_told_what_another_one_undid(session: Session) -> None:
    other = session.another(session.stored)
    for line in (NEW, "save confirm 5"):
        session.run(line)
    assert other.run("show pool").warnings == []
    over(session)
    assert len(session.undo_overdue()) == 1
    (told,) = other.run("show pool").warnings
    assert told.startswith("commit 1 was not confirmed, and undone elsewhere by commit 2; show configuration diff 1 2 ")
    assert other.run("show pool").warnings == session.run("show pool").warnings == []
    session.run(NEW)
    session.run("save confirm 5")
    assert other.run("show pool").warnings == []
    assert session.run("confirm").ok
    assert other.run("show pool").warnings == []


def test_every_commit_says_what_waits(session: Session) -> None:
    session.run(NEW)
    first = session.run("save confirm 5").notices[-1]
    assert first.startswith("Commit 1 will be undone at ")
    assert first.endswith(" unless confirm is typed.")
    session.run("configure pool p2")
    assert session.run("save").notices[-1].startswith("Commit 1 waits for confirm until ")
    assert "Commit 1 will be undone at " in session.run("save confirm 6").notices[-1]
    assert any("will be undone at " in text for text in session.run("show configuration history").notices)
    kept = session.run("confirm")
    assert (kept.parts, kept.data, kept.committed) == (["Commit 1 stays."], {"commits": [1]}, None)
    session.run("configure pool p3")
    assert not any("confirm" in text for text in session.run("save").notices)


def test_a_session_undoes_between_lines_and_says_so(session: Session) -> None:
    session.run(NEW)
    session.run("save confirm 5")
    session.run("configure pool p2")
    over(session)
    result = session.run("description x")
    assert result.ok
    assert result.warnings == ["commit 1 was not confirmed: it is undone by commit 2"]
    assert pools(session) == []
    assert session.run("save").ok
    assert session.run("show pool").warnings == []
    assert pools(session) == ["p2"]
    assert refusal(session, "confirm") == "nothing waits to be confirmed; commit 2: not confirmed: back to 0"


def test_a_session_undoes_what_is_committed_while_changes_are_gathered(session: Session) -> None:
    for line in (NEW, "save confirm 5", "configure session", "configure pool p2", "save"):
        session.run(line)
    over(session)
    assert session.run("show pool").warnings
    assert pools(session) == []
    assert session.run("commit session").ok
    assert pools(session) == ["p2"]


def test_what_others_lose_is_told_and_can_be_brought_back(session: Session) -> None:
    for line in (NEW, "save confirm 5", "configure pool p1 description x", "save"):
        session.run(line)
    over(session)
    told = "commit 1 was not confirmed: it is undone by commit 3, and commit 2 with it: rollback 2 brings all back"
    assert session.run("show pool").warnings == [told]
    assert session.run("rollback 2").ok
    assert pools(session) == ["p1"]


def test_what_cannot_be_undone_is_told_by_every_shell(session: Session, tmp_path: Path) -> None:
    for line in (NEW, "save confirm 5"):
        session.run(line)
    with session.stored.transaction() as store:
        store.connection.execute("UPDATE unconfirmed SET fault = 'it is so'")
    told = Session(session.stored, tmp_path).begin()
    assert len(told) == 1
    assert told[0].startswith("commit 1 was not confirmed, and could not be undone at ")
    assert ": it is so; confirm keeps" in told[0]
    assert session.run("confirm").ok
    assert Session(session.stored, tmp_path).begin() == []


def test_what_cannot_be_undone_now_is_told_at_every_line(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (NEW, "save confirm 5"):
        session.run(line)
    over(session)

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(confirming, "undo_over", full)
        told = [session.run("show pool").warnings for _ in range(2)]
    assert told == [["commit 1 is not undone yet: the disk is full"]] * 2
    assert session.run("show pool").warnings == ["commit 1 was not confirmed: it is undone by commit 2"]


def test_the_program_that_undoes_fails_where_nothing_can_be_undone(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Configuration.open(state).close()
    undone = confirming.Undone((7, 8), 6, 9, fault="it is so")
    monkeypatch.setattr(confirming, "undo_over", lambda *_: undone)
    assert main(["undo-unconfirmed", "--state", str(state), "--deadline", "5"]) == 1
    told = "avi-shell: error: commits 7, 8 were not confirmed, and cannot be undone: it is so; confirm keeps"
    assert capsys.readouterr().err.startswith(told)


def test_a_file_that_is_tried_undoes_nothing(shell: Run, state: Path) -> None:
    assert shell("-c", NEW, "-c", "save confirm 1").returncode == 0
    hasten(state, 0)
    tried = shell("--check", "-c", "delete pool p1")
    assert (tried.returncode, tried.stderr) == (0, "")
    with closing(Configuration.open(state)) as configuration:
        assert configuration.version() == 1


def test_the_next_shell_undoes_before_its_first_line(shell: Run, state: Path) -> None:
    assert shell("-c", NEW, "-c", "save confirm 1").returncode == 0
    hasten(state, 0)
    done = shell("-c", "show pool p1")
    assert done.returncode == 1
    assert "avi-shell: warning: commit 1 was not confirmed: it is undone by commit 2" in done.stderr
    assert "there is no pool 'p1'" in done.stderr
    lines = [json.loads(line) for line in (state / "audit.jsonl").read_text().splitlines()]
    assert [(line["command"], line["committed"]) for line in lines] == [
        (NEW, None),
        ("save confirm 1", 1),
        ("undo-unconfirmed", 2),
        ("show pool p1", None),
    ]


def test_a_terminal_undoes_while_nobody_types(terminal: Callable[..., Typist], state: Path) -> None:
    at = terminal()
    at.expect_exact(PROMPT)
    at.send(f"{NEW}\r")
    at.expect_exact("pool> ")
    at.send("save confirm 1\r")
    at.expect_exact("will be undone at")
    at.expect_exact(PROMPT)
    at.send("show po")
    hasten(state, 0.3)
    at.expect_exact("warning: commit 1 was not confirmed: it is undone by commit 2")
    at.expect_exact("show po")
    at.send("ol\r")
    at.expect_exact("No service engine runs")
    at.send(f"{NEW}\r")
    at.expect_exact("pool> ")
    at.send("save confirm 5\r")
    at.expect_exact("Commit 3 will be undone at")
    at.send("exit\r")
    at.expect_exact("Commit 3 waits for confirm until")
    assert at.finish() == 0


def test_many_programs_that_undo_at_once_do_it_once(shell: Run, state: Path) -> None:
    assert shell("-c", NEW, "-c", "save confirm 1").returncode == 0
    early = shell("undo-unconfirmed")
    assert (early.returncode, early.stdout) == (0, "Nothing is to be undone now.\n")
    hasten(state, 0)
    command = [sys.executable, "-m", "avi_shell", "undo-unconfirmed", "--state", str(state)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    said = sorted(run.communicate(timeout=60)[0] for run in runs)
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert said == ["Commit 1 was not confirmed: it is undone by commit 2.\n", *["Nothing is to be undone now.\n"] * 2]
    with closing(Configuration.open(state)) as configuration:
        assert configuration.version() == 2
