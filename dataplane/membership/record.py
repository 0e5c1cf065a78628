"""What an engine says of itself in etcd, as long as its lease lives: the value of `engine/NAME`. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from dataplane.foreign import jsontext
from dataplane.foreign.errors import ForeignError
from dataplane.plan import checks
from dataplane.plan.sqlite import PLAN_FORMAT

FOLDER = "engine/"
"""Below the cluster's keys, where every engine's is."""


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """What an engine says of itself. It is written when anything but its clock changes."""

    identity: str  # of the engine among all: two hosts, or state directories, have never the same
    host: str  # the name of its host
    group: str = "Default-Group"
    addresses: tuple[str, ...] = ()  # of its interfaces, IPv4
    macs: tuple[str, ...] = ()  # of its interfaces
    networks: tuple[str, ...] = ()  # of its interfaces, as 10.0.0.0/24
    format: int = PLAN_FORMAT  # the latest format of a plan that it reads
    version: int = 0  # of the configuration, that it has applied
    bgp: str = ""  # its sessions with routers, in words; "" where it has none
    peerless: bool = False  # it is to have sessions with routers, and has none
    silent: tuple[str, ...] = ()  # the engines of its group that it does not hear
    ended: tuple[str, ...] = ()  # those of which the process has ended, and the kernel forwards on
    announced: tuple[str, ...] = ()  # the VIPs that it announces, by their lowest addresses
    forwards_on: bool = False  # its kernel forwards on when its process has ended
    leaving: bool = False  # it is about to end
    clock: float = 0.0  # what time it was there when this was written, seconds since the epoch

    def text(self) -> bytes:
        """As etcd holds it."""
        return json.dumps(asdict(self)).encode()

    def is_of(self, identity: str) -> bool:
        """Whether this is what an engine of this identity said, or a former run of it. Earlier releases said the first
        two words of it alone."""
        return self.identity in (identity, identity.rpartition(" ")[0])

    def after(self, former: EngineRecord | None) -> EngineRecord:
        """What an engine says while it starts: what its former run said, as far as that holds. Without its addresses
        others could not hear it, and would take it for dead; in another group its VIPs would go to others."""
        if former is None:
            return self
        still = former if former.forwards_on and not former.leaving else self
        return replace(
            self,
            group=former.group,
            addresses=former.addresses,
            macs=former.macs,
            networks=former.networks,
            bgp=still.bgp,
            peerless=still.peerless,
            announced=still.announced,
            forwards_on=still.forwards_on,
        )

    def same(self, other: EngineRecord | None) -> bool:
        """Whether another record says the same."""
        return other is not None and all(
            getattr(self, one.name) == getattr(other, one.name) for one in fields(self) if one.name != "clock"
        )


def read(text: bytes) -> EngineRecord | None:
    """The record that etcd holds. None: it is no record. Fields that a newer release added are ignored."""
    try:
        told = jsontext.loads(text)
        known = {one.name: _value(told[one.name], one.type) for one in fields(EngineRecord) if one.name in told}
        made = EngineRecord(**known)
        addresses, networks = map(checks.is_address, made.addresses), map(checks.is_network, made.networks)
        return made if all(addresses) and all(networks) and all(map(_is_mac, made.macs)) else None
    except (ForeignError, TypeError, LookupError):
        return None


_TYPES = {"str": str, "int": int, "bool": bool}


def _value(told: Any, kind: Any) -> Any:
    """A field's value. Raises TypeError for one of another type."""
    if kind == "tuple[str, ...]":
        return _texts(told)
    if kind == "float" and type(told) in (int, float):
        return float(told)
    if type(told) is not _TYPES.get(kind):
        raise TypeError(kind)
    return told


def _texts(told: Any) -> tuple[str, ...]:
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        raise TypeError
    return tuple(told)


def _is_mac(text: str) -> bool:
    return re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", text) is not None
