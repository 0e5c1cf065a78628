"""Which engines an engine does not hear. Pure; times are seconds of a clock that nobody can set.

Silence is a suspicion, no more: `arbitration` makes something of the suspicions of all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Timing:
    """When an engine is silent."""

    period: float = 0.1  # seconds between two of its heartbeats (`dp_hb_frequency`)
    count: int = 10  # that fail to come (`dp_hb_timeout_count`)

    @property
    def silence(self) -> float:
        """Seconds without a heartbeat."""
        return self.period * self.count


@dataclass(frozen=True, slots=True)
class Hearing:
    """What an engine has heard."""

    heard: Mapping[str, float] = field(default_factory=dict)  # when each engine was heard last, or got known
    looked: float | None = None  # when it looked last


def look(before: Hearing, known: Collection[str], arrived: Collection[str], timing: Timing, now: float) -> Hearing:
    """What has been heard after one more look. known: the other engines; arrived: those whose heartbeats came since the
    last look. An engine that stood still itself has missed what came meanwhile, and listens to all of them anew."""
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
