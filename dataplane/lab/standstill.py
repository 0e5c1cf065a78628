"""How long the machine itself stood still: what a bound of time allows for, and nothing else.

A virtual machine, or one of its processors, may be given no time for a second or two. Whatever is measured meanwhile
takes as much longer, whoever is measured.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

EVERY = 0.02
"""Seconds between two looks of a processor at the clock."""
LATE = 0.1
"""Seconds that a look may be late on a machine that is only busy."""


class Witness:
    """`with Witness() as machine: …; machine.stood(begun)`. Notes, on each processor, how late a thread is that wants
    nothing but to look at the clock."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        processors = sorted(os.sched_getaffinity(0))
        self._looked = dict.fromkeys(processors, time.monotonic())  # when each looked last
        self._late: list[tuple[float, float]] = []  # from when on, and until when, one was late
        self._threads = [threading.Thread(target=self._look, args=(one,), daemon=True) for one in processors]

    def __enter__(self) -> Witness:
        self._looked = dict.fromkeys(self._looked, time.monotonic())
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def stood(self, begun: float, ended: float | None = None) -> float:
        """Seconds between two times (of time.monotonic; now is the later one by default) in which a processor or more
        stood still."""
        now = time.monotonic()
        ended = now if ended is None else ended
        waiting = [(when, now) for when in self._looked.values() if now - when > EVERY + LATE]  # has yet to wake
        total, last = 0.0, begun
        for since, until in sorted([*self._late, *waiting]):
            total += max(0.0, min(until, ended) - max(since, last))
            last = max(last, min(until, ended))
        return total

    def _look(self, processor: int) -> None:
        with suppress(OSError):  # it was taken away meanwhile
            os.sched_setaffinity(0, {processor})  # of this thread alone
        while not self._ending.wait(EVERY):
            before, now = self._looked[processor], time.monotonic()
            if now - before > EVERY + LATE:
                self._late.append((before, now))
            self._looked[processor] = now
