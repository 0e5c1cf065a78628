"""Lines that are run again and again (`watch`): their runs, and how a terminal draws them in place."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from avi_shell.fronts.screen import Screen
from avi_shell.output import render
from avi_shell.output.marks import changed
from avi_shell.output.result import Result
from avi_shell.session.session import Session

SPARED = 3
"""The pause after a run is at least so many times as long as the run, since runs also take the engines' time."""


def runs(session: Session, line: str, first: Result, waits: Callable[[float], bool]) -> Iterator[Result]:
    """The results of a line: the first, and those of its later runs, as often as it says; one that is refused is the
    last. waits: waits until a time of the monotonic clock, and says whether to leave."""
    result, number, began, took = first, 1, time.monotonic(), 0.0
    while True:
        yield result
        again = result.repeat
        if again is None or number == again.times:
            return
        if waits(max(began + again.seconds, began + (1 + SPARED) * took)):
            return
        began = time.monotonic()
        result = session.again(line)
        took = time.monotonic() - began
        number += 1


_OPTIONS = re.compile(r"\A(?:do\s+)?w\w*\s+(?:\d+\s+)?(?:c\w*\s+\d+\s+)?")
"""What stands before the command that is watched."""


class Drawn(Protocol):
    """What a line that is watched draws."""

    def show(self, result: Result) -> None:
        """Draw the result of another run."""

    def waits(self, until: float) -> bool:
        """Wait for the next run; what is scrolled or resized meanwhile is drawn anew. Returns whether to leave."""


def picture(session: Session, line: str, first: Result, screen: Screen) -> Drawn:
    """How a line is drawn. first: the result of its first run."""
    if first.sight is None or first.pipes:
        return Picture(session, line, screen)
    from avi_shell.fronts.livescreen import LiveScreen  # late: it brings rich

    return LiveScreen(screen)


class Picture:
    """What a line that is watched draws, with what changed since its last run marked."""

    def __init__(self, session: Session, line: str, screen: Screen) -> None:
        self._session, self._screen = session, screen
        self._line = _OPTIONS.sub("", line.strip())
        self._result = Result(line)
        self._at = ""  # when the result was had
        self._before: list[str] = []  # the lines of the run before

    def show(self, result: Result) -> None:
        """Draw the result of another run."""
        if self._at:
            self._before = self._lines()
        self._result, self._at = result, time.strftime("%H:%M:%S")
        self._draw()

    def waits(self, until: float) -> bool:
        """Wait for the next run; what is scrolled or resized meanwhile is drawn anew. Returns whether to leave."""
        return self._screen.waits(until, self._draw)

    def _lines(self) -> list[str]:
        width = self._session.settings.width or self._screen.size[0]
        told = [*self._result.parts, *(f"warning: {one}" for one in self._result.warnings)]
        if self._result.error is not None:
            told += render.refused(self._result.error)
        return render.text_lines(told, width)

    def _draw(self) -> None:
        lines = self._lines()
        marks = changed(self._before, lines) if self._before else [[]] * len(lines)
        repeat, columns = self._result.repeat, self._screen.size[0]
        every = f"Every {repeat.seconds} s: " if repeat is not None else ""
        head = f"{every}{self._line}"[: columns - len(self._at) - 2]
        self._screen.page(f"{head:<{columns - len(self._at)}}{self._at}", "q leaves", lines, marks)
