"""Times of the plan, which cross processes, on a clock that nobody moves.

The plan tells times by the wall clock: another process wrote it. Inside a process windows and graceful times must not
follow that clock when an operator or NTP moves it. A time of the plan is translated once, when it comes: what is left
of it then, by the wall clock, is left of it by the monotonic clock from then on.
"""

from __future__ import annotations

import time

REMEMBERED = 10_000
"""Translations kept: a plan that is read again must not begin its times anew."""


class SteadyClock:
    """Seconds since the epoch: by the wall clock when it was made, and by the monotonic clock since."""

    def __init__(self) -> None:
        self._behind = time.time() - time.monotonic()
        self._known: dict[tuple[float, float], float] = {}

    def now(self) -> float:
        """What time it is."""
        return time.monotonic() + self._behind

    def of_wall(self, when: float, ahead: float) -> float:
        """Translate a time that another process wrote by the wall clock to this clock. The result is the same whenever
        it is asked for again. It is at most `ahead` seconds from now: only a clock that was moved tells more."""
        key = when, ahead
        if key not in self._known:
            while len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = self.now() + min(ahead, when - time.time())
        return self._known[key]
