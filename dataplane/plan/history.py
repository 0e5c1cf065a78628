"""Who shared a pool's table since when. It tells an engine that starts of changes that others saw. Pure.

The plan tells of changes that were configured (`Former`). Here are all of them, those of servers' health as well, as
far back as a connection may be idle.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from dataplane.foreign import jsontext
from dataplane.foreign.errors import ForeignError

MOST = 64
"""Changes of a pool that are kept, the newest."""


@dataclass(frozen=True, slots=True)
class Held:
    """The members that share the table out since a change."""

    since: float  # when that was, seconds since the epoch
    servers: tuple[tuple[str, int, int], ...]  # address, weight, generation of each
    serving: tuple[tuple[str, int], ...]  # address and generation of each that may go on with flows it has


def young(changes: Sequence[Held], oldest: float) -> list[Held]:
    """The changes since a time, preceded by the one that was in force then; none where nothing changed since."""
    first = max((at for at, held in enumerate(changes) if held.since <= oldest), default=0)
    kept = list(changes[max(first, len(changes) - MOST) :])
    return kept if len(kept) > 1 else []


def text(changes: Sequence[Held]) -> bytes:
    """As etcd holds it."""
    return json.dumps([asdict(held) for held in changes]).encode()


def read(value: bytes) -> list[Held]:
    """Read what etcd holds. Empty where this release does not know its form."""
    try:
        return [
            Held(
                float(one["since"]),
                tuple((str(address), int(weight), int(life)) for address, weight, life in one["servers"]),
                tuple((str(address), int(life)) for address, life in one["serving"]),
            )
            for one in jsontext.loads(value)
        ]
    except (ForeignError, TypeError, ValueError, LookupError):
        return []
