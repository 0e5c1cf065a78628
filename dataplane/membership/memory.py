"""What an engine remembers of its cluster when it starts and etcd does not answer: a file of its state directory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dataplane import statedir
from dataplane.foreign import files, jsontext
from dataplane.foreign.errors import ForeignError
from dataplane.membership import places, record
from dataplane.membership.places import Placer
from dataplane.membership.record import EngineRecord
from dataplane.placement.model import Place

SUFFIX = ".places"
_LARGEST = 1 << 26


@dataclass(frozen=True, slots=True)
class Remembered:
    """What etcd had last."""

    cluster: str = ""  # URL of the store
    secret: bytes = b""  # of heartbeats
    placer: Placer | None = None
    places: Mapping[str, Place] = field(default_factory=dict)  # by VIP
    engines: Mapping[str, EngineRecord] = field(default_factory=dict)


def write(path: Path, known: Remembered) -> None:
    """Remember. Raises OSError."""
    told = {
        "cluster": known.cluster,
        "secret": known.secret.hex(),
        "placer": known.placer.text().decode() if known.placer else "",
        "places": {name: [places.text(place).decode(), place.epoch] for name, place in known.places.items()},
        "engines": {name: one.text().decode() for name, one in known.engines.items()},
    }
    fresh = path.with_name(f".{path.name}")
    with os.fdopen(statedir.open_file(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), "w", encoding="utf-8") as out:
        json.dump(told, out)
    os.replace(fresh, path)


def read(path: Path, cluster: str) -> Remembered:
    """What is remembered of a cluster. Empty for another cluster, and for a file that cannot be read."""
    try:
        told = jsontext.loads(files.read(path, largest=_LARGEST))
        if told["cluster"] != cluster:
            return Remembered()
        return Remembered(
            cluster,
            bytes.fromhex(told["secret"]),
            places.read_placer(told["placer"].encode(), 0),
            {name: made for name, one in told["places"].items() if (made := places.read(one[0].encode(), int(one[1])))},
            {name: said for name, one in told["engines"].items() if (said := record.read(one.encode()))},
        )
    except (OSError, ForeignError, ValueError, TypeError, LookupError, AttributeError):
        return Remembered()
