"""Long work on the event loop, shared with what else the loop has to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

AT_LEAST, AT_MOST = 0.005, 0.05
"""Seconds that long work has the loop before others have it."""


class Turns:
    """Shares the loop: long work has it for as long as the others had it. That is half, where thousands of probes a
    second want all of it.

    clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun, self._share = clock(), AT_LEAST

    async def last(self, pieces: Iterable[T]) -> T:
        """The last of several pieces. Others have the loop between the making of two, when there are turns."""
        found: list[T] = []
        for piece in pieces:
            found[:] = [piece]
            await self.give()
        return found[0]

    async def give(self) -> bool:
        """Give the loop to the others, if this turn has had its time. Returns whether it did."""
        now = self._clock()
        if now - self._begun < self._share:
            return False
        await asyncio.sleep(0)
        self._begun = self._clock()
        self._share = min(AT_MOST, max(AT_LEAST, self._begun - now))
        return True
