"""Rates of counters that are looked at again and again, and how they went. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence

KEPT = 120
"""Rates that are kept of each counter."""
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-=+*%#"


class Rates:
    """Counters, and how fast they grow."""

    def __init__(self) -> None:
        self._at = 0.0
        self._last: Mapping[Hashable, int] = {}
        self._past: dict[Hashable, deque[float]] = {}

    def add(self, at: float, counters: Mapping[Hashable, int]) -> None:
        """What they are at a time, seconds. One that fell began anew: it has no rate this time. Those that are gone are
        forgotten."""
        took = at - self._at
        self._past = {key: self._past.get(key, deque(maxlen=KEPT)) for key in counters}
        for key, value in counters.items():
            before = self._last.get(key)
            if before is None or value < before or took <= 0:
                self._past[key].clear()
            else:
                self._past[key].append((value - before) / took)
        self._at, self._last = at, dict(counters)

    def now(self, key: Hashable) -> float | None:
        """A counter's growth per second since it was looked at before; None where it is not known."""
        past = self._past.get(key)
        return past[-1] if past else None

    def past(self, key: Hashable) -> Sequence[float]:
        """Its rates, the newest last."""
        return tuple(self._past.get(key, ()))


def sparkline(rates: Sequence[float], width: int, top: float = 0.0, *, plain: bool = False) -> str:
    """The newest rates as bars, one a column, right-aligned. top: the rate of a whole bar, where it is above all of
    them; plain: in ASCII."""
    bars = _PLAIN_BARS if plain else _BARS
    shown = list(rates)[-width:] if width else []
    most = max([top, *shown], default=0.0)
    made = "".join(bars[min(len(bars) - 1, int(rate / most * len(bars)))] if most else bars[0] for rate in shown)
    return made.rjust(width)


def short(rate: float | None) -> str:
    """A rate in few characters: "-" where it is not known, "0.4", "412", "12.3 k", "4.1 M"."""
    if rate is None:
        return "-"
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e4)):
        if rate >= size:
            return f"{rate / (1e3 if unit == ' k' else size):.1f}{unit}"
    return f"{rate:.1f}" if 0 < rate < 10 else f"{rate:.0f}"
