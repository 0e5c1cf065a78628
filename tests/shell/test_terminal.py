"""The terminal front through a real pseudo-terminal: TAB, `?`, history, Ctrl-C and Ctrl-D."""

import io
import re
import stat
from collections.abc import Callable
from pathlib import Path

from .conftest import Typist
from .emulator import Emulator

ROOT_PROMPT = "[admin:10-1-1-1]: > "
Start = Callable[..., Typist]


def test_tab_completes(terminal: Start) -> None:
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.send("sh\tvers\t\r")
    at.expect_exact("| product | avi-shell |")
    at.sendline("exit")
    assert at.finish() == 0


def test_tab_completes_the_path_of_a_file(terminal: Start, tmp_path: Path) -> None:
    (tmp_path / "exports" / "old").mkdir(parents=True)
    (tmp_path / "exports" / "site one.json").write_text("{}")
    (tmp_path / "exports" / ".hidden").touch()
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.send("load merge exp\ts\t?")
    at.expect_exact('load merge "exports/site one.json" ')
    at.expect_exact("confirm              undo it")
    at.sendcontrol("c")
    at.send(f"import configuration file {tmp_path}/exports/?")
    at.expect_exact(f"{tmp_path}/exports/old/\r\n")
    at.expect_exact(f'"{tmp_path}/exports/site one.json"')
    at.sendcontrol("c")
    at.sendline("exit")
    assert at.finish() == 0


def test_tab_tab_lists_and_keeps_the_line(terminal: Start) -> None:
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.send("terminal output \t\t")
    at.expect_exact("brief                without defaults")
    at.expect_exact("detailed             with defaults")
    at.send("brief\r")
    at.send("version\r")
    at.expect_exact("avi-shell")
    at.sendline("exit")
    assert at.finish() == 0


def test_a_question_mark_lists_without_enter_and_keeps_the_line(terminal: Start) -> None:
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.send("configure networkprofile n1 profile tcp_fast_path_profile session_idle_timeout ?")
    at.expect_exact("<5-14400> sec, 0 = infinite")
    at.send("60\r")
    at.expect_exact("networkprofile profile:tcp_fast_path_profile> ")
    at.send("where\r")
    at.expect_exact("| session_idle_timeout | 60 sec |")
    at.expect_exact("tcp_fast_path_profile> ")
    at.sendcontrol("d")
    at.expect_exact("is open and not saved")
    at.expect_exact("tcp_fast_path_profile> ")
    at.sendcontrol("d")
    assert at.finish() == 1


def test_a_question_mark_inside_quotes_is_a_character(terminal: Start) -> None:
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.send('configure tenant t1 description "why?"\r')
    at.expect_exact("tenant> ")
    at.send("where\r")
    at.expect_exact("| description | why?  |")
    at.send("cancel\r")
    at.send("exit\r")
    assert at.finish() == 0


def test_ctrl_c_drops_the_line_and_ctrl_d_leaves(terminal: Start) -> None:
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.send("configure tenant t1")
    at.expect_exact("t1")  # the line is echoed: the terminal reads keys now
    at.sendcontrol("c")
    at.send("version\r")
    at.expect_exact("| product | avi-shell |")
    at.expect_exact(ROOT_PROMPT)
    at.sendcontrol("d")
    assert at.finish() == 0


def test_ctrl_c_drops_a_text_of_many_lines(terminal: Start) -> None:
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.send("configure tenant t1 description --\r")
    at.expect_exact("Please input the value for field description (Enter END to terminate input):")
    at.send("half\r")
    at.sendcontrol("c")
    at.expect_exact("tenant> ")
    at.send("description --\r")
    at.send("first?\rsecond\rEND\r")
    at.send("where\r")
    at.expect_exact("| description | first? |")
    at.expect_exact("|             | second |")
    at.send("cancel\rexit\r")
    assert at.finish() == 0


def test_an_error_points_at_the_word(terminal: Start) -> None:
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.send("show pol\r")
    at.expect(r"[^ ]" + " " * len(ROOT_PROMPT + "show ") + r"\^")
    at.expect_exact("error: 'pol' is not possible after 'show'; did you mean pool?")
    at.send("exit\r")
    assert at.finish() == 0


def test_under_a_long_line_it_points_below_the_line_s_last_row(terminal: Start) -> None:
    at = terminal()
    screen = Emulator(at, (80, 24))
    screen.shows(ROOT_PROMPT.strip())
    line = f"configure tenant {'t' * 50} nonsense x"
    at.send(f"{line}\r")
    screen.shows("error: 'nonsense'")
    shown = screen.lines
    error = next(number for number, text in enumerate(shown) if text.startswith("error: "))
    word = (len(ROOT_PROMPT) + line.index("nonsense")) % 80
    assert shown[error - 1] == " " * word + "^"
    assert "x" in shown[error - 2]


def test_ctrl_z_leaves_nothing_in_the_line(terminal: Start) -> None:
    """Nobody can bring it back here, so it does not stop. A shell around it has it suspended."""
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.sendcontrol("z")
    at.send("version\r")
    at.expect_exact("| product | avi-shell |")
    at.send("exit\r")
    assert at.finish() == 0


def test_history_is_kept_without_secrets(terminal: Start, state: Path) -> None:
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.send("configure vrfcontext v1 bgp_profile local_as 65000 peers peer_ip 10.1.1.9 md5_secret topsecret\r")
    at.expect_exact("bgp_profile:peers> ")
    at.send("cancel\rcancel\rcancel\rversion\r")
    at.expect_exact("| product | avi-shell |")
    at.send("exit\r")
    assert at.finish() == 0
    history = state / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "version" in history.read_text()
    assert "topsecret" not in history.read_text()


def test_the_last_line_comes_back(terminal: Start) -> None:
    first = terminal()
    first.expect_exact(ROOT_PROMPT)
    first.send("version\rexit\r")
    assert first.finish() == 0
    second = terminal()
    second.expect_exact(ROOT_PROMPT)
    second.send("\x1b[A\x1b[A\r")
    second.expect_exact("| product | avi-shell |")
    second.expect_exact(ROOT_PROMPT)
    second.sendcontrol("d")
    assert second.finish() == 0


def test_a_paste_of_several_lines_runs_them_all(terminal: Start) -> None:
    at = terminal()
    at.expect_exact(ROOT_PROMPT)
    at.send("\x1b[200~configure tenant t1\ndescription pasted\nwhere\x1b[201~\r")
    at.expect_exact("| description | pasted |")
    at.expect_exact("tenant> ")
    at.send("cancel\rexit\r")
    assert at.finish() == 0


def test_nothing_is_wider_than_the_terminal(terminal: Start) -> None:
    at = terminal()
    at.setwinsize(50, 80)
    at.logfile_read = io.StringIO()
    at.expect_exact(ROOT_PROMPT)
    at.send("configure healthmonitor h1 ?")
    at.expect_exact("allow_duplicate_monitors\r\n")
    at.sendcontrol("c")
    at.send("help\r")
    at.expect_exact("leave the shell")
    at.send("show applicationprofile System-HTTP\r")
    at.expect_exact("| uuid ")
    at.send("configure pool p1 lb_algorithm_hash source_ip\r")
    at.expect_exact("error: 'source_ip'")
    at.send("version\r")
    at.expect_exact("| product | avi-shell |")
    at.send("exit\r")
    assert at.finish() == 0
    shown = at.logfile_read.getvalue().split("\r\n")
    for begin in ("description ", " " * 21, "| uuid ", "+---"):
        assert any(line.startswith(begin) for line in shown)
    said = shown[next(n for n, line in enumerate(shown) if line.startswith("error: ")) :][:2]
    assert said[1].startswith("  ")
    lines = [line for line in shown if re.match(r"[|+ a-z]", line)]
    assert max(map(len, lines)) <= 80


def test_the_terminal_is_not_asked_where_its_cursor_stands(terminal: Start) -> None:
    at = terminal(PROMPT_TOOLKIT_NO_CPR="")
    shown = io.StringIO()
    at.logfile_read = shown
    at.expect_exact(ROOT_PROMPT)
    at.sendline("version")
    at.expect_exact("| product | avi-shell |")
    at.sendline("exit")
    assert at.finish() == 0
    assert "\x1b[6n" not in shown.getvalue()


def test_the_pager_has_no_shell_behind_it(terminal: Start) -> None:
    at = terminal(PAGER="more", LESS="-X")
    at.expect_exact(ROOT_PROMPT)
    at.sendline("terminal output detailed")
    at.expect_exact(ROOT_PROMPT)
    at.sendline("show applicationprofile System-HTTP | more")
    at.expect_exact("| Field ")
    at.sendline("!echo got-a-$((20+3))")
    at.send("q")
    at.sendline("q")
    at.expect_exact(ROOT_PROMPT)
    assert "got-a-23" not in at.before
    at.sendline("exit")


def test_a_page_of_the_manual_is_shown_formatted_and_paged(terminal: Start) -> None:
    at = terminal(LESS="-X")
    at.expect_exact(ROOT_PROMPT)
    at.sendline("help undo")
    at.expect_exact("History and undo")
    assert "# History" not in at.before
    at.send("q")
    at.sendline("terminal length 0")
    at.expect_exact(ROOT_PROMPT)
    at.expect_exact(ROOT_PROMPT)
    at.sendline("help undo | grep -c rollback")
    at.expect(r"\x1b\[\?2004l\d+\r\n")
    at.sendline("exit")
