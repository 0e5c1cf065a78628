"""The plain front through a real pseudo-terminal: no escape sequence, one echo, and pastes as fast as a file."""

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataplane.lab.standstill import Witness

from .conftest import Run, Typist
from .paster import PROMPT, Paster

Start = Callable[..., Typist]
ROOT_PROMPT = PROMPT.decode()
POOLS = [
    line
    for number in range(400)
    for line in (
        f"configure pool p{number} lb_algorithm lb_algorithm_consistent_hash",
        f"servers ip 10.1.{number // 250}.{number % 250 + 1} port 80",
        "save",
        f"description number-{number}",
        "save",
    )
]


def assert_is_plain(sent: bytes) -> None:
    """Nothing but characters, lines that end in CR LF once, and prompts that begin a line."""
    assert b"\x1b" not in sent
    assert len(re.findall(rb"(?<!\r)\n", sent)) == sent.count(b"\r\r") == 0
    assert sent.count(b"[admin:10-1-1-1]") == len(re.findall(rb"^\[admin:10-1-1-1\]", sent, re.MULTILINE))


def test_two_thousand_pasted_lines_are_as_fast_as_a_file(shell: Run, state: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("\n".join(POOLS) + "\n")
    began = time.monotonic()
    assert shell("--state", str(tmp_path / "other"), "-f", str(script)).returncode == 0
    from_file = time.monotonic() - began
    with Paster(state, "--plain") as at, Witness() as machine:
        began = time.monotonic()
        at.until(PROMPT)
        at.until(b"| product |", paste="\r".join([*POOLS, "version", ""]).encode())
        pasted = time.monotonic() - began - machine.stood(began)
        at.until(b"exit", paste=b"exit\r")
        assert at.finish() == 0
        assert at.attributes() == at.before
    assert_is_plain(at.sent)
    for line in ("configure pool p399 lb_algorithm lb_algorithm_consistent_hash", "description number-200", "exit"):
        assert len(re.findall(rf"> {line}\r\n".encode(), at.sent)) == at.sent.count(line.encode()) == 1
    assert b"error" not in at.sent
    assert pasted < 6 * from_file, f"{pasted:.1f} s, {from_file:.1f} s from a file"


@pytest.mark.parametrize("front", ["--plain", None])
def test_a_signal_that_ends_the_shell_leaves_the_terminal_as_it_was(state: Path, front: str | None) -> None:
    with Paster(state, *([front] if front else [])) as at:
        at.until(b"> ")
        assert at.attributes() != at.before
        at.send_signal(signal.SIGTERM if front else signal.SIGHUP)
        assert at.finish() == -(signal.SIGTERM if front else signal.SIGHUP)
        assert at.attributes() == at.before
    if front:
        assert_is_plain(at.sent)
    else:
        assert at.sent.rindex(b"\x1b[?2004l") > at.sent.rindex(b"\x1b[?2004h"), "pastes would be marked for ever"


def test_a_page_of_the_manual_fits_the_terminal(state: Path) -> None:
    with Paster(state, "--plain") as at:
        at.until(PROMPT)
        at.until(PROMPT, paste=b"terminal width 60\r")
        shown = at.until(PROMPT, paste=b"help layer3\r").decode().splitlines()
        assert len(shown) > 30
        assert max(map(len, shown)) <= 60
    with Paster(state, "-c", "help layer3", columns=60) as at:
        assert at.finish() == 0
        assert [line for line in at.sent.decode().splitlines() if line] == [line for line in shown[1:-1] if line]


@pytest.mark.parametrize("term", [None, "", "dumb", "unknown", "vt100", "ansi"])
def test_terminals_that_know_no_escape_sequence(state: Path, term: str | None) -> None:
    with Paster(state, term=term) as at:
        begun = at.until(PROMPT)
        asked = term in ("vt100", "ansi")  # they may be what they say; nothing answers here
        assert begun.startswith(b"\x1b[6n\r\n") if asked else b"\x1b" not in begun
        rest = at.until(b"| product |", paste=b"version\n")
        rest += at.until(b"exit", paste=b"exit\n")
        assert at.finish() == 0
    assert_is_plain(rest)
    assert b"WARNING" not in at.sent


def test_a_terminal_that_answers_knows_them(state: Path) -> None:
    with Paster(state, term="vt100") as at:
        at.until(b"\x1b[6n")
        begun = at.until(PROMPT, paste=b"sh\x1b[12;1Row \tversion\r")
        assert b"\x1b[" in begun
        at.until(b"| product |")  # what was typed before the answer and after it is one line
        at.until(b"exit", paste=b"exit\r")
        assert at.finish() == 0


def test_a_session_becomes_plain(state: Path) -> None:
    with Paster(state) as at:
        assert b"\x1b" in at.until(PROMPT)
        told = at.until(b"| product |", paste=b"terminal plain\rconfigure tenant t1\rcancel\rversion\r")
        assert_is_plain(told[told.index(b"[admin:10-1-1-1]: > configure") :])
        at.until(b"exit", paste=b"exit\r")
        assert at.finish() == 0


def test_keys_that_take_back_complete_and_list(terminal: Start) -> None:
    at = terminal("--plain")
    at.expect_exact(ROOT_PROMPT)
    at.send("\tshow versionx\x7f wrong words\x17\x17\x1b[A\x1b[D\r")
    at.expect_exact("| product | avi-shell |")
    at.expect_exact(ROOT_PROMPT)
    at.send("wrong\x15sh\tvers\t\r")
    at.expect_exact("show version \r\n")
    at.expect_exact(ROOT_PROMPT)
    at.send("terminal output ?")
    at.expect_exact("brief                without defaults")
    at.expect_exact(f"\r\n{ROOT_PROMPT}terminal output ")
    at.send("brief\r")
    at.expect_exact(ROOT_PROMPT)
    at.send('configure tenant t1 description "why?"\r')
    at.expect_exact("tenant> ")
    at.send("where\r")
    at.expect_exact("| description | why?  |")
    at.expect_exact("tenant> ")
    at.sendcontrol("d")
    at.expect_exact("is open and not saved")
    at.expect_exact("tenant> ")
    at.send("x")
    at.sendcontrol("d")  # the line is not empty: nothing
    at.expect_exact("x")
    at.sendcontrol("c")
    at.expect_exact("tenant> ")
    at.send("cancel\rexit\r")
    assert at.finish() == 0


def test_a_text_of_many_lines_has_its_tabs_and_question_marks(terminal: Start) -> None:
    at = terminal("--plain")
    at.expect_exact(ROOT_PROMPT)
    at.send("configure tenant t1 description --\r\n\ta?\r\nEND\r\nwhere\r\n")
    at.expect_exact("| description | \ta?")
    at.send("cancel\rexit\r")
    assert at.finish() == 0


def test_ctrl_c_stops_what_runs_and_what_was_pasted_behind(terminal: Start) -> None:
    at = terminal("--plain")
    at.expect_exact(ROOT_PROMPT)
    at.send("watch show tenant | count\rconfigure tenant t1\rsave\r")
    at.expect_exact("\n1\r")
    at.expect_exact("\n1\r")
    at.sendcontrol("c")
    at.expect_exact(ROOT_PROMPT)
    at.send("show tenant | count\r")
    at.expect_exact("\n1\r")
    at.send("exit\r")
    assert at.finish() == 0


@pytest.mark.parametrize("arguments", [["--plain"], []], ids=["plain", "full"])
def test_the_answer_to_a_question_may_be_pasted_with_it(terminal: Start, arguments: list[str]) -> None:
    at = terminal(*arguments)
    at.expect_exact(ROOT_PROMPT)
    at.send("configure tenant t1\rsave\rrollback 0\ryes\rshow tenant | count\r")
    at.expect_exact("(yes/no): yes\r\n")
    at.expect_exact("\n1\r")
    at.send("exit\r")
    assert at.finish() == 0


def test_who_hangs_up_with_an_object_open_has_not_saved(terminal: Start, shell: Run) -> None:
    at = terminal("--plain")
    at.expect_exact(ROOT_PROMPT)
    at.send("configure tenant t1\r")
    at.expect_exact("tenant> ")
    at.sendeof()
    at.sendeof()
    assert at.finish() == 1
    assert "t1" not in shell("-c", "show tenant").stdout


def test_lines_pasted_into_a_full_terminal_without_marks_are_taken_as_lines(
    shell: Run, state: Path, tmp_path: Path
) -> None:
    lines = POOLS[:1000]
    script = tmp_path / "script"
    script.write_text("\n".join(lines) + "\n")
    began = time.monotonic()
    assert shell("--state", str(tmp_path / "other"), "-f", str(script)).returncode == 0
    from_file = time.monotonic() - began
    with Paster(state) as at, Witness() as machine:
        began = time.monotonic()
        at.until(PROMPT)
        # A TAB completes and Ctrl-W takes back in the middle of it, too.
        keys = ["show ver\t", "configure pool px", "cancel wrong\x17"]
        at.until(b"| product |", paste="\r\n".join([*lines, *keys, "version", ""]).encode())
        pasted = time.monotonic() - began - machine.stood(began)
        at.until(b"exit", paste=b"exit\r")
        assert at.finish() == 0
        assert at.attributes() == at.before
    assert at.sent.count(b"configure pool p199 lb_algorithm") == 1
    assert b"error" not in at.sent
    assert pasted < 6 * from_file, f"{pasted:.1f} s, {from_file:.1f} s from a file"


@pytest.mark.parametrize(
    ("arguments", "marks"),
    [(["--plain"], ("", "")), ([], ("", "")), ([], ("\x1b[200~", "\x1b[201~"))],
    ids=["plain", "full", "full, with marks"],
)
def test_a_paste_ends_with_the_number_of_its_refused_commands(
    terminal: Start, arguments: list[str], marks: tuple[str, str]
) -> None:
    at = terminal(*arguments)
    at.expect_exact(ROOT_PROMPT)
    lines = ["configure pool p1", "nonsense of the first kind", "# none", "description x", "port 80", "cancel"]
    at.send(marks[0] + "\r".join(lines) + marks[1] + "\r")
    at.expect_exact("2 of 5 commands were refused: nonsense of the first kind, port 80\r\n")
    at.expect_exact(ROOT_PROMPT)
    at.sendline("nonsense")
    at.expect_exact("error: 'nonsense' is not a command")
    at.expect_exact(ROOT_PROMPT)
    assert "refused" not in at.before
    at.sendline("exit")
    assert at.finish() == 0


COPIED = """\
[admin:controller]: > configure pool p1
New object being created
[admin:controller]: pool> servers ip 10.1.1.11 prt 80
                                               ^
error: 'prt' is not a field of pool servers; did you mean port or
  prst_hdr_val?
[admin:controller]: pool> servers ip 10.1.1.11 port 80
New object being created
[admin:controller]: pool:servers> save
[admin:controller]: pool> save
Impact: Pool p1 is new: 10.1.1.11 begins to receive. Whether 10.1.1.11 is
  prepared for its VIP is not known: no service engine answered.
+------------+--------------+
| Field      | Value        |
+------------+--------------+
| name       | p1           |
+------------+--------------+
36 defaults are not shown. To see all: show pool p1
[admin:controller]: >
"""
"""A session as it stood on a screen; its second command was refused there, too."""


@pytest.mark.parametrize("arguments", [["--plain"], []], ids=["plain", "full"])
def test_of_a_session_copied_from_a_screen_only_the_commands_run(terminal: Start, arguments: list[str]) -> None:
    at = terminal(*arguments)
    at.expect_exact(ROOT_PROMPT)
    at.send(COPIED.replace("\n", "\r"))
    at.expect(r"1 of 5 commands was refused: [^\r]*servers ip")
    at.expect_exact(ROOT_PROMPT)
    at.sendline("show pool p1 | grep 10.1.1.11 | count")
    at.expect_exact("2")
    at.sendline("| name |")
    at.expect_exact("error: '|' is not a command")
    at.sendline("exit")
    assert at.finish() == 0


def test_a_text_behind_pasted_prompts_keeps_lines_that_look_like_output(terminal: Start, shell: Run) -> None:
    at = terminal("--plain")
    at.expect_exact(ROOT_PROMPT)
    lines = ["[admin:c]: > configure tenant t1", "[admin:c]: tenant> description --"]
    at.send("\r".join([*lines, "| a table |", "error: none", "END", "[admin:c]: tenant> save", ""]))
    at.expect_exact("defaults are not shown")
    at.sendline("exit")
    assert at.finish() == 0
    described = json.loads(shell("--json", "-c", "show tenant t1").stdout)["data"]["description"]
    assert described == "| a table |\nerror: none"
