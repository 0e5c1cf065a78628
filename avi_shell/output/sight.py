"""A virtual service's live view at one moment, as data: a terminal draws it, others get tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """A service, or a server of its pool, on one engine."""

    engine: str
    name: str  # "10.1.1.100 tcp 80", "10.1.1.10:80"
    state: str  # as the appliance names it
    reason: str
    packets: float | None  # per second; None = not known
    bits: float | None  # per second
    past: Sequence[float]  # packets per second, the newest last
    share: float | None = None  # of the pool's slots; None for a service


@dataclass(frozen=True, slots=True)
class Drops:
    """Packets that an engine drops for one reason."""

    engine: str
    reason: str
    own: int  # packets that are known to be of this virtual service
    total: int  # of all
    rate: float | None  # of all, per second


@dataclass(frozen=True, slots=True)
class Sight:
    """A virtual service's live view at one moment."""

    name: str  # of the virtual service
    state: str
    services: Sequence[Line] = ()
    servers: Sequence[Line] = ()
    reasons: Sequence[str] = ()  # why services and servers are not as they should be, in sentences
    pools: Sequence[str] = ()  # each with its state, "web: OPER_UP, 2 of 3 servers up"
    drops: Sequence[Drops] = ()
    events: Sequence[Mapping[str, Any]] = ()  # newest last
    told: Sequence[str] = ()  # what else there is to say
    flows: str = ""  # TCP flows begun per second, reckoned by the engines, in words; "" = not known

    @property
    def several(self) -> bool:
        """Whether it is of several engines: then each line says which one it is of."""
        return len({line.engine for line in (*self.services, *self.servers)}) > 1

    def engine_of(self, event: Mapping[str, Any]) -> str:
        """The engine that an event is told with; "" where there is one alone."""
        return str(event.get("service_engine", "")) if self.several else ""


def word(state: str) -> str:
    """A state in a sentence: "down"."""
    return state.removeprefix("OPER_").lower()
