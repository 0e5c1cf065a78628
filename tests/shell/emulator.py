"""A terminal with a screen, as people see it: the shell at a pseudo-terminal, and pyte that draws what it sends."""

from __future__ import annotations

import time
from collections.abc import Callable

import pexpect
import pyte

DEADLINE = 30.0
"""Seconds within which a screen comes to show what is expected."""


class Emulator:
    """What a spawned program draws. size: columns and rows."""

    def __init__(self, at: pexpect.spawn, size: tuple[int, int]) -> None:
        self.at = at
        self._screen = pyte.Screen(*size)
        self._stream = pyte.Stream(self._screen)
        at.setwinsize(size[1], size[0])

    @property
    def lines(self) -> list[str]:
        """The rows of the screen."""
        return [row.rstrip() for row in self._screen.display]

    @property
    def screen(self) -> pyte.Screen:
        """The screen with its cells."""
        return self._screen

    def reversed(self) -> list[str]:
        """The pieces that stand in reverse, row by row."""
        found = []
        for y in range(self._screen.lines):
            row = self._screen.buffer[y]
            text = "".join(row[x].data if row[x].reverse else "\0" for x in range(self._screen.columns))
            found += [piece for piece in text.split("\0") if piece]
        return found

    def until(self, shown: Callable[[], bool]) -> None:
        """Draw what comes until the screen shows something. To look at a screen takes longer than to draw on it: it is
        looked at when nothing more comes at once."""
        deadline = time.monotonic() + DEADLINE
        while not shown():
            while not self._draws(0.1):
                assert time.monotonic() < deadline, "\n".join(self.lines)
            while self._draws(0):
                assert time.monotonic() < deadline, "\n".join(self.lines)

    def settle(self) -> None:
        """Draw what comes until nothing has come for a while: a frame may come in pieces, and is half drawn between."""
        deadline = time.monotonic() + DEADLINE
        while self._draws(0.3):
            assert time.monotonic() < deadline, "\n".join(self.lines)

    def _draws(self, seconds: float) -> bool:
        """Draw what comes within a time, if anything does."""
        try:
            self._stream.feed(self.at.read_nonblocking(1 << 16, timeout=seconds))
        except pexpect.TIMEOUT:
            return False
        return True

    def shows(self, text: str) -> None:
        """Draw what comes until a row has a text."""
        self.until(lambda: any(text in row for row in self.lines))

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self._screen.resize(rows, columns)
        self.at.setwinsize(rows, columns)
