"""Rates of counters that are looked at again and again, and how they went.

Pure, and of both rooms: the shell and the engine's page tell rates alike.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Mapping, Sequence

KEPT = 120
"""Rates that are kept of each counter."""
_NONE = array("f")
_BARS = "▁▂▃▄▅▆▇█"


class RateHistory:
    """Counters at one moment, and how fast they grew. It does not change. kept: rates that are kept of each."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._at = 0.0
        self._last: Mapping[Hashable, int] = {}
        self._now: dict[Hashable, float] = {}
        self._past: dict[Hashable, array[float]] = {}

    def added(self, at: float, counters: Mapping[Hashable, int]) -> RateHistory:
        """With what the counters are at a time, seconds. One that fell began anew: it has no rate this time. Those that
        are gone are forgotten."""
        made, took = RateHistory(self._kept), at - self._at
        made._at, made._last = at, counters
        for key, value in counters.items():
            before = self._last.get(key)
            if before is not None and value >= before and took > 0:
                made._now[key] = rate = (value - before) / took
                made._past[key] = self._past.get(key, _NONE)[1 - self._kept :] + array("f", (rate,))
        return made

    def now(self, key: Hashable) -> float | None:
        """A counter's growth per second since it was looked at before; None where it is not known."""
        return self._now.get(key)

    def past(self, key: Hashable) -> Sequence[float]:
        """Its rates, the newest last."""
        return self._past.get(key, _NONE)


def sparkline(rates: Sequence[float], width: int, top: float = 0.0) -> str:
    """The newest rates as bars, one a column, right-aligned. top: the rate of a whole bar, if above all of them."""
    shown = list(rates)[-width:] if width else []
    most = max([top, *shown], default=0.0)
    made = "".join(_BARS[min(len(_BARS) - 1, int(rate / most * len(_BARS)))] if most else _BARS[0] for rate in shown)
    return made.rjust(width)


def short(rate: float | None) -> str:
    """A rate in few characters: "-" where it is not known, "0.4", "412", "12.3 k", "4.1 M"."""
    if rate is None:
        return "-"
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e4)):
        if rate >= size:
            return f"{rate / (1e3 if unit == ' k' else size):.1f}{unit}"
    return f"{rate:.1f}" if 0 < rate < 10 else f"{rate:.0f}"
