"""The audit log: every command once, whoever is killed, however large it grows, and however many shells write it."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from avi_shell.__main__ import main
from avi_shell.configuration import outbox, storefile
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.record import Author
from avi_shell.session import audit
from avi_shell.session.audit import Audit
from avi_shell.session.session import Session
from dataplane import statedir
from tests.torture.child import Child, Say

BY = Author("admin", "alice as root", "/dev/pts/3 from 192.0.2.7")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def configuration(folder: Path) -> Iterator[Configuration]:
    with closing(Configuration.open(folder)) as opened:
        yield opened


def entries(folder: Path) -> list[dict[str, Any]]:
    """The lines of the log, oldest first."""
    files = [folder / name for name in reversed(statedir.AUDIT)]
    return [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]


def committed(folder: Path) -> list[int]:
    return [entry["committed"] for entry in entries(folder) if entry["committed"] is not None]


def waiting(configuration: Configuration) -> int:
    with configuration.snapshot() as store:
        return len(store.outbox.waiting())


def commit(configuration: Configuration, number: int) -> None:
    configuration.save("pool", {"name": f"p{number}"}, "admin", Author(line=f"configure pool p{number}"))


def test_a_line_tells_who_where_and_what_became_of_it(configuration: Configuration, folder: Path) -> None:
    session = Session(configuration, folder, author=BY, audit=Audit(folder, configuration))
    for number, line in enumerate(("configure pool p1", "nonsense", 'save comment "why"', "save", "# x", ""), 1):
        session.origin = f"setup:{number}"
        session.run(line)
    session.run("configure pool p1")
    session.run("save")
    found = entries(folder)
    assert [(e["command"], e["ok"], e["committed"], e["mode"]) for e in found] == [
        ("configure pool p1", True, None, ["pool"]),
        ("nonsense", False, None, ["pool"]),
        ('save comment "why"', True, 1, []),
        ("save", True, None, []),
        ("configure pool p1", True, None, ["pool"]),
        ("save", True, None, []),  # which changed nothing
    ]
    assert {(e["user"], e["os_user"], e["terminal"], e["tenant"]) for e in found} == {
        ("admin", "alice as root", "/dev/pts/3 from 192.0.2.7", "admin")
    }
    assert [e["origin"] for e in found[:4]] == ["setup:1", "setup:2", "setup:3", "setup:4"]
    assert [e["time"] for e in found] == sorted(e["time"] for e in found)
    assert waiting(configuration) == 0


def test_what_a_killed_shell_committed_is_written_down_by_the_next(configuration: Configuration, folder: Path) -> None:
    commit(configuration, 1)  # and is killed here
    for _ in range(2):
        Audit(folder, configuration).close()
        assert [(e["command"], e["committed"]) for e in entries(folder)] == [("configure pool p1", 1)]
    assert waiting(configuration) == 0


def test_a_line_that_a_killed_shell_wrote_is_not_written_again(
    configuration: Configuration, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Configuration, "audited", lambda *_: False)
        first = Audit(folder, configuration)
        commit(configuration, 1)
        first.close()
    assert (committed(folder), waiting(configuration)) == ([1], 1)
    os.rename(folder / "audit.jsonl", folder / "audit.jsonl.1")  # as a rotation since
    Audit(folder, configuration).close()
    assert (committed(folder), waiting(configuration)) == ([1], 0)


def test_a_shell_that_is_open_finds_what_a_killed_one_wrote(
    configuration: Configuration, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Audit(folder, configuration)
    session = Session(configuration, folder, audit=mine)
    with closing(Configuration.open(folder)) as theirs:
        commit(theirs, 1)
        with monkeypatch.context() as killed:
            killed.setattr(Configuration, "audited", lambda *_: False)
            Audit(folder, theirs).close()
    for line in ("version", "configure pool p2", "save"):
        session.run(line)
    assert (committed(folder), waiting(configuration)) == ([1, 2], 0)


def _many(folder: Path, first: int, say: Say) -> None:
    with closing(Configuration.open(folder)) as configuration:
        log = Audit(folder, configuration)
        session = Session(configuration, folder, audit=log)
        for number in range(first, first + 15):
            for line in (f"configure pool p{number}", "nonsense", "save"):
                session.run(line)
        log.close()
    say("done")


def test_shells_that_write_at_once_lose_nothing_when_the_log_is_continued(
    configuration: Configuration, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LARGEST", 6000)
    children = [Child(lambda say, first=first: _many(folder, first, say)) for first in (100, 200, 300)]  # type: ignore[misc]
    for child in children:
        assert child.everything() == ["done"]
        assert child.close() == 0
    files = sorted(file.name for file in folder.glob("audit*"))
    assert 4 < len(files) <= len(statedir.AUDIT)
    for name in files:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert (folder / name).stat().st_size <= 6000
    assert sorted(committed(folder)) == list(range(1, 46))
    assert len(entries(folder)) == 135
    assert waiting(configuration) == 0


def test_the_oldest_file_goes(configuration: Configuration, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST", 400)
    session = Session(configuration, folder, audit=Audit(folder, configuration))
    for _ in range(40):
        session.run("version")
    assert sorted(file.name for file in folder.glob("audit*")) == sorted(statedir.AUDIT)
    assert all(file.stat().st_size <= 400 for file in folder.glob("audit*"))


def test_a_log_that_somebody_took_away_is_begun_anew(configuration: Configuration, folder: Path) -> None:
    session = Session(configuration, folder, audit=Audit(folder, configuration))
    session.run("version")
    (folder / "audit.jsonl").unlink()
    session.run("version")
    assert len(entries(folder)) == 1
    (folder / "audit.jsonl").write_text('{"begun": ')  # by a power cut
    session.run("version")
    assert json.loads((folder / "audit.jsonl").read_text().splitlines()[1])["command"] == "version"


def _on_a_full_disk(folder: Path, say: Say) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with closing(Configuration.open(folder)) as configuration:
        log = Audit(folder, configuration)
        session = Session(configuration, folder, audit=log)
        told = []
        room = (folder / "audit.jsonl").stat().st_size + 100
        for number, line in enumerate(("configure pool p1", "save", "version", "configure pool p2", "save")):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room if number < 4 else resource.RLIM_INFINITY, -1))
            told.append(len(session.run(line).warnings))
        log.close()
    say(told)


def test_what_was_committed_on_a_full_disk_is_written_down_later(configuration: Configuration, folder: Path) -> None:
    (folder / "audit.jsonl").write_text('{"committed": null}\n' * 20_000)
    (folder / "audit.jsonl").chmod(0o600)
    child = Child(lambda say: _on_a_full_disk(folder, say))
    assert child.hear() == [1, 0, 0, 0, 0]
    assert child.close() == 0
    assert committed(folder) == [1, 2]
    assert len(entries(folder)) == 20_002
    assert waiting(configuration) == 0


def test_another_shell_that_commits_meanwhile_keeps_nobody_waiting(configuration: Configuration, folder: Path) -> None:
    session = Session(configuration, folder, audit=Audit(folder, configuration))
    with closing(Configuration.open(folder)) as other:
        session.run("configure pool p1")
        real = configuration.audited

        def while_another_commits(lines: list[outbox.Waiting]) -> bool:
            with other.bulk("import") as (_, made):
                made.finish()
                begun = time.monotonic()
                done = real(lines)
                assert time.monotonic() < begun + 20 < begun + storefile.PATIENCE
                return done

        configuration.audited = while_another_commits  # type: ignore[method-assign,assignment]
        session.run("save")
        assert (committed(folder), waiting(configuration)) == ([1], 2)
        configuration.audited = real  # type: ignore[method-assign]
        session.run("version")
    assert (committed(folder), waiting(configuration)) == ([1, 2], 0)


def test_a_restore_is_written_down_and_takes_nothing_away(folder: Path) -> None:
    state, copy = folder / "state", str(folder / "copy.db")
    with closing(Configuration.open(state)) as configuration:
        commit(configuration, 1)
        assert main(["--state", str(state), "backup", copy]) == 0
        commit(configuration, 2)
    assert main(["--state", str(state), "restore", copy]) == 0
    assert [(e["command"], e["committed"]) for e in entries(state)] == [
        ("configure pool p1", 1),
        ("configure pool p2", 2),
        (f"restore {copy}", 2),
    ]
    assert main(["--state", str(folder / "new"), "restore", copy]) == 0
    assert [e["committed"] for e in entries(folder / "new")] == [2], "the others were made elsewhere"


def test_a_history_that_is_to_be_shorter_is_written_down(folder: Path) -> None:
    state = folder / "state"
    assert main(["--state", str(state), "history", "--commits", "3"]) == 0
    assert main(["--state", str(state), "history"]) == 0
    assert [(e["command"], e["committed"]) for e in entries(state)] == [("history --commits 3 --days 365", None)]


def test_a_configuration_session_is_one_commit_and_each_of_its_lines_is_there(
    configuration: Configuration, folder: Path
) -> None:
    session = Session(configuration, folder, audit=Audit(folder, configuration))
    lines = ["configure session", "configure pool p1", "save", "configure pool p2", "save", "commit session"]
    for line in lines:
        assert session.run(line).ok, line
    assert [(e["command"], e["committed"]) for e in entries(folder)] == [(line, None) for line in lines[:5]] + [
        ("commit session", 1)
    ]
    assert waiting(configuration) == 0
