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
SERVICE_VIP, SERVICE_VIP_UP, SERVICE_BY_PORT, SERVICE_PER_PACKET = 1, 2, 4, 8
TARGET_PLACE, TARGET_RESOLVED, TARGET_MAC, TARGET_UP = 0x03FF, 0x8000, 0x4000, 0x2000

MAX_SLOTS = 65552
"""Slots of a pool's table, at most."""
_POOL = struct.Struct("=IIIHH48s")
POOL_SIZE = _POOL.size + 2 * MAX_SLOTS
_TARGET = struct.Struct("=6sH4sI")
_INTERFACE = struct.Struct("=II6s2x")
_SERVICE = struct.Struct("=8sIIIIHB5x")
_SERVICE_KEY = struct.Struct("=4s2sBx")
_RANGE_KEY = struct.Struct("=I4sBx2s")
_MEMBER = struct.Struct("=I4s6s2x")

NAME_LENGTH = 48
"""Bytes of a pool's uuid, at most."""
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


def member_mac(key: bytes) -> bytes:
    """The MAC address of a key of `members`."""
    mac: bytes = _MEMBER.unpack(key)[2]
    return mac


def pool(value: Pool, first: int) -> bytes:
    """A pool. first: the place of its first target."""
    name = value.uuid.encode()
    head = _POOL.pack(value.slots, value.seed, first, len(value.targets), len(name), name)
    return (head + array("H", value.table).tobytes()).ljust(POOL_SIZE, b"\0")


def pool_targets(value: Pool, counters: Mapping[bytes, int], places: Mapping[int, int]) -> bytes:
    """A pool's targets, side by side. places: of the interfaces served, by index."""
    return b"".join(_target(target, counters[target.address], places) for target in value.targets)


def _target(target: Target, counter: int, places: Mapping[int, int]) -> bytes:
    place = places.get(target.interface) if target.interface is not None else None
    egress = TARGET_UP if target.up else 0
    if target.mac is not None:
        egress |= TARGET_MAC
        if place is not None:
            egress |= TARGET_RESOLVED | place
    return _TARGET.pack(target.mac or bytes(6), egress, target.address, counter)


class PoolHead(NamedTuple):
    """A pool without table and targets. first: the place of its first target; targets: their number."""

    uuid: str
    slots: int
    seed: int
    first: int
    targets: int


def read_head(data: bytes) -> PoolHead:
    """The head of a pool."""
    slots, seed, first, targets, length, name = _POOL.unpack_from(data)
    return PoolHead(name[:length].decode(), slots, seed, first, targets)


def read_pool(data: bytes, targets: bytes, indices: Mapping[int, int]) -> tuple[Pool, dict[bytes, int]]:
    """A pool and its targets' counters, by address, from both as they were packed.

    indices: of the interfaces, by place. The egress interface of a target that is not resolved is not known.
    """
    head = read_head(data)
    table = array("H", data[_POOL.size : _POOL.size + 2 * head.slots])
    members, counters = [], {}
    for mac, egress, address, counter in _TARGET.iter_unpack(targets):
        known_mac = mac if egress & TARGET_MAC else None
        index = indices.get(egress & TARGET_PLACE) if egress & TARGET_RESOLVED else None
        members.append(Target(address, bool(egress & TARGET_UP), known_mac, index))
        counters[address] = counter
    return Pool(head.uuid, head.seed, table, tuple(members)), counters
