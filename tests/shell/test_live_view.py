"""`show virtualservice NAME live`: what a terminal draws of it, and what others get."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.fronts.livescreen import LiveScreen
from avi_shell.fronts.screen import Screen
from avi_shell.output.result import Result
from avi_shell.output.sight import Line, Sight
from avi_shell.session.session import Session
from avi_shell.views.gathering import Reports
from avi_shell.views.liveview import flows_begun, parts
from dataplane.ratehistory import RateHistory, short, sparkline

from .conftest import VIRTUAL_SERVICE, Run, Typist
from .emulator import Emulator
from .pretender import pretending

ROOT_PROMPT = "[admin:10-1-1-1]: > "
Start = Callable[..., Typist]


def test_rates_are_of_what_grew_since_the_look_before() -> None:
    first = RateHistory().added(10.0, {"a": 100, "b": 7})
    assert first.now("a") is None
    second = first.added(12.0, {"a": 300, "b": 7})
    assert (second.now("a"), second.now("b")) == (100.0, 0.0)
    third = second.added(13.0, {"a": 50, "c": 1})  # the engine began anew, and b is gone
    assert [third.now(key) for key in "abc"] == [None, None, None]
    fourth = third.added(14.0, {"a": 60})
    assert list(fourth.past("a")) == [10.0]
    rates = RateHistory(kept=3)
    for at in range(9):
        rates = rates.added(at, {"a": at * at})
    assert list(rates.past("a")) == [11.0, 13.0, 15.0]


def test_rates_in_few_characters() -> None:
    told = [short(rate) for rate in (None, 0.0, 0.44, 412.3, 9999.0, 12345.0, 4.1e6, 2.5e9)]
    assert told == ["-", "0", "0.4", "412", "9999", "12.3 k", "4.1 M", "2.5 G"]
    assert sparkline([0, 1, 2, 4], 6) == "  ▁▃▅█"
    assert sparkline([1, 1], 2, top=8) == "▂▂"
    assert sparkline([0, 0], 2) == "▁▁"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_a_terminal_shows_it_all_over_its_screen(terminal: Start, state: Path, columns: int, rows: int) -> None:
    uuid = _stored(state)
    with pretending(state, uuid, servers=60):
        at = terminal(COLORTERM="", LC_ALL="C.UTF-8")
        seen = Emulator(at, (columns, rows))
        seen.shows(ROOT_PROMPT.strip())
        at.send("show virtualservice vs1 live\r")
        seen.until(
            lambda: bool(re.match(r"vs1  OPER_UP  \d{3} packets/s  about 64 flows/s .*\d\d:\d\d:\d\d$", seen.lines[0]))
        )
        seen.until(lambda: any(re.match(r"no_service +\d+ +\d+ +\d\.\d\b", line) for line in seen.lines))
        screen = "\n".join(seen.lines)
        assert re.search(r"^10\.1\.1\.100 tcp 80 +OPER_UP +\d{3} +\d{3}\.\d k +[▁-█]+", screen, re.MULTILINE)
        assert "Pool p1: OPER_UP, 59 of 60 servers up" in screen
        head = next(at for at, line in enumerate(seen.lines) if line.startswith("Server "))
        assert re.match(r"10\.1\.1\.11:80 +OPER_DOWN +0 +0 ", seen.lines[head + 1])  # what is down stands first
        assert "no reply to ARP" in screen
        assert "server 10.1.1.11 of pool p1 is down" in screen  # an event
        assert seen.lines[-1].startswith("q leaves")
        (down,) = (x for x in range(columns) if seen.lines[head + 1][x : x + 9] == "OPER_DOWN")
        assert seen.screen.buffer[head + 1][down].fg == "red"
        first = re.search(r"servers 1-(\d+) of 60", screen)
        assert first is not None
        at.send("\x1b[B")
        seen.shows(f"servers 2-{int(first.group(1)) + 1} of 60")
        if columns == 80:
            seen.resize(200, 50)
            seen.until(lambda: seen.lines[49].startswith("q leaves"))
        at.send("q")
        seen.shows(ROOT_PROMPT.strip())
        at.send("exit\r")
        assert at.finish() == 0


def test_programs_get_tables_or_lines_of_json(shell: Run, state: Path) -> None:
    uuid = _stored(state)
    with pretending(state, uuid):
        text = shell("-c", "terminal width 80", "-c", "show virtualservice vs1 live 1 count 2").stdout
        told = shell("--json", "-c", "show virtualservice vs1 live count 2").stdout
    first, second = text.split("vs1: OPER_UP, about 64 flows/s\n")[1:]
    assert "| 10.1.1.100 tcp 80 | OPER_UP    | 1001      | 800.8 k |" in first  # as the engine tells it
    assert re.search(r"\| 10\.1\.1\.10:80 +\| OPER_UP +\| - +\| - +\| 50\.0 % \|", first)
    assert re.search(r"\| 10\.1\.1\.100 tcp 80 \| OPER_UP +\| \d{3} +\| \d{3}\.\d k \|", second)
    assert re.search(r"\| 10\.1\.1\.10:80 \| OPER_UP +\| \d{3} +\| \d{3}\.\d k \| 50\.0 % \|", second)
    assert "10.1.1.11:80 is down: no reply to ARP" in second
    assert re.search(r"\| no_service \| \d+ +\| \d+ +\| \d\.\d +\| se-1 ", second)
    assert "server 10.1.1.11 of pool p1 is down: no reply to ARP" in second
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    before, after = (json.loads(line)["data"][0] for line in told.splitlines())
    assert before["services"][0]["packets_per_second"] is None
    assert 300 < after["services"][0]["packets_per_second"] <= 1000
    assert after["dropped"]["no_service"]["packets"] > before["dropped"]["no_service"]["packets"]
    assert after["pools"][0]["servers"][1]["reason"] == "no reply to ARP"


def test_without_an_engine_it_says_so(shell: Run, state: Path) -> None:
    _stored(state)
    done = shell("-c", "show virtualservice vs1 live count 1")
    assert done.returncode == 0
    assert done.stdout.startswith("vs1: OPER_UNAVAIL\nNo service engine runs. Start one: avi-se run --state ")
    refused = shell("-c", "show virtualservice vs2 live")
    assert (refused.returncode, "vs2" in refused.stderr) == (1, True)


def _stored(state: Path) -> str:
    """A virtual service's uuid, once it is stored."""
    with closing(Configuration.open(state)) as configuration:
        session = Session(configuration, state)
        assert all(session.run(line).ok for line in VIRTUAL_SERVICE.splitlines())
        return str(session.run("show virtualservice vs1").data["uuid"])


@pytest.mark.parametrize(("begun", "told"), [(192.0, "about 192 flows/s"), (0.0, "too few new flows to count")])
def test_a_rate_of_flows_is_told_where_some_were_seen(begun: float, told: str) -> None:
    service = {"vip": "10.1.1.100", "protocol": "tcp", "port": 80, "port_end": 80}
    rates = {"services": {"10.1.1.100/tcp/80-80": {"packets": 50.0, "bytes": 3000.0, "flows": begun}}}
    assert flows_begun(Reports([{"name": "se-1", "services": [service], "rates": rates}])) == told
    assert flows_begun(Reports([{"name": "se-1", "services": [service], "rates": None}])) == ""


class Wide(Screen):
    """A screen that keeps what was drawn."""

    def __init__(self) -> None:
        self.top, self.lines = 0, ""

    @property
    def size(self) -> tuple[int, int]:
        return 80, 24

    def draw(self, lines: Sequence[str]) -> None:
        self.lines = "\n".join(re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines)


def test_the_longest_state_has_room() -> None:
    line = Line("se-1", "10.1.1.100 tcp 80", "OPER_INITIALIZING", "", None, None, ())
    screen = Wide()
    LiveScreen(screen).show(Result("", sight=Sight("vs1", line.state, [line], [replace(line, state="OPER_UP")])))
    assert "OPER_INITIALIZING  " in screen.lines.split("Service", 1)[1]


def test_events_of_several_engines_say_whose_they_are() -> None:
    event = {"at": 1.0, "text": "VIP 10.0.0.1 is up", "service_engine": "se-2"}
    lines = [Line(engine, "10.0.0.1 tcp 80", "OPER_UP", "", None, None, ()) for engine in ("se-1", "se-2")]
    told = [str(parts(Sight("vs1", "OPER_UP", some, events=[event]))[-1]) for some in (lines, lines[:1])]
    assert [" se-2: VIP 10.0.0.1 is up" in text for text in told] == [True, False]


def test_a_frame_that_comes_in_pieces_is_whole_when_it_is_looked_at() -> None:
    words = "printf half; sleep 0.1; printf ' and half'; exec sleep 60"
    seen = Emulator(pexpect.spawn("sh", ["-c", words], encoding="utf-8"), (40, 3))
    seen.shows("half")
    seen.settle()
    assert seen.lines[0] == "half and half"
    seen.at.close(force=True)


def test_a_reason_is_whole_on_a_narrow_terminal() -> None:
    line = Line("se-1", "192.168.1.12:80", "OPER_DOWN", "", None, None, ())
    reason = f"{line.name} is down: server answers, VIP does not: VIP missing on its loopback?"
    screen = Wide()
    events = [{"at": 1.0, "text": f"event {number}"} for number in range(20)]
    LiveScreen(screen).show(Result("", sight=Sight("vs1", "OPER_UP", [line], [line], [reason], events=events)))
    assert reason in " ".join(part.strip() for part in screen.lines.split("\n"))
    assert "event 19" in screen.lines
