"""Lines that come at once: what was refused of them is not left out by the `save` behind it."""

from collections.abc import Callable

import pytest

from .conftest import Typist
from .paster import PROMPT

Start = Callable[..., Typist]
ROOT_PROMPT = PROMPT.decode()
MISTYPED = "servers ip 10.1.1.11 prot 80"
FRONTS = pytest.mark.parametrize(
    ("arguments", "marks"),
    [(["--plain"], ("", "")), ([], ("", "")), ([], ("\x1b[200~", "\x1b[201~"))],
    ids=["plain", "full", "full, with marks"],
)


def paste(at: Typist, lines: list[str], marks: tuple[str, str] = ("", "")) -> None:
    at.expect_exact("> ")
    at.send(marks[0] + "\r".join(lines) + marks[1] + "\r")


@FRONTS
def test_a_paste_does_not_save_what_lacks_a_refused_line(
    terminal: Start, arguments: list[str], marks: tuple[str, str]
) -> None:
    at = terminal(*arguments)
    good = ["servers ip 10.1.1.12 port 80", "save"]
    paste(at, ["configure pool p1", MISTYPED, "save", *good, "save"], marks)
    at.expect_exact(f"error: pool p1 is not saved, because a line of the same paste was refused: {MISTYPED}; ")
    at.expect_exact(f"3 of 6 commands were refused: {MISTYPED}, save, save")
    at.expect_exact("pool> ")
    at.send("do show pool p1\r")
    at.expect_exact("error: there is no pool 'p1'")
    at.expect_exact("pool> ")
    at.send("servers ip 10.1.1.11 port 80\r")
    at.expect_exact("servers> ")
    at.send("save\r")
    at.expect_exact("pool> ")
    at.send("save\r")
    at.expect_exact("| servers[2] ")
    at.expect_exact(ROOT_PROMPT)
    at.send("exit\r")
    assert at.finish() == 0


def test_what_is_typed_line_by_line_is_saved_without_a_refused_line(terminal: Start) -> None:
    at = terminal("--plain")
    for line in ("configure pool p1", MISTYPED, "save"):
        at.expect_exact("> ")
        at.send(f"{line}\r")
    at.expect_exact("| name ")
    at.expect_exact(ROOT_PROMPT)
    at.send("exit\r")
    assert at.finish() == 0


def test_after_a_paste_save_alone_leaves_the_refused_line_out(terminal: Start) -> None:
    at = terminal("--plain")
    paste(at, ["configure pool p1", "description x", MISTYPED, "save", ""])
    at.expect_exact("2 of 4 commands were refused")
    at.expect_exact("pool> ")
    at.send("save\r")
    at.expect_exact("| description | x")
    at.expect_exact(ROOT_PROMPT)
    at.send("exit\r")
    assert at.finish() == 0


@FRONTS
@pytest.mark.parametrize("first", [["servers ip 10.1.1.11 port 80", "save"], [MISTYPED, "save", "save"]])
def test_lines_meant_for_an_object_that_was_not_opened_are_not_run(
    terminal: Start, first: list[str], arguments: list[str], marks: tuple[str, str]
) -> None:
    at = terminal(*arguments)
    second = ["configure pool p2", "# a remark", "description second", "servers ip 10.1.1.12 port 80", "save", "save"]
    paste(at, ["configure pool p1", *first, *second], marks)
    at.expect_exact(
        "4 lines were not run behind configure pool p2: pool p1 was still open. Save or cancel it, then paste again"
    )
    at.expect_exact("pool> ")
    at.send("where | grep second | count\r")
    at.expect_exact("0\r\n")
    at.expect_exact("pool> ")
    at.send("cancel\rexit\r")
    assert at.finish() == 0


def test_commands_that_only_look_may_be_refused(terminal: Start) -> None:
    at = terminal()
    paste(at, ["configure pool p1", "do show pool p9", "delete pool p9", "description x", "save"])
    at.expect_exact("| description | x")
    at.expect_exact(ROOT_PROMPT)
    at.send("exit\r")
    assert at.finish() == 0


def test_a_session_is_not_committed_without_an_object_that_was_refused(terminal: Start) -> None:
    at = terminal("--plain")
    opened = ["configure pool p1", "save"]
    paste(at, ["configure session", *opened, f"configure pool p2 {MISTYPED}", "save", "commit session"])
    at.expect_exact("error: the session is not committed, because a line of the same paste was refused: configure pool")
    at.expect_exact("> ")
    at.send("commit session\r")
    at.expect_exact("Successfully committed 1 changed object")
    at.expect_exact(ROOT_PROMPT)
    at.send("exit\r")
    assert at.finish() == 0
