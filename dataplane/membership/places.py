"""Where VIPs are, as etcd holds it: the values of `place/VIP` and of `placer`. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from dataplane.foreign import jsontext
from dataplane.foreign.errors import ForeignError
from dataplane.placement.model import Cause, Leaver, Member, Place, Presence

FOLDER = "place/"
"""Below the cluster's keys, where every VIP's place is, by the VIP's name."""
PLACER = "placer"
"""The key of the engine that places."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Placer:
    """The engine that places, and what it concluded last."""

    engine: str
    presences: Mapping[str, Presence] = field(default_factory=dict)  # of each engine that it knows of
    groups: Mapping[str, str] = field(default_factory=dict)  # of these engines
    revision: int = 0  # of etcd, that wrote it; whoever places compares that

    def text(self) -> bytes:
        """As etcd holds it."""
        presences = {name: one.value for name, one in self.presences.items()}
        told = {"engine": self.engine, "presences": presences, "groups": dict(self.groups)}
        return json.dumps(told, sort_keys=True).encode()


def text(place: Place) -> bytes:
    """A place as etcd holds it, which adds its epoch."""
    told = asdict(place)
    del told["epoch"]
    for member in told["members"]:
        member["cause"] = member["cause"].value
    return json.dumps(told).encode()


def read(value: bytes, epoch: int) -> Place | None:
    """A place that etcd holds, written by this revision. None: it is none."""
    try:
        told = jsontext.loads(value)
        members = tuple(_made(Member, one | {"cause": Cause(one["cause"])}) for one in told["members"])
        leavers = tuple(_made(Leaver, one) for one in told["leavers"])
        return Place(members, leavers, int(told["wanted"]), epoch)
    except (ForeignError, TypeError, ValueError, LookupError, AttributeError):
        return None


def read_placer(value: bytes, revision: int) -> Placer | None:
    """The placer that etcd holds. None: it is none."""
    try:
        told = jsontext.loads(value)
        presences = {str(name): Presence(one) for name, one in told["presences"].items()}
        groups = {str(name): str(one) for name, one in told["groups"].items()}
        return Placer(str(told["engine"]), presences, groups, revision)
    except (ForeignError, TypeError, ValueError, LookupError, AttributeError):
        return None


def _made(cls: type[T], told: Mapping[str, Any]) -> T:
    """A value of a document. What a newer release added is passed over."""
    known = {name: told[name] for name in cls.__dataclass_fields__ if name in told}  # type: ignore[attr-defined]
    for name in ("since", "withdrawn"):
        if not isinstance(known.get(name, 0.0), int | float | None):
            raise TypeError(name)
    if not isinstance(known["engine"], str):
        raise TypeError("engine")
    return cls(**known)
