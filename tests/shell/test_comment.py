"""`save comment "why"`: the commit has it; what is no comment is refused, and loses nothing."""

from __future__ import annotations

import pytest

from avi_shell.output.render import message
from avi_shell.session.comment import LONGEST
from avi_shell.session.session import Session

NEW = "configure pool p1"


def comments(session: Session) -> list[str]:
    return [commit.comment for commit in session.configuration.history()]


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([NEW, 'save comment "as asked for in ticket 7"'], "as asked for in ticket 7"),
        ([NEW, "save comment urgent"], "urgent"),
        ([NEW, "sa com urgent"], "urgent"),
        ([NEW, "servers ip 10.1.1.1 port 80", 'save comment "one more"', "save"], "one more"),
        ([NEW, "servers ip 10.1.1.1 port 80", 'save comment "one more"', "exit"], "one more"),
        ([NEW, "servers ip 10.1.1.1 port 80", "save comment inner", "save comment outer"], "outer"),
        ([NEW, f'save comment "{"x" * LONGEST}"'], "x" * LONGEST),
        ([NEW, "save"], ""),
    ],
)
def test_a_commit_has_the_comment_of_its_save(session: Session, lines: list[str], kept: str) -> None:
    for line in lines:
        assert session.run(line).ok
    assert comments(session) == [kept]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("save comment", "the line ends after 'comment', where more must follow"),
        ("save comment as asked for", "'asked' is not possible after 'as' (a text of several words stands in"),
        ('save comment "as asked for', "a double quote opens here and does not close"),
        ('save comment ""', "an empty word is no <text>"),
        ('save comment "  "', "the comment is no line of text"),
        (r'save comment "a\nb"', "the comment is no line of text"),
        (f'save comment "{"x" * LONGEST}y"', f"{LONGEST + 1} characters; expected: <text of 1-{LONGEST} characters>"),
        ("save remark x", "'remark' is not possible after 'save'"),
    ],
)
def test_what_is_no_comment_is_refused_and_the_object_stays_open(session: Session, line: str, told: str) -> None:
    session.run(NEW)
    refused = session.run(line).error
    assert refused is not None
    assert told in message(refused)
    assert session.mode == ["pool"]
    assert comments(session) == []
    assert session.run("save").ok
    assert comments(session) == [""]


def test_a_comment_that_no_commit_has_is_told(session: Session) -> None:
    session.run(NEW)
    session.run("save")
    refused = session.run("save comment why").error
    assert refused is not None
    assert "nothing is open" in message(refused)
    session.run(NEW)
    assert "Nothing was changed, so there is no commit that has the comment." in session.run("save comment x").parts
    session.run("configure pool p2 servers ip 10.1.1.1 port 80")
    session.run("save comment dropped")
    for line in ("cancel", "configure pool p2", "save"):
        assert session.run(line).ok
    assert comments(session) == ["", ""]
