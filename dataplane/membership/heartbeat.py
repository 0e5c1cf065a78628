"""A heartbeat: the datagram by which an engine tells others of its group that it is there. Pure.

    magic "AVIH", version 1 | 16 bytes of a keyed BLAKE2b of all that follows | time, seconds since the epoch (double)
    | length of its name (byte), name | VIPs that it answers ARP for: address, epoch (8 bytes) each

The key is the cluster's, from etcd: whoever does not have it moves no VIP by datagrams.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest

PORT = 1550
"""UDP's, as the appliance's engines use."""
MOST = 100
"""VIPs in a datagram: it fits every link."""
LARGEST = 2048
"""Bytes of a datagram."""
SECRET = 32
"""Bytes of the key."""
_HEAD = struct.Struct("!5s16s")
_SELF = struct.Struct("!dB")
_OWNED = struct.Struct("!4sQ")
_MAGIC = b"AVIH\x01"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a heartbeat says."""

    name: str  # of the engine
    clock: float  # what time it is there, seconds since the epoch
    epochs: Mapping[bytes, int] = field(default_factory=dict)  # of the places by which it has VIPs, some of them


def write(secret: bytes, beat: Heartbeat) -> bytes:
    """The datagram."""
    name = beat.name.encode()
    owned = b"".join(_OWNED.pack(address, epoch) for address, epoch in beat.epochs.items())
    told = _SELF.pack(beat.clock, len(name)) + name + owned
    return _HEAD.pack(_MAGIC, _seal(secret, told)) + told


def read(secret: bytes, datagram: bytes) -> Heartbeat | None:
    """What a datagram says. None: it is no heartbeat of this cluster."""
    told = datagram[_HEAD.size :]
    if len(told) < _SELF.size:
        return None
    magic, seal = _HEAD.unpack_from(datagram)
    if magic != _MAGIC or not compare_digest(seal, _seal(secret, told)):
        return None
    clock, length = _SELF.unpack_from(told)
    name, owned = told[_SELF.size : _SELF.size + length], told[_SELF.size + length :]
    if len(name) < length or len(owned) % _OWNED.size:
        return None
    return Heartbeat(name.decode("utf-8", "replace"), clock, dict(_OWNED.iter_unpack(owned)))


def portions(epochs: Mapping[bytes, int]) -> list[dict[bytes, int]]:
    """All VIPs, cut into as many as fit into one heartbeat. There is at least one portion."""
    every = sorted(epochs.items())
    return [dict(every[at : at + MOST]) for at in range(0, len(every), MOST)] or [{}]


def skew(offsets: Iterable[float]) -> float:
    """How far another clock is behind, in seconds. offsets: arrival minus the time in the heartbeat. The least one
    counts, since the journey only adds to it."""
    return min(offsets, key=abs, default=0.0)


def _seal(secret: bytes, told: bytes) -> bytes:
    return blake2b(told, digest_size=16, key=secret).digest()
