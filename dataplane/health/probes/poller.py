"""Waits for the sockets and timeouts of all probes, with one epoll and one timer.

The event loop watches only the epoll: watching a thousand sockets a second itself would cost more than the probes.

While the event loop is blocked nobody reads what servers answer. Time stands still for probes then, so that no server
is reported down because the engine was busy.
"""

from __future__ import annotations

import asyncio
import math
import select
from collections import deque
from collections.abc import Callable

from dataplane.runtime import tasks

WRITABLE, READABLE = select.EPOLLOUT, select.EPOLLIN
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

Ready = Callable[[], None]


class Timeout:
    """A timeout that somebody waits for. due: in the poller's time."""

    __slots__ = ("_over", "due")

    def __init__(self, due: float, over: Ready) -> None:
        self.due = due
        self._over: Ready | None = over

    def cancel(self) -> None:
        """Stop waiting."""
        self._over = None

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._over is None

    def tell(self) -> None:
        """Report that it is over, once."""
        over, self._over = self._over, None
        if over is not None:
            over()


class Poller:
    """Waits for files and timeouts. It may be made anywhere, and is used on one event loop."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._ready: dict[int, Ready] = {}
        self._timeouts: dict[float, deque[Timeout]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = math.inf
        self._still = 0.0
        self._in_a_row = 0

    def watch(self, number: int, events: int, ready: Ready) -> None:
        """Call `ready` whenever a file is ready for one of these events, or has an error."""
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._poll)
        if number in self._ready:
            self._epoll.modify(number, events)
        else:
            self._epoll.register(number, events)
        self._ready[number] = ready

    def forget(self, number: int) -> None:
        """Stop watching a file, if it is watched. Must be called before it is closed: its number is used again."""
        if self._epoll is not None and self._ready.pop(number, None) is not None:
            self._epoll.unregister(number)

    def after(self, seconds: float, over: Ready) -> Timeout:
        """Call `over` once `seconds` have passed."""
        made = Timeout(self._now() + seconds, over)
        # Timeouts of one length end in the order in which they began; monitors have few different lengths.
        self._timeouts.setdefault(seconds, deque()).append(made)
        if made.due < self._wakes:
            self._sleep(made.due)
        return made

    def close(self) -> None:
        """Stop watching and waiting."""
        if self._timer is not None:
            self._timer.cancel()
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
        self._ready.clear()
        self._timeouts.clear()

    def _now(self) -> float:
        """The loop's time, without the time in which it was blocked."""
        return asyncio.get_running_loop().time() - self._still

    def _poll(self) -> int:
        """Call what waits for files that are ready. Returns how many were."""
        assert self._epoll is not None
        found = self._epoll.poll(0, _BURST)
        for number, _ in found:
            ready = self._ready.get(number)  # None if an earlier one ended this one
            if ready is None:
                continue
            try:
                ready()
            except Exception as exc:  # it would raise again and again: let its time run out instead
                if self._ready.get(number) == ready:
                    self.forget(number)
                tasks.tell("a probe's answer was not taken", exc)
        return len(found)

    def _sleep(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes = math.ceil(due / GRAIN) * GRAIN
        self._timer = asyncio.get_running_loop().call_at(self._wakes + self._still, self._wake)

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
        for seconds, waiting in list(self._timeouts.items()):
            while waiting and (waiting[0].cancelled or waiting[0].due <= now):
                try:
                    waiting.popleft().tell()
                except Exception as exc:  # the others' timeouts must still be reported
                    tasks.tell("the end of a probe's time was not taken", exc)
            if not waiting:
                del self._timeouts[seconds]
        heads = [waiting[0].due for waiting in self._timeouts.values() if waiting]
        if heads and min(heads) < self._wakes:
            self._sleep(min(heads))
