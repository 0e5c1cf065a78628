"""When all announced VIPs are announced again."""

from __future__ import annotations


class Rounds:
    """Tells each time a period is over. Pure: the caller has the clock."""

    def __init__(self) -> None:
        self._period = 0.0
        self._next = 0.0

    def due(self, period: float, now: float) -> bool:
        """Whether a round is due. period: seconds, 0 = no rounds; a changed period begins now."""
        if period != self._period:
            self._period, self._next = period, now + period
        if not period or now < self._next:
            return False
        self._next = now + period  # what was missed is not made up for
        return True
