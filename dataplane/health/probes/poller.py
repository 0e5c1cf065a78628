"""Sockets of probes, and what waits for them: one epoll of their own for all, and one timer.

The event loop watches the epoll alone: watching a thousand sockets a second there would cost more than the probes.

While the loop stands still nobody hears what servers answer, so no time passes for those who wait: a server is not down
because the engine was busy.
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
"""Seconds: times that are over within it are told together."""
_BURST = 256
_STILL = 0.05
"""Seconds late after which the loop stood still."""
_GRACE = 0.1
"""Seconds more then: for answers to what was sent only afterwards."""
_AGAIN = 5
"""Times in a row that the loop may have stood still; then time passes once all the same: where the engine is always too
busy, a server that is silent must be found out, too."""

Ready = Callable[[], None]


class Timeout:
    """A time that is waited for. due: in the poller's time."""

    __slots__ = ("_over", "due")

    def __init__(self, due: float, over: Ready) -> None:
        self.due = due
        self._over: Ready | None = over

    def cancel(self) -> None:
        """Wait no more."""
        self._over = None

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits any more."""
        return self._over is None

    def tell(self) -> None:
        """The time is over."""
        over, self._over = self._over, None
        if over is not None:
            over()


class Poller:
    """Made anywhere; used on one event loop."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._ready: dict[int, Ready] = {}
        self._timeouts: dict[float, deque[Timeout]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = math.inf
        self._still = 0.0
        self._in_a_row = 0

    def watch(self, number: int, events: int, ready: Ready) -> None:
        """Call `ready` whenever a file is ready for one of these events, or an error is there."""
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._poll)
        if number in self._ready:
            self._epoll.modify(number, events)
        else:
            self._epoll.register(number, events)
        self._ready[number] = ready

    def forget(self, number: int) -> None:
        """Watch a file no more, if it is watched. To be called before it is closed: its number comes back."""
        if self._epoll is not None and self._ready.pop(number, None) is not None:
            self._epoll.unregister(number)

    def after(self, seconds: float, over: Ready) -> Timeout:
        """Call `over` once so many seconds have passed."""
        made = Timeout(self._now() + seconds, over)
        # Times of one length end in the order in which they began; there are as many lengths as monitors' timeouts.
        self._timeouts.setdefault(seconds, deque()).append(made)
        if made.due < self._wakes:
            self._sleep(made.due)
        return made

    def close(self) -> None:
        """Watch and wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
        self._ready.clear()
        self._timeouts.clear()

    def _now(self) -> float:
        """The loop's time without that in which it stood still."""
        return asyncio.get_running_loop().time() - self._still

    def _poll(self) -> int:
        """How many files were ready."""
        assert self._epoll is not None
        found = self._epoll.poll(0, _BURST)
        for number, _ in found:
            ready = self._ready.get(number)  # one that was ready before it has ended this one, perhaps
            if ready is None:
                continue
            try:
                ready()
            except Exception as exc:  # it would be ready, and raise, again and again: its time runs out instead
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
            pass  # what has come is heard before anybody's time is over
        now = self._now()
        for seconds, waiting in list(self._timeouts.items()):
            while waiting and (waiting[0].cancelled or waiting[0].due <= now):
                try:
                    waiting.popleft().tell()
                except Exception as exc:  # all others' times are over too
                    tasks.tell("the end of a probe's time was not taken", exc)
            if not waiting:
                del self._timeouts[seconds]
        heads = [waiting[0].due for waiting in self._timeouts.values() if waiting]
        if heads and min(heads) < self._wakes:
            self._sleep(min(heads))
