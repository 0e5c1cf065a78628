"""The live view of a virtual service on the terminal's whole screen, redrawn with every look."""

from __future__ import annotations

import io
import textwrap
import time
from collections.abc import Sequence

from rich.console import Console
from rich.layout import Layout
from rich.table import Table
from rich.text import Text

from avi_shell.fronts.screen import Screen
from avi_shell.output.result import Result
from avi_shell.output.sight import Line, Sight
from dataplane import client
from dataplane.foreign.text import visible
from dataplane.ratehistory import short, sparkline

_COLOURS = {
    "OPER_UP": "green",
    "OPER_DOWN": "bold red",
    "OPER_UNAVAIL": "bold red",
    "OPER_DISABLED": "yellow",
    "OPER_INITIALIZING": "cyan",
    "OPER_UNKNOWN": "magenta",
}
_SEVERE = {"critical": "bold red", "error": "red", "warning": "yellow"}
_WORST_FIRST = {"OPER_DOWN": 0, "OPER_UNKNOWN": 1, "OPER_INITIALIZING": 2, "OPER_DISABLED": 3, "OPER_UP": 4}
_STATE = len("OPER_DISABLED")
"""The least width of a state. The two longer ones widen the column while they are seen."""
_WIDE = 120
"""From so many columns on, more is shown."""


class LiveScreen:
    """Draws what there is to see of a virtual service; the servers scroll."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._sight: Sight | None = None

    def show(self, result: Result) -> None:
        """Draw another look."""
        if isinstance(result.sight, Sight):
            self._sight = result.sight
            self._draw()

    def waits(self, until: float) -> bool:
        """Wait for the next look. Returns whether to leave."""
        return self._screen.waits(until, self._draw)

    def _draw(self) -> None:
        if self._sight is None:
            return
        columns, rows = self._screen.size
        console = Console(
            file=io.StringIO(),
            width=columns,
            height=rows,
            force_terminal=True,
            color_system="standard",
            legacy_windows=False,
            emoji=False,
            markup=False,
            highlight=False,
        )
        with console.capture() as captured:
            console.print(self._layout(self._sight, columns, rows), end="")
        self._screen.draw(captured.get().rstrip("\n").split("\n"))

    def _layout(self, sight: Sight, columns: int, rows: int) -> Layout:
        said = [*sight.told, *sight.pools]
        services = min(len(sight.services), max(1, rows // 6)) + 1 if sight.services else 0
        above = min(len(said), 3)
        free = rows - 2 - above - services
        wanted = len(sight.servers) + 1 + len(_reasons(sight, columns))
        stacked = bool(sight.drops) and columns < _WIDE
        least = rows // 8 if columns < _WIDE else rows // 4
        lower, below = self._below(sight, columns, max(least, (free - wanted) // (1 + stacked) - 1))
        room = max(2, free - below)
        whole = Layout()
        whole.split_column(
            Layout(self._head(sight, columns), size=1),
            *(Layout(Text(visible(line), no_wrap=True, overflow="ellipsis"), size=1) for line in said[:above]),
            *([Layout(self._lines(sight, sight.services, columns, services), size=services)] if services else []),
            Layout(self._servers(sight, columns, room), size=room),
            lower,
            Layout(Text("q leaves; arrows, PgUp and PgDn scroll the servers", style="dim", no_wrap=True), size=1),
        )
        return whole

    def _below(self, sight: Sight, columns: int, most: int) -> tuple[Layout, int]:
        """Drops and events, side by side where there is room for both, and the rows that they take. most: of each."""
        drops, events = (min(most, len(some)) + 1 if some else 0 for some in (sight.drops, sight.events))
        if columns >= _WIDE:
            room = max(2, min(most, max(len(sight.drops), len(sight.events))) + 1)
            lower = Layout(size=room)
            lower.split_row(Layout(self._drops(sight, room), size=60), Layout(self._events(sight, room, columns)))
            return lower, room
        lower = Layout(size=max(1, drops + events))
        above = [Layout(self._drops(sight, drops), size=drops)] if drops else []
        lower.split_column(*above, Layout(self._events(sight, events, columns)))
        return lower, max(1, drops + events)

    def _head(self, sight: Sight, columns: int) -> Table:
        head = Table.grid(expand=True)
        head.add_column(no_wrap=True)
        head.add_column(justify="right", no_wrap=True)
        told = Text.assemble((visible(sight.name), "bold"), "  ", _state(sight.state))
        total = [line.packets for line in sight.services if line.packets is not None]
        if total:
            told.append(f"  {short(sum(total))} packets/s")
        if sight.flows:
            told.append(f"  {sight.flows}")
        head.add_row(told, time.strftime("%H:%M:%S"))
        return head

    def _lines(self, sight: Sight, lines: Sequence[Line], columns: int, rows: int) -> Table:
        """Services or servers, a row each, and how their rates went. rows: the first of them are the headings."""
        several = sight.several
        is_wide = columns >= _WIDE
        table = Table(box=None, expand=True, pad_edge=False, header_style="bold underline")
        shares = lines is not sight.services
        table.add_column("Server" if shares else "Service", no_wrap=True, overflow="ellipsis", ratio=3)
        if several:
            table.add_column("Engine", no_wrap=True, overflow="ellipsis", ratio=2)
        states = max((len(line.state) for line in (*sight.services, *sight.servers)), default=0)
        table.add_column("State", no_wrap=True, width=max(_STATE, states))
        table.add_column("Packets/s", justify="right", no_wrap=True, width=9)
        table.add_column("Bits/s", justify="right", no_wrap=True, width=8)
        bars = 30 if is_wide else 12
        table.add_column("", no_wrap=True, width=bars)
        table.add_column("Share" if shares else "", justify="right", no_wrap=True, width=7)
        if is_wide:
            table.add_column("Reason", no_wrap=True, overflow="ellipsis", ratio=6)
        top = max((rate for line in lines for rate in line.past[-bars:]), default=0.0)
        for line in lines[: rows - 1]:
            cells = [visible(line.name)] + ([visible(line.engine)] if several else [])
            spark = Text(sparkline(line.past, bars, top), style="cyan")
            share = "" if line.share is None else f"{100 * line.share:.1f} %"
            rates = (short(line.packets), short(line.bits))
            table.add_row(
                *cells, _state(line.state), *rates, spark, share, *([visible(line.reason)] if is_wide else [])
            )
        return table

    def _servers(self, sight: Sight, columns: int, room: int) -> Layout:
        """Servers that are not up stand first. Below them stand the reasons, as far as there is room."""
        ordered = sorted(sight.servers, key=lambda line: _WORST_FIRST.get(line.state, 0))
        told = _reasons(sight, columns)
        all_fit = 1 + len(ordered) + len(told) <= room
        why = len(told) if all_fit else min(len(told), max(0, room - 2 - min(len(ordered), room // 2)))
        rows = room - why
        more = len(ordered) > rows - 1
        shown = max(1, rows - 1 - more)
        self._screen.top = max(0, min(self._screen.top, len(ordered) - shown))
        first = self._screen.top
        table = self._lines(sight, ordered[first : first + shown], columns, shown + 1)
        layout = Layout()
        last = min(len(ordered), first + shown)
        layout.split_column(
            Layout(table, size=shown + 1),
            *([Layout(_dim(f"servers {first + 1}-{last} of {len(ordered)}"), size=1)] if more else []),
            *(Layout(Text(one, style="yellow", no_wrap=True, overflow="ellipsis"), size=1) for one in told[:why]),
        )
        return layout

    def _drops(self, sight: Sight, rows: int) -> Table:
        table = Table(box=None, expand=True, pad_edge=False, header_style="bold underline")
        table.add_column("Dropped", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("Service", justify="right", no_wrap=True, width=11)
        table.add_column("Engine", justify="right", no_wrap=True, width=11)
        table.add_column("Engine/s", justify="right", no_wrap=True, width=8)
        table.add_column("", width=1)
        several = len({drop.engine for drop in sight.drops}) > 1
        for drop in sorted(sight.drops, key=lambda drop: (-(drop.rate or 0), -drop.total))[: rows - 1]:
            name = f"{drop.reason} ({drop.engine})" if several else drop.reason
            table.add_row(
                visible(name), f"{drop.own:,}", f"{drop.total:,}", short(drop.rate), style="red" if drop.rate else ""
            )
        return table

    def _events(self, sight: Sight, rows: int, columns: int) -> Table:
        table = Table(box=None, expand=True, pad_edge=False, header_style="bold underline")
        table.add_column("Events", no_wrap=True, overflow="ellipsis")
        for event in sight.events[-max(1, rows - 1) :]:
            told = client.event_words(event, sight.engine_of(event))
            told = told if columns >= _WIDE else told.partition(" ")[2]  # without the day
            table.add_row(Text(visible(told), style=_SEVERE.get(str(event.get("severity")), "")))
        return table


def _reasons(sight: Sight, columns: int) -> list[str]:
    """The reasons below the servers, in lines that fit; a wide terminal has each beside its server."""
    if columns >= _WIDE:
        return []
    words = (visible(one) for one in sight.reasons)
    return [
        line for one in words for line in textwrap.wrap(one, columns, subsequent_indent="  ", break_on_hyphens=False)
    ]


def _state(state: str) -> Text:
    return Text(state, style=_COLOURS.get(state, ""))


def _dim(text: str) -> Text:
    return Text(text, style="dim", no_wrap=True)
