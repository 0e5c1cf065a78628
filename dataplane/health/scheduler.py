"""Decides when probes run: one heap of moments on the event loop, for any number of checks.

From the second run on, an entry is due at fixed intervals, however long its runs take: nothing drifts. Entries that are
added together are spread over their interval, so that 5,000 of them are no burst. Runs that were missed altogether
because the machine stood still are left out, not made up for.

A run begins with a call, and is over when `ended` is called: a task for each would cost more than a probe.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import resource
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dataplane.runtime import tasks

BURST = 2000
"""First runs a second: up to this rate, entries that are added together begin at once."""
RUNNING = 10_000
"""Runs at a time. Those beyond wait, first come, first served."""
GRAIN = 0.04
"""Seconds. Runs due within it begin together, at its end, and are one list: waking up costs more than some runs do. At
1,000 runs a second a run's share of the schedule took 20 µs with 0.01, 14 with 0.02, 8 with 0.05."""
_GOLDEN = 0.6180339887498949
_OTHER_FILES = 1024
"""Files that the process needs for everything but probes that run; sockets kept for later ones are among them."""
_NEAREST = 0.25
"""The second run comes after this share of the interval, at least: that spreads the entries."""


@dataclass(slots=True, eq=False)
class Entry:
    """Something that runs again and again."""

    run: Callable[[], None]  # begins a run
    interval: float  # seconds
    due: float  # its next run, in the loop's time
    phase: float  # share of the interval between its first and its second run
    runs: int = 0  # begun so far
    stopped: bool = False  # it runs no more


def running_limit(wanted: int = RUNNING) -> int:
    """How many runs at a time, up to `wanted`, the process has file descriptors for: a probe without one would report
    its server dead. Raises the process's own limit as far as it may (RLIMIT_NOFILE, getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - _OTHER_FILES))


class Scheduler:
    """Runs entries, on one event loop. `late` holds how many seconds after their due times the last runs began."""

    def __init__(self, running: int = RUNNING) -> None:
        self._limit = running
        self._running = 0
        self._moments: list[int] = []  # a heap, in grains
        self._due: dict[int, list[Entry]] = {}  # what is due at each of them
        self._waiting: deque[Entry] = deque()
        self._phases = itertools.count(1)
        self._next_first = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = 0
        self.late: deque[float] = deque(maxlen=10_000)

    def add(self, run: Callable[[], None], interval: float) -> Entry:
        """Call `run` every `interval` seconds from now on. The caller must call `ended` for each run, also for one that
        raises."""
        now = asyncio.get_running_loop().time()
        self._next_first = max(self._next_first + 1 / BURST, now)
        phase = next(self._phases) * _GOLDEN % 1
        entry = Entry(run, interval, self._next_first, _NEAREST + (1 - _NEAREST) * phase)
        self._push(entry)
        return entry

    def run_now(self, entry: Entry) -> None:
        """Run an entry at once, besides its due times."""
        asyncio.get_running_loop().call_soon(self._begin, entry)

    def ended(self) -> None:
        """Note that one run is over."""
        self._running -= 1
        while self._waiting and self._running < self._limit:
            waiting = self._waiting.popleft()
            waiting.runs -= 1
            self._begin(waiting)

    def remove(self, entry: Entry) -> None:
        """Stop running an entry."""
        entry.stopped = True

    def close(self) -> None:
        """Stop running all entries."""
        if self._timer is not None:
            self._timer.cancel()
        for entry in (*itertools.chain.from_iterable(self._due.values()), *self._waiting):
            entry.stopped = True
        self._moments.clear()
        self._due.clear()
        self._waiting.clear()

    def _push(self, entry: Entry) -> None:
        moment = math.ceil(entry.due / GRAIN)
        if moment in self._due:
            self._due[moment].append(entry)
            return
        self._due[moment] = [entry]
        heapq.heappush(self._moments, moment)
        if self._timer is None or moment < self._wakes:
            self._sleep()

    def _sleep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._moments:
            self._wakes = self._moments[0]
            self._timer = asyncio.get_running_loop().call_at(self._wakes * GRAIN, self._wake)

    def _wake(self) -> None:
        now = asyncio.get_running_loop().time()
        late, others = self.late, self._due
        while self._moments and self._moments[0] * GRAIN <= now:
            for entry in others.pop(heapq.heappop(self._moments)):
                if entry.stopped:
                    continue
                late.append(now - entry.due)
                self._begin(entry)
                due = entry.due + entry.interval * (entry.phase if entry.runs == 1 else 1)
                if due <= now:  # missed runs are left out
                    due += entry.interval * ((now - due) // entry.interval + 1)
                entry.due = due
                together = others.get(math.ceil(due / GRAIN))
                if together is None:
                    self._push(entry)
                else:
                    together.append(entry)
        self._sleep()

    def _begin(self, entry: Entry) -> None:
        if entry.stopped:
            return
        entry.runs += 1
        if self._running >= self._limit:
            self._waiting.append(entry)
            return
        self._running += 1
        try:
            entry.run()
        except Exception as exc:  # the others have their turn, and this one its next
            tasks.tell("a probe was not started", exc)
