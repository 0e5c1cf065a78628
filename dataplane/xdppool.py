"""A pool in the XDP program's maps: its table in chunks, its targets side by side, and both read back."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from . import rewrite
from .forwarding import STABLE, TRACKED, TRANSITION, Pool, Target
from .hashing import NO_SERVER
from .plan import L2, L3_GRE, MODES
from .xdplayout import (
    CHUNK,
    CHUNK_SLOTS,
    IN_TRANSITION,
    LIFE,
    NO_POOL,
    NO_TARGET,
    TABLE_CHUNKS,
    TARGET_GRE,
    TARGET_MAC,
    TARGET_RESOLVED,
    TARGET_SERVES,
    TARGET_TUNNEL,
    TARGET_UP,
    UNSETTLED,
)

_CHUNK_WORDS = CHUNK // 2
_HEAD = struct.Struct("=8sIIIIII32x")
_NAME = struct.Struct("=I60s")
_TARGET = struct.Struct("=6sH4sI")
_DETAIL = struct.Struct("=16s4sIII")
_NONE = bytes(4)


def pool_id(uuid: str) -> bytes:
    """What stands for a pool in flows: the same whenever it comes back."""
    return blake2b(uuid.encode(), digest_size=8).digest()


def life(pool: str, address: bytes, generation: int) -> bytes:
    """A key of `lives`."""
    return LIFE.pack(pool_id(pool), address, generation)


def chunks(pool: Pool, first: int, formers: int = NO_POOL) -> bytes:
    """A pool's array. first: the place of its first target; formers: the place of its formers."""
    table = array("H", pool.table)
    if pool.phases:
        marks = _MARKS[UNSETTLED], _MARKS[0]
        table = array("H", [marks[phase == STABLE][owner] for owner, phase in zip(table, pool.phases, strict=True)])
    elif NO_SERVER in table:
        table = array("H", map(_MARKS[0].__getitem__, table))
    mode, targets = MODES.index(pool.mode), len(pool.targets)
    head = _HEAD.pack(pool_id(pool.uuid), pool.slots, pool.seed, targets, first, formers, mode)
    name = pool.uuid.encode()
    return head + _table(table, first) + _NAME.pack(len(name), name)


def formers_chunks(pool: Pool, first: int) -> bytes:
    """The formers of a pool of which not every slot is stable."""
    marks = {phase: _MARKS[IN_TRANSITION if phase == TRANSITION else 0] for phase in (STABLE, TRANSITION, TRACKED)}
    held = array("H", [marks[phase][former] for former, phase in zip(pool.fallback, pool.phases, strict=True)])
    return bytes(CHUNK) + _table(held, first) + bytes(CHUNK)


class _Marked(dict[int, int]):
    """Owners as they stand in a slot, by index; NO_SERVER is NO_TARGET there."""

    def __init__(self, mark: int) -> None:
        super().__init__({NO_SERVER: NO_TARGET | mark})
        self._mark = mark

    def __missing__(self, index: int) -> int:
        marked = self[index] = index | self._mark
        return marked


_MARKS = {mark: _Marked(mark) for mark in (0, UNSETTLED)}


def _table(table: array[int], first: int) -> bytes:
    used = -(-len(table) // CHUNK_SLOTS)
    table = table + array("H", [0] * (used * CHUNK_SLOTS - len(table)))
    words = array("H", bytes(TABLE_CHUNKS * CHUNK))
    end, step = used * _CHUNK_WORDS, _CHUNK_WORDS
    words[0:end:step] = array("H", [first & 0xFFFF]) * used
    words[1:end:step] = array("H", [first >> 16]) * used
    for column in range(CHUNK_SLOTS):  # a slice at a time: a chunk at a time takes ten times as long
        words[2 + column : end : step] = table[column::CHUNK_SLOTS]
    return words.tobytes()


def targets(pool: Pool, counters: Mapping[bytes, int], places: Mapping[int, int]) -> bytes:
    """A pool's targets, side by side. places: of the interfaces served, by index."""
    kind = 0 if pool.mode == L2 else TARGET_TUNNEL | (TARGET_GRE if pool.mode == L3_GRE else 0)
    return b"".join(_target(target, kind, counters[target.address], places) for target in pool.targets)


def _target(target: Target, kind: int, counter: int, places: Mapping[int, int]) -> bytes:
    place = places.get(target.interface) if target.interface is not None else None
    egress = kind | (TARGET_UP if target.up else 0) | (TARGET_SERVES if target.serves else 0)
    if target.mac is not None:
        egress |= TARGET_MAC
        if place is not None:
            egress |= TARGET_RESOLVED | place
    return _TARGET.pack(target.mac or bytes(6), egress, target.address, counter)


def details(pool: Pool) -> bytes:
    """The rest of what is known of a pool's targets, side by side."""
    id = pool_id(pool.uuid)
    return b"".join(
        _DETAIL.pack(
            LIFE.pack(id, target.address, target.generation),
            target.source or _NONE,
            _outer_sum(pool.mode, target.source or _NONE, target.address),
            target.path_mtu,
            target.interface or 0,
        )
        for target in pool.targets
    )


def _outer_sum(mode: str, source: bytes, destination: bytes) -> int:
    """The sum of an outer header without TOS, length, identification and flags: 16-bit words as the machine reads
    them."""
    protocol = rewrite.IPPROTO_GRE if mode == L3_GRE else rewrite.IPPROTO_IPIP
    return sum(struct.unpack("=6H", struct.pack("BxBB", 0x45, rewrite.TTL, protocol) + source + destination))


class PoolHead(NamedTuple):
    """The head of a pool read back. targets: their number; first: the place of the first; formers: their place."""

    slots: int
    seed: int
    targets: int
    first: int
    formers: int
    mode: int


def read_head(data: bytes) -> PoolHead | None:
    """The head of a pool's array; None for formers."""
    head = PoolHead(*_HEAD.unpack_from(data)[1:])
    return head if head.slots else None


def read(data: bytes, targets: bytes, details: bytes, formers: bytes = b"") -> tuple[Pool, dict[bytes, int]]:
    """A pool and its targets' counters, by address, from its array, its targets and their details, and its formers'
    array."""
    head = PoolHead(*_HEAD.unpack_from(data)[1:])
    length, name = _NAME.unpack(data[-CHUNK:])
    table = _read_table(data)[: head.slots]
    members, counters = [], {}
    for target, detail in zip(_TARGET.iter_unpack(targets), _DETAIL.iter_unpack(details), strict=True):
        member, counters[target[2]] = _read_target(*target[:3], *detail), target[3]
        members.append(member)
    phases, fallback = b"", array("H")
    if formers:
        held = _read_table(formers)[: head.slots]
        phases = bytes(
            STABLE if not owner & UNSETTLED else TRANSITION if former & IN_TRANSITION else TRACKED
            for owner, former in zip(table, held, strict=True)
        )
        fallback = _owners(held)
    uuid, mode = name[:length].decode(), MODES[head.mode]
    return Pool(uuid, head.seed, _owners(table), tuple(members), mode, phases, fallback), counters


def _read_target(
    mac: bytes, egress: int, address: bytes, life: bytes, source: bytes, _sum: int, path_mtu: int, interface: int
) -> Target:
    return Target(
        address,
        bool(egress & TARGET_UP),
        mac if egress & TARGET_MAC else None,
        interface or None,
        b"" if source == _NONE else source,
        bool(egress & TARGET_SERVES),
        LIFE.unpack(life)[2],
        path_mtu,
    )


def _read_table(data: bytes) -> array[int]:
    words = array("H", data[CHUNK:-CHUNK])
    table = array("H", bytes(2 * TABLE_CHUNKS * CHUNK_SLOTS))
    for column in range(CHUNK_SLOTS):
        table[column::CHUNK_SLOTS] = words[2 + column :: _CHUNK_WORDS]
    return table


def _owners(held: array[int]) -> array[int]:
    if max(held) < NO_TARGET:
        return held
    return array("H", [NO_SERVER if owner & NO_TARGET == NO_TARGET else owner & NO_TARGET for owner in held])
