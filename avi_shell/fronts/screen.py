"""The terminal's other screen: what stands on it is drawn in place, and is gone afterwards."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from avi_shell.fronts.keyboard import Keyboard
from avi_shell.output.marks import Span

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_REVERSE, _NO_REVERSE = "\x1b[7m", "\x1b[27m"
_UP, _DOWN, _PAGE_UP, _PAGE_DOWN = ("\x1b[A", "\x1bOA", "k"), ("\x1b[B", "\x1bOB", "j"), ("\x1b[5~", "b"), ("\x1b[6~",)
LEAVE, NOW = ("q", "Q"), (" ", "\n")
"""Keys that leave, and that draw at once."""
_LOOK_EVERY = 0.25
"""Seconds between two looks at the size of the terminal."""


class Screen:
    """The other screen, as long as it is entered; keyboard: what is typed meanwhile. top: lines scrolled away."""

    def __init__(self, keyboard: Keyboard) -> None:
        self._keyboard = keyboard
        self.top = 0

    def __enter__(self) -> Screen:
        self._keyboard.leave = _LEAVE
        _send(_ENTER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _send(_LEAVE)
        self._keyboard.leave = ""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        found = os.get_terminal_size(sys.stdout.fileno())
        return found.columns or 80, found.lines or 24

    def draw(self, lines: Sequence[str]) -> None:
        """Draw from the first row on, and clear what is below. lines: with their colours."""
        drawn = "\r\n".join(f"\x1b[2K{line}" for line in lines[: self.size[1]])
        _send(f"\x1b[H{drawn}\x1b[0m" + ("\r\n\x1b[J" if len(lines) < self.size[1] else ""))

    def page(self, head: str, foot: str, lines: Sequence[str], marks: Sequence[Sequence[Span]]) -> None:
        """Draw as much of some lines as has room below a head, from where they are scrolled to. foot: stands in the
        last row; marks: the places of each line that are drawn in reverse."""
        columns, rows = self.size
        room = max(1, rows - 2)
        self.top = max(0, min(self.top, len(lines) - room))
        end = min(len(lines), self.top + room)
        shown = [marked(lines[at], marks[at], columns) for at in range(self.top, end)]
        shown += [""] * (room - len(shown))
        where = f"lines {self.top + 1}-{end} of {len(lines)}: arrows, PgUp, PgDn; " if len(lines) > room else ""
        self.draw([f"\x1b[1m{head[:columns]}\x1b[22m", *shown, f"\x1b[2m{(where + foot)[: columns - 1]}\x1b[22m"])

    def waits(self, until: float, draw: Callable[[], None]) -> bool:
        """Wait, and draw anew what is scrolled or got another size. until: on the monotonic clock. Returns whether a
        key leaves; blank and Enter end the wait. Raises EOFError where the terminal is gone."""
        size = self.size
        while (left := until - time.monotonic()) > 0:
            pressed = self._keyboard.pressed(min(left, _LOOK_EVERY))
            if self._keyboard.ended:
                raise EOFError
            if pressed in LEAVE:
                return True
            if pressed in NOW:
                break
            if self._scrolled(pressed) or self.size != size:
                size = self.size
                draw()
        return False

    def _scrolled(self, key: str) -> bool:
        page = max(1, self.size[1] - 3)
        for keys, lines in ((_UP, -1), (_DOWN, 1), (_PAGE_UP, -page), (_PAGE_DOWN, page)):
            if key in keys:
                self.top = max(0, self.top + lines)
                return True
        return False


def marked(line: str, places: Sequence[Span], columns: int) -> str:
    """A line cut to some columns, with places of it in reverse."""
    made, at = "", 0
    for start, end in places:
        if start >= columns:
            break
        made += f"{line[at:start]}{_REVERSE}{line[start : min(end, columns)]}{_NO_REVERSE}"
        at = end
    return made + (line[at:columns] if at < columns else "")


def _send(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
