"""A pool in the maps: its head and its targets side by side, packed and read back."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from operator import xor
from typing import NamedTuple

from dataplane.drivers.maps.layout import (
    DETAIL_SIZE,
    HEAD_PLACES,
    LIFE,
    NAME_LENGTH,
    TARGET_GRE,
    TARGET_MAC,
    TARGET_PLACE,
    TARGET_RESOLVED,
    TARGET_SERVES,
    TARGET_TUNNEL,
    TARGET_UP,
)
from dataplane.forwarding import poolnames, rewrite
from dataplane.forwarding.values import Pool, Target
from dataplane.plan import L2, L3_GRE, MODES

_HEAD = struct.Struct("=8sIIIII60s8s")
MADE_OF_AT = _HEAD.size - 8
"""Where in a head the hash stands of what its table was made of."""
_UNKNOWN = bytes(8)
_TARGET = struct.Struct("=6sH4sI")
_DETAIL = struct.Struct("=16s4sIII")
_LIFE_OF_DETAIL = struct.Struct("=16s16x")
_KNOWN = struct.Struct("=6sH4s4x")
_CHANGING = struct.Struct("=12xI4s4xII")
"""Of a detail: generation, source, path MTU, interface."""
_PATH_MTU = struct.Struct("=II")
PATH_MTU_AT = _DETAIL.size - _PATH_MTU.size
"""Where in a detail that stands which may change while it can be seen."""
_NONE = bytes(4)


def pool_id(name: str) -> bytes:
    """What stands for a pool in flows: the same whenever it comes back. The last four bytes are those of its family,
    the first four are another's for each VIP that a pool is named by."""
    uuid, vip = poolnames.parts(name)
    id = blake2b(uuid.encode(), digest_size=8).digest()
    return bytes(map(xor, id, vip)) + id[4:] if vip else id


def family(id: bytes) -> bytes:
    """What the ids of pools of one family share."""
    return id[4:]


def life(pool: str, address: bytes, generation: int) -> bytes:
    """A key of `lives`."""
    return LIFE.pack(pool_id(pool), address, generation)


def word(table: int, formers: int, first: int) -> int:
    """A pool in `pools`: numbers of tables, place of the first target."""
    return table | formers << 16 | first << 32


def read_word(word: int) -> tuple[int, int, int]:
    """Table, formers, first target."""
    return word & 0xFFFF, word >> 16 & 0xFFFF, word >> 32


def next_hop(target: Target, mode: str, places: Mapping[int, int]) -> int:
    """MAC address and egress of a target, as one word. places: of the interfaces served, by index."""
    return int.from_bytes(target.mac or b"", "little") | _egress(target, mode, places) << 48


def _egress(target: Target, mode: str, places: Mapping[int, int]) -> int:
    egress = (TARGET_UP if target.up else 0) | (TARGET_SERVES if target.serves else 0)
    if mode != L2:
        egress |= TARGET_TUNNEL | (TARGET_GRE if mode == L3_GRE else 0)
    if target.mac is not None:
        egress |= TARGET_MAC
        place = places.get(target.interface) if target.interface is not None else None
        if place is not None:
            egress |= TARGET_RESOLVED | place
    return egress


def is_resolved(next_hop: int) -> bool:
    """Whether packets can be sent to a target."""
    return bool(next_hop >> 48 & TARGET_RESOLVED)


def targets(pool: Pool, counters: Mapping[bytes, int], places: Mapping[int, int]) -> bytes:
    """A pool's targets, side by side. counters: by address."""
    pack, packed = _TARGET.pack, []
    egresses: dict[tuple[bool, bool, bool, int | None], int] = {}  # most targets of a pool have the same one
    for target in pool.targets:
        like = target.up, target.serves, target.mac is None, target.interface
        egress = egresses.get(like)
        if egress is None:
            egress = egresses[like] = _egress(target, pool.mode, places)
        packed.append(pack(target.mac or b"", egress, target.address, counters[target.address]))
    return b"".join(packed)


def details(pool: Pool) -> bytes:
    """A pool's head, and the rest of what is known of its targets, side by side."""
    id, name, mode = pool_id(pool.uuid), pool.uuid.encode(), pool.mode
    head = _HEAD.pack(id, pool.slots, pool.seed, len(pool.targets), MODES.index(mode), len(name), name, made_of(pool))
    pack, life = _DETAIL.pack, LIFE.pack
    return head + b"".join(
        [
            pack(
                life(id, target.address, target.generation),
                target.source or _NONE,
                0 if mode == L2 else _outer_sum(mode, target.source or _NONE, target.address),
                target.path_mtu,
                target.interface or 0,
            )
            for target in pool.targets
        ]
    )


def made_of(pool: Pool | None) -> bytes:
    """What stands at MADE_OF_AT of a head; None: of a pool whose table changes now."""
    return pool.made_of if pool is not None and pool.made_of else _UNKNOWN


def path_mtu(target: Target) -> bytes:
    """What stands at PATH_MTU_AT of a detail."""
    return _PATH_MTU.pack(target.path_mtu, target.interface or 0)


def lives(details: bytes | memoryview) -> Iterator[bytes]:
    """The keys of `lives` of targets, from their details (without the head)."""
    return (key for (key,) in _LIFE_OF_DETAIL.iter_unpack(details))


def known(targets: bytes | memoryview) -> set[tuple[bytes, bytes]]:
    """MAC and IP address of the targets whose MAC address is known."""
    return {(mac, address) for mac, egress, address in _KNOWN.iter_unpack(targets) if egress & TARGET_MAC}


def _outer_sum(mode: str, source: bytes, destination: bytes) -> int:
    """The sum of an outer header without TOS, length, identification and flags: 16-bit words as the machine reads
    them."""
    protocol = rewrite.IPPROTO_GRE if mode == L3_GRE else rewrite.IPPROTO_IPIP
    return sum(struct.unpack("=6H", struct.pack("BxBB", 0x45, rewrite.TTL, protocol) + source + destination))


class Head(NamedTuple):
    """The head of a pool, read back."""

    uuid: str
    slots: int
    seed: int
    targets: int  # their number
    mode: str
    made_of: bytes  # empty where that is not known


def read_head(details: memoryview, first: int) -> Head | None:
    """The head of the pool whose first target stands there; None where there is no whole one."""
    at = (first - HEAD_PLACES) * DETAIL_SIZE
    if at < 0 or first * DETAIL_SIZE > len(details):
        return None
    id, slots, seed, targets, mode, length, name, made_of = _HEAD.unpack_from(details, at)
    uuid = name[: min(length, NAME_LENGTH)].decode(errors="replace")
    whole = pool_id(uuid) == id and mode < len(MODES) and (first + targets) * DETAIL_SIZE <= len(details)
    return Head(uuid, slots, seed, targets, MODES[mode], made_of.strip(_UNKNOWN) and made_of) if whole else None


class TargetReader:
    """Reads targets back. Equal ones of several pools are one value: that saves memory and comparisons."""

    def __init__(self) -> None:
        self._read: dict[tuple[bytes, int, bytes, int, bytes, int, int], Target] = {}

    def read(self, targets: memoryview, details: memoryview) -> tuple[Target, ...]:
        """The targets of a pool, from both places where they stand."""
        known, found = self._read, []
        for (mac, egress, address), (generation, source, path_mtu, interface) in zip(
            _KNOWN.iter_unpack(targets), _CHANGING.iter_unpack(details), strict=True
        ):
            key = mac, egress & ~TARGET_PLACE, address, generation, source, path_mtu, interface
            target = known.get(key)
            if target is None:
                target = known[key] = Target(
                    address,
                    egress & TARGET_UP != 0,
                    mac if egress & TARGET_MAC else None,
                    interface or None,
                    source if source != _NONE else b"",
                    egress & TARGET_SERVES != 0,
                    generation,
                    path_mtu,
                )
            found.append(target)
        return tuple(found)
