"""Tracks which engines an engine does not hear. Pure; times are seconds of a monotonic clock.

Silence is only a suspicion; `arbitration` decides from the suspicions of all engines.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Timing:
    """The timing of heartbeats, and when an engine counts as silent."""

    period: float = 0.1  # seconds between two of its heartbeats (`dp_hb_frequency`)
    count: int = 10  # heartbeats missed until it is silent (`dp_hb_timeout_count`)

    @property
    def silence(self) -> float:
        """Seconds without a heartbeat after which an engine is silent."""
        return self.period * self.count


@dataclass(frozen=True, slots=True)
class Hearing:
    """What an engine has heard."""

    heard: Mapping[str, float] = field(default_factory=dict)  # when each engine was last heard or first known
    looked: float | None = None  # when it looked last


def look(before: Hearing, known: Collection[str], arrived: Collection[str], timing: Timing, now: float) -> Hearing:
    """Look once more; returns the new state. known: the other engines; arrived: those whose heartbeats came since the
    last look. An engine that was stalled itself has missed heartbeats, so it gives every engine its full time again."""
    asleep = before.looked is None or now - before.looked > timing.silence / 2
    heard = {
        name: now if asleep or name in arrived or name not in before.heard else before.heard[name] for name in known
    }
    return Hearing(heard, now)


def silent(hearing: Hearing, timing: Timing) -> frozenset[str]:
    """The engines that are not heard, at the last look."""
    if hearing.looked is None:
        return frozenset()
    end = hearing.looked - timing.silence
    return frozenset(name for name, when in hearing.heard.items() if when <= end)
