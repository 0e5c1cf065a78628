"""What stands in the XDP program's maps, packed and unpacked: the structures of xdp/layout.h.

Addresses, ports and MAC addresses are bytes as in a frame; other numbers are the machine's.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Mapping
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
TARGET_PLACE, TARGET_RESOLVED, TARGET_MAC, TARGET_UP = 0x03FF, 0x8000, 0x4000, 0x2000

CHUNK, POOL_CHUNKS = 64, 2186
_CHUNK_SLOTS, _CHUNK_WORDS = 30, 32
_HEAD = struct.Struct("=IIHHI48s")
_TARGET = struct.Struct("=6sH4sI")
_INTERFACE = struct.Struct("=II6s2x")
_SERVICE = struct.Struct("=8sIIIIHB5x")
_SERVICE_KEY = struct.Struct("=4s2sBx")
_RANGE_KEY = struct.Struct("=I4sBx2s")
_MEMBER = struct.Struct("=I4s6s2x")

NAME_LENGTH = 48
"""Bytes of a pool's uuid, at most."""
MAX_SLOTS = (POOL_CHUNKS - 1) * _CHUNK_SLOTS
"""Slots of a pool's table, at most."""
INDEX_BITS, MAX_ENTRIES, MAX_TARGETS = 16, 32768, 131072
_INDEX_FACTOR = 0x9E3779B97F4A7C15
INTERFACE_SIZE, ENTRY_SIZE, TARGET_SIZE = _INTERFACE.size, _SERVICE.size, _TARGET.size
FILTER_SIZE = 8192
STATE = (
    MAX_INTERFACES * INTERFACE_SIZE,
    FILTER_SIZE,
    FILTER_SIZE,
    4 << INDEX_BITS,
    MAX_ENTRIES * ENTRY_SIZE,
    MAX_TARGETS * TARGET_SIZE,
)
"""Bytes of the parts of struct state: interfaces, filters of addresses and members, index, entries, targets."""
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
    """The place in `index` that a key comes to first; the second is its neighbour, the number with the last
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
    used = -(-pool.slots // _CHUNK_SLOTS)
    table = array("H", pool.table)
    table.extend([0] * (used * _CHUNK_SLOTS - pool.slots))
    words = array("H", bytes((POOL_CHUNKS - 1) * CHUNK))
    end, step = used * _CHUNK_WORDS, _CHUNK_WORDS
    words[0:end:step] = array("H", [first & 0xFFFF]) * used
    words[1:end:step] = array("H", [first >> 16]) * used
    for column in range(_CHUNK_SLOTS):  # a slice at a time: a chunk at a time takes ten times as long
        words[2 + column : end : step] = table[column::_CHUNK_SLOTS]
    return _HEAD.pack(pool.slots, pool.seed, len(pool.targets), len(name), first, name) + words.tobytes()


def pool_targets(pool: Pool, counters: Mapping[bytes, int], places: Mapping[int, int]) -> bytes:
    """A pool's targets, side by side. places: of the interfaces served, by index."""
    return b"".join(_target(target, counters[target.address], places) for target in pool.targets)


def _target(target: Target, counter: int, places: Mapping[int, int]) -> bytes:
    place = places.get(target.interface) if target.interface is not None else None
    egress = TARGET_UP if target.up else 0
    if target.mac is not None:
        egress |= TARGET_MAC
        if place is not None:
            egress |= TARGET_RESOLVED | place
    return _TARGET.pack(target.mac or bytes(6), egress, target.address, counter)


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


def read_pool(data: bytes, targets: bytes, indices: Mapping[int, int]) -> tuple[Pool, dict[bytes, int]]:
    """A pool and its targets' counters, by address, from its array and its targets.

    indices: of the interfaces, by place. The egress interface of a target that is not resolved is not known.
    """
    head = read_head(data)
    words = array("H", data[CHUNK:])
    table = array("H", bytes(2 * (POOL_CHUNKS - 1) * _CHUNK_SLOTS))
    for column in range(_CHUNK_SLOTS):
        table[column::_CHUNK_SLOTS] = words[2 + column :: _CHUNK_WORDS]
    members, counters = [], {}
    for mac, egress, address, counter in _TARGET.iter_unpack(targets):
        known_mac = mac if egress & TARGET_MAC else None
        index = indices.get(egress & TARGET_PLACE) if egress & TARGET_RESOLVED else None
        members.append(Target(address, bool(egress & TARGET_UP), known_mac, index))
        counters[address] = counter
    return Pool(head.uuid, head.seed, table[: head.slots], tuple(members)), counters
