"""What stands in the XDP program's maps, packed and unpacked: the structures of xdp/layout.h.

Addresses, ports and MAC addresses are bytes as in a frame; other numbers are the machine's.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple

from . import rewrite
from .flows import Flow
from .forwarding import STABLE, TRACKED, TRANSITION, Interface, Pool, ServiceKey, Target
from .hashing import NO_SERVER
from .plan import L2, L3_GRE, MODES

LAYOUT = 2
"""The version of all of this. Maps of another version are not adopted."""

MAX_INTERFACES, INTERFACE_PROBES = 1024, 4
NO_POOL = 0xFFFFFFFF
ANSWERED = 63
"""The place of answered ARP requests in `events`, where the drop reasons stand from 0 on."""

ADDRESS_VIP, ADDRESS_VIP_UP, ADDRESS_VIP_OWNED, ADDRESS_VIP_RANGES, ADDRESS_OWN = 1, 2, 4, 8, 16
SERVICE_BY_PORT, SERVICE_PER_PACKET, SERVICE_VIP, SERVICE_VIP_UP = 1, 2, 4, 8
TARGET_UP, TARGET_RESOLVED, TARGET_MAC, TARGET_INTERFACE, TARGET_SERVES = 1, 2, 4, 8, 16

NO_TARGET, UNSETTLED, IN_TRANSITION = 0x7FFF, 0x8000, 0x8000

CHUNK = 64
_CHUNK_SLOTS, _CHUNK_WORDS, _TABLE_CHUNKS = 30, 32, 2185
POOL_CHUNKS = 1 + _TABLE_CHUNKS + 1
_HEAD = struct.Struct("=8sIIIIII32x")
_NAME = struct.Struct("=I60s")
_TARGET = struct.Struct("=6s6sIIIHBB4s8s4sIII8x")
_LIFE = struct.Struct("=8s4sI")
_INTERFACE = struct.Struct("=II6s2x")
_SERVICE = struct.Struct("=8sIIIIHBxI")
_SERVICE_KEY = struct.Struct("=4s2sBx")
_RANGE_KEY = struct.Struct("=I4sBx2s")
_MEMBER = struct.Struct("=I4s6s2x")
_FLOW = struct.Struct("=4s4s2s2sB3x")
_FLOW_ENTRY = struct.Struct("=16sQ")
_SLOW_FRAME = struct.Struct("=II8sHH4sI4x")

NAME_LENGTH = 60
"""Bytes of a pool's uuid, at most."""
MAX_TARGETS = NO_TARGET
"""Members of a pool, at most."""
MAX_SLOTS = _TABLE_CHUNKS * _CHUNK_SLOTS
"""Slots of a pool's table, at most."""
INDEX_BITS = 17
_INDEX_FACTOR = 0x9E3779B97F4A7C15
TARGET_SIZE = _TARGET.size
FREE_INTERFACE = _INTERFACE.pack(0, 0, bytes(6))


def u32(number: int) -> bytes:
    """A number as a key or a value."""
    return number.to_bytes(4, "little")


def interface(value: Interface) -> bytes:
    """An entry of `interfaces`."""
    return _INTERFACE.pack(value.index, value.mtu, value.mac)


class InterfaceEntry(NamedTuple):
    """An entry of `interfaces`, read back."""

    ifindex: int
    mtu: int
    mac: bytes


def read_interfaces(data: bytes) -> Iterator[tuple[int, InterfaceEntry]]:
    """The places in use and what stands in them."""
    for place, fields in enumerate(_INTERFACE.iter_unpack(data)):
        if fields[0]:
            yield place, InterfaceEntry(*fields)


class Egress(NamedTuple):
    """What a target's frames need of their egress interface; place: in `egress`."""

    place: int
    mac: bytes
    mtu: int


class ServiceEntry(NamedTuple):
    """A value of `services`, `ranges` and `entries`. key: as `service_key` packs it, of a range its first port."""

    key: bytes
    pool: int
    slots: int
    seed: int
    counter: int
    port_end: int
    flags: int
    idle_timeout: int

    @property
    def service(self) -> ServiceKey:
        """The key in full."""
        vip, port, protocol = _SERVICE_KEY.unpack(self.key)
        return ServiceKey(vip, protocol, int.from_bytes(port, "big"), self.port_end)

    def pack(self) -> bytes:
        """As the program reads it."""
        return _SERVICE.pack(*self)

    @classmethod
    def unpack(cls, data: bytes) -> ServiceEntry:
        """As it was packed."""
        return cls(*_SERVICE.unpack(data))


def service_key(key: ServiceKey) -> bytes:
    """A service's key in `services` (of a range its first port)."""
    return _SERVICE_KEY.pack(key.vip, key.port.to_bytes(2, "big"), key.protocol)


def index_place(key: bytes) -> int:
    """The place in `service_index` that a key comes to first; the second is its neighbour, the number with the last
    bit turned."""
    return (int.from_bytes(key, "little") * _INDEX_FACTOR & 0xFFFFFFFFFFFFFFFF) >> (64 - INDEX_BITS)


def range_keys(key: ServiceKey) -> list[bytes]:
    """The keys of a service of several ports in `ranges`: the prefixes that its range is made of, at most 30."""
    keys, port = [], key.port
    while port <= key.port_end:
        size = port & -port or 1 << 16
        while port + size - 1 > key.port_end:
            size >>= 1
        keys.append(_RANGE_KEY.pack(48 + 17 - size.bit_length(), key.vip, key.protocol, port.to_bytes(2, "big")))
        port += size
    return keys


def member(pool: int, mac: bytes, address: bytes = bytes(4)) -> bytes:
    """A key of `members`."""
    return _MEMBER.pack(pool, address, mac)


def member_word(key: bytes) -> bytes:
    """What of a key of `members` stands in the filter: the last four bytes of the MAC address."""
    mac: bytes = _MEMBER.unpack(key)[2]
    return mac[2:]


def pool_id(uuid: str) -> bytes:
    """What stands for a pool in flows: the same whenever it comes back."""
    return blake2b(uuid.encode(), digest_size=8).digest()


def pool_chunks(pool: Pool, first: int, formers: int = NO_POOL) -> bytes:
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
    return head + _chunks(table, first) + _NAME.pack(len(name), name)


def formers_chunks(pool: Pool, first: int) -> bytes:
    """The formers of a pool of which not every slot is stable."""
    marks = {phase: _MARKS[IN_TRANSITION if phase == TRANSITION else 0] for phase in (STABLE, TRANSITION, TRACKED)}
    held = array("H", [marks[phase][former] for former, phase in zip(pool.fallback, pool.phases, strict=True)])
    return bytes(CHUNK) + _chunks(held, first) + bytes(CHUNK)


class _Marked(dict[int, int]):
    """Owners as they stand in a slot, by index; NO_SERVER is NO_TARGET there."""

    def __init__(self, mark: int) -> None:
        super().__init__({NO_SERVER: NO_TARGET | mark})
        self._mark = mark

    def __missing__(self, index: int) -> int:
        marked = self[index] = index | self._mark
        return marked


_MARKS = {mark: _Marked(mark) for mark in (0, UNSETTLED)}


def _chunks(table: array[int], first: int) -> bytes:
    used = -(-len(table) // _CHUNK_SLOTS)
    table = table + array("H", [0] * (used * _CHUNK_SLOTS - len(table)))
    words = array("H", bytes(_TABLE_CHUNKS * CHUNK))
    end, step = used * _CHUNK_WORDS, _CHUNK_WORDS
    words[0:end:step] = array("H", [first & 0xFFFF]) * used
    words[1:end:step] = array("H", [first >> 16]) * used
    for column in range(_CHUNK_SLOTS):  # a slice at a time: a chunk at a time takes ten times as long
        words[2 + column : end : step] = table[column::_CHUNK_SLOTS]
    return words.tobytes()


def pool_targets(pool: Pool, counters: Mapping[bytes, int], egress: Mapping[int, Egress]) -> bytes:
    """A pool's targets, side by side. egress: by interface index."""
    id = pool_id(pool.uuid)
    return b"".join(_target(target, id, pool.mode, counters[target.address], egress) for target in pool.targets)


def _target(target: Target, pool: bytes, mode: str, counter: int, egress: Mapping[int, Egress]) -> bytes:
    by = egress.get(target.interface) if target.interface is not None else None
    flags = (TARGET_UP if target.up else 0) | (TARGET_SERVES if target.serves else 0)
    if target.mac is not None:
        flags |= TARGET_MAC
    if target.interface is not None:
        flags |= TARGET_INTERFACE
    if target.mac is not None and by is not None:
        flags |= TARGET_RESOLVED
    place, source_mac, mtu = by or Egress(0, bytes(6), 0)
    if mode != L2:
        mtu = max(0, min(mtu, target.path_mtu or mtu) - rewrite.overhead(mode))
    source = target.source or bytes(4)
    return _TARGET.pack(
        target.mac or bytes(6), source_mac, target.interface or 0, mtu, counter, place, flags, MODES.index(mode),
        source, pool, target.address, target.generation, _outer_sum(mode, source, target.address), target.path_mtu,
    )  # fmt: skip


def _outer_sum(mode: str, source: bytes, destination: bytes) -> int:
    """The sum of an outer header without TOS, length, identification and flags: 16-bit words as the machine reads
    them."""
    protocol = rewrite.IPPROTO_GRE if mode == L3_GRE else rewrite.IPPROTO_IPIP
    return sum(struct.unpack("=6H", struct.pack("BxBB", 0x45, rewrite.TTL, protocol) + source + destination))


def life(pool: str, address: bytes, generation: int) -> bytes:
    """A key of `lives`."""
    return _LIFE.pack(pool_id(pool), address, generation)


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


def read_pool(data: bytes, targets: bytes, formers: bytes = b"") -> tuple[Pool, dict[bytes, int]]:
    """A pool and its targets' counters, by address, from its array, its targets and its formers' array."""
    head = read_head(data)
    assert head is not None
    length, name = _NAME.unpack(data[-CHUNK:])
    table = _read_table(data)[: head.slots]
    members, counters = [], {}
    for fields in _TARGET.iter_unpack(targets):
        mac, _, index, _, counter, _, flags, _, source, _, address, generation, _, mtu = fields
        known_mac = mac if flags & TARGET_MAC else None
        known_index = index if flags & TARGET_INTERFACE else None
        known_source = b"" if source == bytes(4) else source
        members.append(
            Target(
                address,
                bool(flags & TARGET_UP),
                known_mac,
                known_index,
                known_source,
                bool(flags & TARGET_SERVES),
                generation,
                mtu,
            )  # fmt: skip
        )
        counters[address] = counter
    phases, fallback = b"", array("H")
    if formers:
        held = _read_table(formers)[: head.slots]
        phases = bytes(
            STABLE if not owner & UNSETTLED else TRANSITION if former & IN_TRANSITION else TRACKED
            for owner, former in zip(table, held, strict=True)
        )
        fallback = _owners(held)
    pool = Pool(
        name[:length].decode(), head.seed, _owners(table), tuple(members), MODES[head.mode], phases, fallback
    )  # fmt: skip
    return pool, counters


def _read_table(data: bytes) -> array[int]:
    words = array("H", data[CHUNK:-CHUNK])
    table = array("H", bytes(2 * _TABLE_CHUNKS * _CHUNK_SLOTS))
    for column in range(_CHUNK_SLOTS):
        table[column::_CHUNK_SLOTS] = words[2 + column :: _CHUNK_WORDS]
    return table


def _owners(held: array[int]) -> array[int]:
    if max(held) < NO_TARGET:
        return held
    return array("H", [NO_SERVER if owner & NO_TARGET == NO_TARGET else owner & NO_TARGET for owner in held])


class FlowEntry(NamedTuple):
    """An entry of `elder` or `young`. pool: its id; seen: nanoseconds of the kernel's clock."""

    flow: Flow
    pool: bytes
    address: bytes
    generation: int
    seen: int


def read_flow(key: bytes, value: bytes) -> FlowEntry:
    """An entry of `elder` or `young`."""
    client, vip, client_port, port, protocol = _FLOW.unpack(key)
    where, seen = _FLOW_ENTRY.unpack(value)
    pool, address, generation = _LIFE.unpack(where)
    flow = Flow(client, vip, protocol, int.from_bytes(client_port, "big"), int.from_bytes(port, "big"))
    return FlowEntry(flow, pool, address, generation, seen)


class SlowFrame(NamedTuple):
    """A frame that the program leaves to user space, and what it decided. interface: that it came by; id: of the first
    outer header; address, generation: of the server."""

    interface: int
    service: ServiceKey
    id: int
    address: bytes
    generation: int
    frame: bytes


def read_slow(data: bytes) -> SlowFrame:
    """A sample of `slow`."""
    interface, size, key, port_end, number, address, generation = _SLOW_FRAME.unpack_from(data)
    vip, port, protocol = _SERVICE_KEY.unpack(key)
    service = ServiceKey(vip, protocol, int.from_bytes(port, "big"), port_end)
    frame = bytes(data[_SLOW_FRAME.size : _SLOW_FRAME.size + size])
    return SlowFrame(interface, service, number, address, generation, frame)


class Filter:
    """A set of 32-bit words by one bit a hash (struct filter). It counts, so that words can be taken out again."""

    WORDS = 1024
    _FACTOR = 0x9E3779B1

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.bits = bytearray(self.WORDS * 8)

    def add(self, words: Iterable[bytes]) -> bool:
        """Add words; whether a bit changed."""
        changed = False
        for at in map(self._hash, words):
            self._counts[at] = self._counts.get(at, 0) + 1
            if self._counts[at] == 1:
                self.bits[at // 8] |= 1 << at % 8
                changed = True
        return changed

    def remove(self, words: Iterable[bytes]) -> bool:
        """Remove words that were added; whether a bit changed."""
        changed = False
        for at in map(self._hash, words):
            self._counts[at] -= 1
            if not self._counts[at]:
                del self._counts[at]
                self.bits[at // 8] &= ~(1 << at % 8)
                changed = True
        return changed

    def _hash(self, word: bytes) -> int:
        return (int.from_bytes(word, "little") * self._FACTOR & 0xFFFFFFFF) >> 16
