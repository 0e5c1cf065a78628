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

CHUNK = 128
_CHUNK_SLOTS, _CHUNK_TARGETS = 64, 4
_HEAD = struct.Struct("=IIII112s")
_TARGET = struct.Struct("=6s6s4sIIIHBx")
_INTERFACE = struct.Struct("=II6s2x")
_SERVICE = struct.Struct("=IIIIIHHB3x")
_SERVICE_KEY = struct.Struct("=4s2sBx")
_RANGE_KEY = struct.Struct("=I4sBx2s")
_MEMBER = struct.Struct("=I4s6s2x")

NAME_LENGTH = 112
"""Bytes of a pool's uuid, at most."""
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
    """A value of `services` or `ranges`."""

    pool: int
    slots: int
    seed: int
    targets: int
    counter: int
    port: int
    port_end: int
    flags: int

    def pack(self) -> bytes:
        """As the program reads it."""
        return _SERVICE.pack(*self)

    @classmethod
    def unpack(cls, data: bytes) -> ServiceEntry:
        """As it was packed."""
        return cls(*_SERVICE.unpack(data))


def service_key(key: ServiceKey) -> bytes:
    """The key of a service of one port in `services`."""
    return _SERVICE_KEY.pack(key.vip, key.port.to_bytes(2, "big"), key.protocol)


def read_service_key(data: bytes) -> tuple[bytes, int]:
    """VIP and protocol of a key in `services`."""
    vip, _, protocol = _SERVICE_KEY.unpack(data)
    return vip, protocol


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


def read_range_key(data: bytes) -> tuple[bytes, int]:
    """VIP and protocol of a key in `ranges`."""
    _, vip, protocol, _ = _RANGE_KEY.unpack(data)
    return vip, protocol


def member(pool: int, mac: bytes, address: bytes = bytes(4)) -> bytes:
    """A key of `members`."""
    return _MEMBER.pack(pool, address, mac)


def member_word(key: bytes) -> bytes:
    """What of a key of `members` stands in the filter: the last four bytes of the MAC address."""
    mac: bytes = _MEMBER.unpack(key)[2]
    return mac[2:]


def first_targets(slots: int) -> int:
    """The first chunk of targets in a pool of so many slots."""
    return 1 - -slots // _CHUNK_SLOTS


def chunks(slots: int, targets: int) -> int:
    """Chunks of a whole pool."""
    return first_targets(slots) - -targets // _CHUNK_TARGETS


def pool_table(pool: Pool) -> bytes:
    """A pool's head and table: its chunks up to the targets."""
    name = pool.uuid.encode()
    head = _HEAD.pack(pool.slots, pool.seed, len(pool.targets), len(name), name)
    table = pool.table if pool.table.itemsize == 2 else array("H", pool.table)
    return (head + table.tobytes()).ljust(first_targets(pool.slots) * CHUNK, b"\0")


def pool_targets(pool: Pool, counters: Mapping[bytes, int], egress: Mapping[int, Egress]) -> bytes:
    """A pool's targets: its chunks after the table. egress: by interface index."""
    packed = b"".join(_target(target, counters[target.address], egress) for target in pool.targets)
    return packed.ljust(-(-len(packed) // CHUNK) * CHUNK, b"\0")


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


class PoolEntry(NamedTuple):
    """A pool read back: its value, its targets as packed, the counter of each by address."""

    pool: Pool
    targets: bytes
    counters: dict[bytes, int]


def read_pool(data: bytes) -> PoolEntry:
    """A pool's chunks as they were packed. Raises ValueError when they are none."""
    slots, seed, number, length, name = _HEAD.unpack_from(data)
    start = first_targets(slots) * CHUNK
    if length > NAME_LENGTH or len(data) < start + number * _TARGET.size:
        raise ValueError("not a pool")
    table = array("H", data[CHUNK : CHUNK + 2 * slots])
    targets, counters = [], {}
    for at in range(start, start + number * _TARGET.size, _TARGET.size):
        mac, _, address, index, _, counter, _, flags = _TARGET.unpack_from(data, at)
        known_mac = mac if flags & TARGET_MAC else None
        known_index = index if flags & TARGET_INTERFACE else None
        targets.append(Target(address, bool(flags & TARGET_UP), known_mac, known_index))
        counters[address] = counter
    uuid = name[:length].decode()
    return PoolEntry(Pool(uuid, seed, table, tuple(targets)), data[start:], counters)


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
