"""`watch`: what a terminal shows of a command that is run again and again, and what others get of it."""

import json
import re
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.fronts import watching
from avi_shell.output.marks import changed
from avi_shell.output.result import Result
from avi_shell.session.session import Session
from dataplane.drawing import draw

from .conftest import Run, Typist
from .emulator import Emulator

ROOT_PROMPT = "[admin:10-1-1-1]: > "
Start = Callable[..., Typist]


def marked(before: list[str], after: list[str]) -> list[list[str]]:
    return [
        [line[start:end] for start, end in marks] for line, marks in zip(after, changed(before, after), strict=True)
    ]


def test_changed_cells_and_words_are_marked_wherever_their_line_went() -> None:
    columns = ("Name", "State", "Packets")
    before = [*draw(columns, [("p1", "UP", "9"), ("p2", "UP", "")]).split("\n"), "Pool p1: UP, 2 of 3"]
    rows = [("p0", "UP", "1"), ("p1", "DOWN", "10,000,000"), ("p2", "UP", "")]
    after = [*draw(columns, rows).split("\n"), "Pool p1: UP, 1 of 3", "p1 is down"]
    assert marked(before, after) == [
        [],
        [],
        [],
        ["p0", "UP", "1"],  # a new row
        ["DOWN", "10,000,000"],  # wider than before: the other rows are moved, not changed
        [],
        [],
        ["1"],
        ["p1", "is", "down"],
    ]
    assert marked(after, after) == [[] for _ in after]


def test_a_folded_row_is_compared_with_itself() -> None:
    def table(state: str) -> list[str]:
        return draw(("Field", "Value"), [("a", f"one\n{state}"), ("b", "one\ntwo")]).split("\n")

    assert [marks for marks in marked(table("two"), table("2")) if marks] == [["2"]]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_a_terminal_redraws_in_place_and_marks(terminal: Start, state: Path, columns: int, rows: int) -> None:
    _run(state, *(line for number in range(20) for line in (f"configure tenant t{number:02} description old", "save")))
    at = terminal()
    seen = Emulator(at, (columns, rows))
    seen.shows(ROOT_PROMPT.strip())
    at.send("watch 1 show tenant t05 | except uuid\r")
    seen.shows("Every 1 s: show tenant t05")
    seen.shows("| description")
    assert seen.reversed() == []
    _run(state, "configure tenant t05 description new", "save")
    seen.until(lambda: seen.reversed() == ["new"])
    assert sum("| description" in line for line in seen.lines) == 1  # in place
    at.send("q")
    seen.shows(ROOT_PROMPT.strip())
    assert any("new" in line for line in seen.lines)  # what was seen last stays
    at.send("watch show tenant\r")
    seen.shows("| admin")
    if rows == 24:
        seen.shows("lines 1-22 of 25: arrows, PgUp, PgDn; q leaves")
        at.send("\x1b[6~")
        seen.shows("| t19")
        seen.resize(200, 50)
        seen.shows("| admin")
    seen.until(lambda: seen.lines[49 if rows == 50 else -1].startswith("q leaves"))
    at.sendcontrol("c")
    seen.shows(ROOT_PROMPT.strip())
    at.send("history | count\r")
    seen.shows("3")  # each line once, however often it ran
    at.send("watch show tenant\r")
    at.expect_exact("q leaves")
    at.kill(signal.SIGTERM)
    at.expect_exact("\x1b[?1049l")  # the terminal has its other screen again
    assert at.finish() is None


def test_a_plain_terminal_prints_anew_and_q_leaves(terminal: Start) -> None:
    at = terminal("--plain")
    at.expect_exact(ROOT_PROMPT)
    at.send("watch 1 show tenant | count\r")
    at.expect_exact("\n1\r")
    at.expect_exact("\n1\r")
    at.send("q")
    at.expect_exact(ROOT_PROMPT)
    assert "\x1b" not in at.before
    at.send("exit\r")
    assert at.finish() == 0


def test_a_program_gets_as_many_runs_as_it_wants(shell: Run, state: Path) -> None:
    done = shell("--json", "-c", "watch 1 count 2 show tenant")
    assert done.returncode == 0
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["command"] for one in told] == ["watch 1 count 2 show tenant"] * 2
    assert told[0]["data"] == told[1]["data"]
    assert len(re.findall("watch", (state / "audit.jsonl").read_text())) == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("watch 0 show tenant", "0 is out of range; expected: <1-3600>"),
        ("watch 2 count 100000 show tenant", "100000 is out of range; expected: <1-99999>"),
        ("watch 2.5 show tenant", "'2.5' is not a number; expected: <1-3600>"),
        ("watch 5", "the line ends after '5', where more must follow; expected: count, show"),
        ("watch count 3 delete pool p", "'watch' runs show; not 'delete'"),
    ],
)
def test_what_is_refused(session: Session, line: str, told: str) -> None:
    from avi_shell.output.render import message

    result = session.run(line)
    assert result.error is not None
    assert message(result.error) == told
    assert result.repeat is None


def test_runs_that_take_long_come_less_often(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    first = session.run("watch 1 count 3 show tenant")
    now, due = [100.0], []

    def slow(line: str) -> Result:
        now[0] += 2.0
        return first

    def waits(until: float) -> bool:
        due.append(until - now[0])
        now[0] = until
        return False

    monkeypatch.setattr(session, "again", slow)
    monkeypatch.setattr("avi_shell.fronts.watching.time.monotonic", lambda: now[0])
    assert len(list(watching.runs(session, "", first, waits))) == 3
    assert due == [1.0, 6.0]


def test_do_watch_repeats_too(session: Session) -> None:
    session.run("configure tenant t1")
    repeat = session.run("do watch 3 show tenant").repeat
    assert repeat is not None
    assert repeat.seconds == 3
    assert session.run("show tenant").repeat is None


def _run(state: Path, *lines: str) -> None:
    """Run lines in another session."""
    with closing(Configuration.open(state)) as configuration:
        session = Session(configuration, state)
        assert all(session.run(line).ok for line in lines)
