"""What an engine says of itself in etcd, as long as its lease lives: the value of `engine/NAME`. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from dataplane.foreign import jsontext
from dataplane.foreign.errors import ForeignError

FOLDER = "engine/"
"""Below the cluster's keys, where every engine's is."""
FORMAT = 1
"""Of the plan, the latest that this release reads."""


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """An engine as it tells of itself. It is written when something of it changes, its clock alone excepted."""

    identity: str  # of the engine among all: two hosts, or state directories, have never the same
    host: str  # the name of its host
    group: str = "Default-Group"
    addresses: tuple[str, ...] = ()  # of its interfaces, IPv4
    macs: tuple[str, ...] = ()  # of its interfaces
    format: int = FORMAT  # the latest format of a plan that it reads
    version: int = 0  # of the configuration, that it has applied
    bgp: str = ""  # its sessions with routers, in words; "" where it has none
    clock: float = 0.0  # what time it was there when this was written, seconds since the epoch

    def text(self) -> bytes:
        """As etcd holds it."""
        return json.dumps(asdict(self)).encode()

    def same(self, other: EngineRecord | None) -> bool:
        """Whether there is nothing new in it."""
        return other is not None and all(
            getattr(self, one.name) == getattr(other, one.name) for one in fields(self) if one.name != "clock"
        )


def read(text: bytes) -> EngineRecord | None:
    """The record that etcd holds. None: it is none. What a newer release added is passed over."""
    try:
        told = jsontext.loads(text)
        known = {one.name: told[one.name] for one in fields(EngineRecord) if one.name in told}
        known |= {name: _texts(known.get(name, ())) for name in ("addresses", "macs")}
        made = EngineRecord(**known)
    except (ForeignError, TypeError, LookupError):
        return None
    plain = (made.identity, made.host, made.group, made.bgp)
    numbers = (made.format, made.version)
    good = all(isinstance(one, str) for one in plain) and all(type(one) is int for one in numbers)
    return made if good and isinstance(made.clock, int | float) else None


def _texts(told: Any) -> tuple[str, ...]:
    if not isinstance(told, Iterable) or not all(isinstance(one, str) for one in told):
        raise TypeError
    return tuple(told)
