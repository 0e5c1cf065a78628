"""What stands in the XDP program's maps, packed and unpacked: the structures of xdp/layout.h.

Addresses, ports and MAC addresses are bytes as in a frame; other numbers are the machine's.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .forwarding import Interface, Pool, ServiceKey, Target

LAYOUT = 1
"""The version of all of this. Maps of another version are not adopted."""

MAX_INTERFACES, INTERFACE_PROBES = 1024, 4
NO_POOL = 0xFFFFFFFF
ANSWERED = 63
"""The place of answered ARP requests in `events`, where the drop reasons stand from 0 on."""

ADDRESS_VIP, ADDRESS_VIP_UP, ADDRESS_VIP_OWNED, ADDRESS_VIP_RANGES, ADDRESS_OWN = 1, 2, 4, 8, 16
SERVICE_BY_PORT, SERVICE_PER_PACKET, SERVICE_VIP, SERVICE_VIP_UP = 1, 2, 4, 8
TARGET_UP, TARGET_RESOLVED, TARGET_MAC, TARGET_INTERFACE = 1, 2, 4, 8

CHUNK, POOL_CHUNKS = 64, 2186
_CHUNK_SLOTS = 30
_HEAD = struct.Struct("=IIHHI48s")
_TABLE_CHUNK = struct.Struct("=I60s")
_TARGET = struct.Struct("=6s6s4sIIIHBx")
_INTERFACE = struct.Struct("=II6s2x")
_SERVICE = struct.Struct("=8sIIIIHB5x")
_SERVICE_KEY = struct.Struct("=4s2sBx")
_RANGE_KEY = struct.Struct("=I4sBx2s")
_MEMBER = struct.Struct("=I4s6s2x")

NAME_LENGTH = 48
"""Bytes of a pool's uuid, at most."""
MAX_SLOTS = (POOL_CHUNKS - 1) * _CHUNK_SLOTS
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


def pool_chunks(pool: Pool, first: int) -> bytes:
    """A pool's array. first: the place of its first target."""
    name = pool.uuid.encode()
    table = (pool.table if pool.table.itemsize == 2 else array("H", pool.table)).tobytes()
    size = 2 * _CHUNK_SLOTS
    chunks = [_HEAD.pack(pool.slots, pool.seed, len(pool.targets), len(name), first, name)]
    chunks += [_TABLE_CHUNK.pack(first, table[at : at + size]) for at in range(0, len(table), size)]
    return b"".join(chunks).ljust(POOL_CHUNKS * CHUNK, b"\0")


def pool_targets(pool: Pool, counters: Mapping[bytes, int], egress: Mapping[int, Egress]) -> bytes:
    """A pool's targets, side by side. egress: by interface index."""
    return b"".join(_target(target, counters[target.address], egress) for target in pool.targets)


def _target(target: Target, counter: int, egress: Mapping[int, Egress]) -> bytes:
    by = egress.get(target.interface) if target.interface is not None else None
    flags = TARGET_UP if target.up else 0
    if target.mac is not None:
        flags |= TARGET_MAC
    if target.interface is not None:
        flags |= TARGET_INTERFACE
    if target.mac is not None and by is not None:
        flags |= TARGET_RESOLVED
    place, source, mtu = by or Egress(0, bytes(6), 0)
    mac, index = target.mac or bytes(6), target.interface or 0
    return _TARGET.pack(mac, source, target.address, index, mtu, counter, place, flags)


class PoolHead(NamedTuple):
    """The head of a pool read back. targets: their number; first: the place of the first."""

    uuid: str
    slots: int
    seed: int
    targets: int
    first: int


def read_head(data: bytes) -> PoolHead:
    """The head of a pool's array."""
    slots, seed, targets, length, first, name = _HEAD.unpack_from(data)
    return PoolHead(name[:length].decode(), slots, seed, targets, first)


def read_pool(data: bytes, targets: bytes) -> tuple[Pool, dict[bytes, int]]:
    """A pool and its targets' counters, by address, from its array and its targets."""
    head = read_head(data)
    table = array("H")
    for _, slots in _TABLE_CHUNK.iter_unpack(data[CHUNK:]):
        table.frombytes(slots)
    members, counters = [], {}
    for mac, _, address, index, _, counter, _, flags in _TARGET.iter_unpack(targets):
        known_mac = mac if flags & TARGET_MAC else None
        known_index = index if flags & TARGET_INTERFACE else None
        members.append(Target(address, bool(flags & TARGET_UP), known_mac, known_index))
        counters[address] = counter
    return Pool(head.uuid, head.seed, table[: head.slots], tuple(members)), counters


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
