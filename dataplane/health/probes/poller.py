"""Waits for the sockets and timeouts of all probes, with one epoll and one timer.

The event loop watches only the epoll: watching a thousand sockets a second itself would cost more than the probes.
A file that is used again stays in the epoll, with EDGE, and is paused in between.

While the event loop is blocked nobody reads what servers answer. Time stands still for probes then, so that no server
is reported down because the engine was busy.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import select
from collections.abc import Callable

from dataplane.runtime import tasks

WRITABLE, READABLE = select.EPOLLOUT, select.EPOLLIN
EDGE = select.EPOLLET
"""An event to watch for beside the others: the epoll then tells of news alone, so of a paused file it tells nothing."""
BROKEN = select.EPOLLERR | select.EPOLLHUP
"""What is told of a socket with an error, or without a connection."""
GRAIN = 0.01
"""Seconds. Timeouts that end within it are reported together."""
_BURST = 256
"""Ready files taken by one poll."""
_STILL = 0.05
"""Seconds. If the timer is later than this, the loop was blocked."""
_GRACE = 0.1
"""Seconds added then: for the answers to what could only be sent afterwards."""
_AGAIN = 5
"""Times in a row that a blocked loop stops the time; then it passes once all the same. A silent server must be found
even when the engine is always too busy."""

Ready = Callable[[int], None]
"""Takes the events of a file."""


class Timeout:
    """A timeout that somebody waits for. due: in the poller's time; among: those that wait, it too."""

    __slots__ = ("_among", "_over", "due")

    def __init__(self, due: float, over: Callable[[], None], among: dict[Timeout, None]) -> None:
        self.due = due
        self._over: Callable[[], None] | None = over
        self._among = among

    def cancel(self) -> None:
        """Stop waiting."""
        self._over = None
        self._among.pop(self, None)

    def tell(self) -> None:
        """Report that it is over, and wait no more."""
        over = self._over
        self.cancel()
        if over is not None:
            over()


class Poller:
    """Waits for files and timeouts. It may be made anywhere, and is used on one event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._time: Callable[[], float] | None = None
        self._epoll: select.epoll | None = None
        self._events: dict[int, int] = {}
        self._ready: dict[int, Ready] = {}
        self._gone: set[int] = set()
        self._timeouts: dict[float, dict[Timeout, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = math.inf
        self._still = 0.0
        self._in_a_row = 0

    def watch(self, number: int, events: int, ready: Ready) -> None:
        """Call `ready` whenever a file is ready for one of these events, or has an error."""
        known = self._events.get(number)
        if known != events:
            if self._epoll is None:
                self._epoll = select.epoll()
                self._running().add_reader(self._epoll.fileno(), self._hear)
            if known is None:
                self._epoll.register(number, events)
            else:
                self._epoll.modify(number, events)
            self._events[number] = events
        self._ready[number] = ready

    def pause(self, number: int) -> None:
        """Tell nothing of a file until it is watched again. It must be watched with EDGE."""
        self._ready.pop(number, None)
        self._gone.add(number)

    def forget(self, number: int) -> None:
        """Stop watching a file, if it is watched. Must be called before it is closed: its number is used again."""
        self.pause(number)
        if self._events.pop(number, None) is not None and self._epoll is not None:
            self._epoll.unregister(number)

    def after(self, seconds: float, over: Callable[[], None]) -> Timeout:
        """Call `over` once `seconds` have passed."""
        # Timeouts of one length end in the order in which they began; monitors have few different lengths.
        among = self._timeouts.get(seconds)
        if among is None:
            among = self._timeouts[seconds] = {}
        made = Timeout((self._time or self._clock())() - self._still + seconds, over, among)
        among[made] = None
        if made.due < self._wakes:
            self._sleep(made.due)
        return made

    def close(self) -> None:
        """Stop watching and waiting."""
        if self._timer is not None:
            self._timer.cancel()
        if self._epoll is not None:
            self._running().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
        self._events.clear()
        self._ready.clear()
        self._timeouts.clear()

    def _now(self) -> float:
        """The loop's time, without the time in which it was blocked."""
        return (self._time or self._clock())() - self._still

    def _clock(self) -> Callable[[], float]:
        self._time = self._running().time
        return self._time

    def _running(self) -> asyncio.AbstractEventLoop:
        """The loop, asked for once: asking costs a system call."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _hear(self) -> None:
        """Call what waits, twice: a connection that the first call resets is news, too, and a turn of the event loop
        for it costs more."""
        if self._poll() and self._epoll is not None:
            self._poll()

    def _poll(self) -> int:
        """Call what waits for files that are ready. Returns how many were."""
        assert self._epoll is not None
        found = self._epoll.poll(0, _BURST)
        watched, gone = self._ready, self._gone
        gone.clear()
        for number, events in found:
            ready = watched.get(number)
            if ready is None or number in gone:  # an earlier one ended this one, and another may have its number
                continue
            try:
                ready(events)
            except Exception as exc:  # it would raise again and again: let its time run out instead
                if self._ready.get(number) == ready:
                    self.forget(number)
                tasks.tell("a probe's answer was not taken", exc)
        return len(found)

    def _sleep(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes = math.ceil(due / GRAIN) * GRAIN
        self._timer = self._running().call_at(self._wakes + self._still, self._wake)

    def _wake(self) -> None:
        late = self._now() - self._wakes
        if late > _STILL and self._in_a_row < _AGAIN:
            self._still += late + _GRACE
            self._in_a_row += 1
        else:
            self._in_a_row = 0
        self._timer, self._wakes = None, math.inf
        while self._epoll is not None and self._poll() == _BURST:
            pass  # answers that have come are taken before timeouts
        now = self._now()
        for waiting in list(self._timeouts.values()):
            for timeout in list(itertools.takewhile(lambda one: one.due <= now, waiting)):
                try:
                    timeout.tell()
                except Exception as exc:  # the others' timeouts must still be reported
                    tasks.tell("the end of a probe's time was not taken", exc)
        heads = [next(iter(waiting)).due for waiting in self._timeouts.values() if waiting]
        if heads and min(heads) < self._wakes:
            self._sleep(min(heads))
