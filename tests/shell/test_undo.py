"""`rollback N` as operators meet it: shown, asked for at a terminal, and done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from avi_shell.session.session import Session
from grammar.errors import BadValue

from .conftest import VIRTUAL_SERVICE, Run, Typist

PROMPT = "[admin:10-1-1-1]: > "


def pools(session: Session) -> list[str]:
    return session.names("pool")


def run(session: Session, *lines: str) -> None:
    for line in lines:
        result = session.run(line)
        assert result.ok, (line, result.error)


def test_a_rollback_tells_programs_what_it_changed(session: Session) -> None:
    run(session, "configure pool p1 description a", "save", "configure pool p1 description b", "save")
    run(session, "configure pool p2", "save", "delete pool p2", "configure vsvip v1", "save")
    result = session.run("rollback 1 preview")
    assert result.committed is None
    assert session.configuration.version() == 5
    expected: list[dict[str, Any]] = [
        {"kind": "pool", "name": "p1", "change": "update"}
        | {"differences": [{"path": "description", "old": "b", "new": "a"}]},
        {"kind": "vsvip", "name": "v1", "change": "delete", "differences": []},
    ]
    told = result.data["changes"]
    assert [{name: one[name] for name in ("kind", "name", "change", "differences")} for one in told] == expected
    done = session.run("rollback 1")
    assert (done.committed, done.data) == (6, {"version": 6, "changes": told})
    again = session.run("rollback 1")
    assert (again.ok, again.committed, again.data["changes"]) == (True, None, [])


def test_who_says_no_changes_nothing(session: Session) -> None:
    run(session, "configure pool p1", "save")
    asked: list[str] = []

    def no(told: object, question: str) -> bool:
        asked.append(question)
        return False

    session.ask = no
    assert session.run("rollback 0").parts == ["Nothing was changed."]
    assert pools(session) == ["p1"]
    assert len(asked) == 1
    run(session, "rollback 0 preview", "rollback 0 force")
    assert len(asked) == 1
    assert pools(session) == []


def test_what_cannot_be_undone_is_refused_before_the_question(session: Session) -> None:
    run(session, *VIRTUAL_SERVICE.splitlines())
    version = session.configuration.version()
    run(session, "delete virtualservice vs1")
    session.configuration._engine_addresses = lambda: ["10.1.1.100"]
    session.ask = lambda told, question: pytest.fail("it was asked")
    assert "is not possible now" in str(session.run(f"rollback {version}").error)


def test_secrets_of_then_and_now_are_not_shown(session: Session) -> None:
    typed = "configure vrfcontext v1 bgp_profile local_as 65001", "peers peer_ip 10.0.0.1 remote_as 1 md5_secret {}"
    for word in ("old-word", "new-word"):
        run(session, *(line.format(word) for line in typed), "save", "save", "save")
    for line in ("rollback 1 preview", "rollback 1"):
        result = session.run(line)
        assert "md5_secret" in str(result.parts), result.parts
        assert not any(word in str((result.parts, result.data)) for word in ("old-word", "new-word"))


@pytest.mark.parametrize("number", ["-1", "1.5", "one", "99999999999"])
def test_what_is_no_number_is_refused(session: Session, number: str) -> None:
    assert isinstance(session.run(f"rollback {number}").error, BadValue)


def test_a_terminal_shows_it_and_asks(terminal: Callable[..., Typist], shell: Run) -> None:
    assert shell("-c", "configure pool p1", "-c", "save").returncode == 0
    at = terminal()
    for answer, told in (("no", "Nothing was changed."), ("yes", "Successfully went back")):
        at.expect_exact(PROMPT)
        at.send("rollback 0\r")
        at.expect_exact("| Pool p1 |")
        at.expect_exact("(yes/no): ")
        at.send(f"{answer}\r")
        at.expect_exact(told)
    at.expect_exact(PROMPT)
    at.send("exit\r")
    assert at.finish() == 0
