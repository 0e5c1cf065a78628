"""The names of a driver's pools. A pool of the plan is one pool of the driver, named by its uuid, while its servers are
up for all its VIPs alike. VIPs for which other servers are up have another pool, `uuid/VIP`, named by the first of
these VIPs.

A flow that is remembered names the pool that it was seen in. It stays valid when its VIP goes over to another pool of
the same uuid: such pools are of one family.
"""

from __future__ import annotations

import socket
from typing import NamedTuple


class PoolName(NamedTuple):
    """What a name is made of."""

    uuid: str  # in the plan
    vip: bytes  # that it is named by, empty where the name is the uuid


def of_vip(uuid: str, vip: bytes) -> str:
    """The name of the pool that is named by a VIP (4 bytes)."""
    return f"{uuid}/{socket.inet_ntoa(vip)}"


def parts(name: str) -> PoolName:
    """What a name is made of."""
    uuid, slash, vip = name.rpartition("/")
    try:
        return PoolName(uuid, socket.inet_pton(socket.AF_INET, vip)) if slash else PoolName(name, b"")
    except OSError:  # no address follows: the slash is the uuid's
        return PoolName(name, b"")


def alike(one: str, other: str) -> bool:
    """Whether two pools are of one family."""
    return one == other or parts(one).uuid == parts(other).uuid
