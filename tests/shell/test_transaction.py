"""`configure session`: its changes are committed together or not at all, and nobody sees them before."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import Conflict, InvalidFile
from avi_shell.output import render
from avi_shell.session.session import Session
from tests.bench import saving

from .conftest import VIRTUAL_SERVICE, Run, Typist

SERVICE = VIRTUAL_SERVICE.splitlines()
POOL = ("configure pool p1", "servers ip 10.1.1.11 port 80", "save", "save")


def type_(session: Session, *lines: str) -> list[str]:
    """Type lines, which are taken. Returns what the last one printed."""
    for line in lines:
        result = session.run(line)
        assert result.ok, (line, result.error)
    return render.text_lines(result.parts)


def refused(session: Session, line: str) -> list[str]:
    error = session.run(line).error
    assert error is not None
    return [render.message(error), *render.faults(error)]


def dump(state: Path) -> list[str]:
    with closing(sqlite3.connect(state / "config.db")) as connection:
        return list(connection.iterdump())


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[tuple[Session, Session]]:
    """Two shells on one store with a virtual service."""
    mine, theirs = (Session(Configuration.open(tmp_path), tmp_path) for _ in range(2))
    type_(mine, *SERVICE)
    yield mine, theirs
    for session in (mine, theirs):
        if session.candidate is not None:
            type_(session, "discard session")
        session.configuration.close()


def test_a_session_of_fifty_objects_that_fails_in_its_last_check_leaves_nothing(
    sessions: tuple[Session, Session], tmp_path: Path
) -> None:
    mine, _ = sessions
    type_(mine, "configure session")
    for number in range(17):
        vip = "10.1.1.100" if number == 16 else f"10.1.2.{number}"  # the last one is vs1's
        lines = VIRTUAL_SERVICE.replace("10.1.1.100", vip).replace(" p1", f" p{number}x").replace(" v1", f" v{number}x")
        type_(mine, *lines.replace(" vs1", f" vs{number}x").splitlines()[3:])
    before = dump(tmp_path)
    assert refused(mine, "commit session") == [
        "VirtualService vs16x: tcp port 80 of VIP 10.1.1.100 belongs to VirtualService vs1; "
        "expected: another VIP, protocol or port"
    ]
    assert dump(tmp_path) == before
    told = type_(mine, "configure vsvip v16x vip index 1 ip_address 10.1.2.200", "save", "save", "commit session")
    assert told[0] == "Successfully committed 51 changed objects as commit 5."


def test_the_second_of_two_sessions_on_an_object_is_refused_with_the_difference(
    sessions: tuple[Session, Session], tmp_path: Path
) -> None:
    mine, theirs = sessions
    for session in sessions:
        type_(session, "configure session", *POOL)
    type_(theirs, "configure pool p1 no enabled", "save", "commit session")
    type_(mine, "configure pool p2", "save")
    before = dump(tmp_path)
    assert refused(mine, "check session") == [
        "Pool p1 was changed by somebody else meanwhile: servers[10.1.1.11:80] is new: ip 10.1.1.11 port 80 "
        "hostname 10.1.1.11, enabled is now False; discard session pool p1 takes it as it is now"
    ]
    assert isinstance(mine.run("commit session").error, Conflict)
    type_(theirs, "configure pool p2", "save")
    told = mine.run("commit session").error
    assert isinstance(told, InvalidFile)
    assert [fault.path for fault in told.faults] == ["pool p1", "pool p2"]
    assert "enabled is now False" in render.faults(told)[0]
    type_(theirs, "delete pool p2")
    assert [line for line in dump(tmp_path) if "p2" in line and "INTO object" in line] == []
    assert len(before) < len(dump(tmp_path))


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (["configure pool p1 description mine", "save"], ["configure pool p1 description theirs", "save"]),
        (["configure pool new description mine", "save"], ["configure pool new description theirs", "save"]),
        (["delete pool free"], ["configure pool free description theirs", "save"]),
        (["configure pool free description mine", "save"], ["delete pool free"]),
        (["rename pool p1 other"], ["configure pool p1 description theirs", "save"]),
        (["configure pool free description mine", "save"], ["configure pool x", "save"]),
    ],
)
def test_an_object_of_a_session_is_given_up(
    sessions: tuple[Session, Session], mine: list[str], theirs: list[str]
) -> None:
    one, other = sessions
    type_(other, "configure pool free", "save")
    type_(one, "configure session", "configure pool keep", "save", *mine)
    type_(other, *theirs)
    wanted = transfer.export(other.configuration)["Pool"]
    conflict = one.run("commit session").error if "pool x" not in theirs[0] else None
    if isinstance(conflict, Conflict):
        type_(one, conflict.hint.removesuffix(" takes it as it is now"))
    else:
        type_(one, "discard session pool free")
    assert [change.name for change in one.candidate.changes()] == ["keep"] if one.candidate else False
    type_(one, "commit session")
    assert [pool for pool in transfer.export(other.configuration)["Pool"] if pool["name"] != "keep"] == wanted
    assert other.configuration.find("pool", "keep", "admin") is not None


def test_what_was_taken_is_changed_again(sessions: tuple[Session, Session]) -> None:
    mine, theirs = sessions
    type_(mine, "configure session", "configure pool p1 description mine", "save")
    type_(theirs, "configure pool p1 description theirs", "save")
    type_(mine, "discard session pool p1", "configure pool p1 no enabled", "save", "commit session")
    pool = theirs.configuration.find("pool", "p1", "admin")
    assert pool is not None
    assert (pool["description"], pool["enabled"]) == ("theirs", False)
    type_(mine, "configure session")
    assert refused(mine, "discard session pool p1") == [
        "pool p1 is not changed in this session; show session tells what is"
    ]


def test_nobody_sees_a_session_before_its_commit(sessions: tuple[Session, Session]) -> None:
    mine, theirs = sessions
    type_(mine, "configure session", "configure pool p2", "save", "delete virtualservice vs1", *POOL)
    assert [theirs.configuration.names(kind, "*") for kind in ("pool", "virtualservice")] == [["p1"], ["vs1"]]
    assert [mine.configuration.names(kind, "*") for kind in ("pool", "virtualservice")] == [["p1", "p2"], []]
    assert "p2" in [candidate.word for candidate in mine.offer("show pool ").candidates]
    assert type_(mine, "show pool p1")[-1] == "Not committed, in this session alone: p1 (changed)"
    assert type_(mine, "show pool")[-1] == "Not committed, in this session alone: p1 (changed), p2 (new)"
    version = theirs.configuration.version()
    type_(mine, 'commit session comment "one step"')
    last = theirs.configuration.history()[-1]
    assert (last.number, last.action, last.comment) == (version + 1, "session", "one step")
    assert theirs.configuration.names("pool", "*") == ["p1", "p2"]


def test_what_is_told_as_committed_is(sessions: tuple[Session, Session]) -> None:
    mine, _ = sessions
    numbers = []
    for line in ("configure session", "configure pool p2", "save", "delete virtualservice vs1", "commit session"):
        result = mine.run(line)
        numbers.append(result.committed)
    assert numbers == [None, None, None, None, mine.configuration.version()]


def test_what_somebody_else_did_already_is_no_commit(sessions: tuple[Session, Session]) -> None:
    mine, theirs = sessions
    for line in ("configure pool gone", "save"):
        assert theirs.run(line).ok
    for line in ("configure session", "delete pool gone"):
        assert mine.run(line).ok
    assert theirs.run("delete pool gone").ok
    before = theirs.configuration.version()
    done = mine.run("commit session")
    assert done.parts[-1] == "Nothing was changed: there is no commit."
    assert (done.data, theirs.configuration.version()) == ({"version": before, "changes": []}, before)
    assert mine.candidate is None


def test_the_history_is_that_of_commits(session: Session) -> None:
    type_(session, "configure pool p1", "save", "configure session", "configure pool p2", "save")
    assert len(session.run("show configuration history").data["commits"]) == 1
    assert [len(session.run(f"show pool {name} history").data) for name in ("p1", "p2")] == [1, 0]
    assert type_(session, "show configuration diff 1") == ["The configuration after commit 1 is the one now."]


def test_what_is_about_commits_is_refused_in_a_session(session: Session, tmp_path: Path) -> None:
    type_(session, "configure session", "configure pool p1")
    assert type_(session, "save comment why")[-1] == "The comment is kept nowhere: commit session comment says why."
    assert refused(session, f"load merge {tmp_path / 'file'} confirm 5") == [
        "nothing is committed in a configuration session; commit session confirm <minutes>"
    ]
    assert refused(session, "rollback 0") == [
        "a configuration session is open; commit session or discard session first"
    ]


class TestLeaving:
    def test_a_person_is_told_what_is_lost(self, session: Session) -> None:
        session.terminal = True
        type_(session, "configure session", "configure pool p1", "save")
        told = (
            "a configuration session is open: 1 changed object not committed: "
            "commit session or discard session. exit again drops them."
        )
        assert type_(session, "exit") == [told]
        type_(session, "show pool")
        assert type_(session, "exit") == [told]
        assert session.run("exit").ended

    def test_nothing_is_lost_by_a_session_without_changes(self, session: Session) -> None:
        session.terminal = True
        type_(session, "configure session")
        assert session.run("exit").ended

    def test_a_file_that_ends_in_a_session_is_told(self, shell: Run, state: Path) -> None:
        for lines in (VIRTUAL_SERVICE, f"{VIRTUAL_SERVICE}exit\n"):
            done = shell("-f", "-", stdin=f"configure session\n{lines}")
            count = lines.count("\n") + 1
            assert done.stderr == (
                f"<stdin>:{count}: error: a configuration session is open: 4 changed objects not committed; "
                "commit session is missing\n"
            )
            assert done.returncode == 1
        assert "VirtualService" not in "".join(dump(state))

    def test_the_end_of_input_at_a_terminal(self, terminal: Callable[..., Typist]) -> None:
        at = terminal()
        at.expect_exact("[admin:10-1-1-1]: > ")
        at.send("configure session\r")
        at.expect_exact(":session]: > ")
        at.send("configure pool p1\r")
        at.expect_exact(":session]: pool> ")
        at.send("save\r")
        at.expect_exact(":session]: > ")
        at.sendcontrol("d")
        at.expect_exact("1 changed object not committed: commit session or discard session. Ctrl-D again drops them.")
        at.expect_exact(":session]: > ")
        at.sendcontrol("d")
        assert at.finish() == 1


def test_a_pasted_session_is_a_session_file(tmp_path: Path, shell: Run) -> None:
    lines = ["configure session", *SERVICE, "show pool", "check session", "commit session"]
    pasted = shell("--transcript", "-f", "-", "--state", str(tmp_path / "a"), stdin="\n".join(lines)).stdout
    again = shell("-f", "-", "--state", str(tmp_path / "b"), stdin=pasted)
    assert (again.stderr, again.returncode) == ("", 0)


def test_a_large_session_is_committed_as_one(session: Session) -> None:
    type_(session, "configure session", *saving.services(40), "commit session")
    assert [commit.action for commit in session.configuration.history()] == ["session"]
    assert len(session.configuration.names("virtualservice", "*")) == 40
