"""Packs and unpacks what stands in the maps: the structures of dataplane/forwarding/program/layout.h.

Addresses, ports and MAC addresses are bytes as in a frame; other numbers are the machine's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

from dataplane.forwarding.values import Interface, ServiceKey

LAYOUT = 7
"""The version of all of this. Maps of another version are not adopted."""

PINNED = (
    "addresses",
    "services",
    "ranges",
    "slabs",
    "details",
    "lives",
    "source_macs",
    "counters",
    "events",
    "service_drops",
    "openings",
    "handshakes",
    "elder",
    "young",
    "fragments",
    "identifications",
    "used_identifications",
    "slow_counters",
    "slow_events",
    "slow_service_drops",
    "bss",
    "data",
)
"""The maps that outlive the program; `bss` and `data` are its memory."""
RENEWABLE = ("identifications", "used_identifications", "data")
"""Maps whose contents the program can do without: where an older release left them in another form, or not at all, new
ones are made."""
EGRESS = "egress"
"""The map of the interfaces that the program sends to. Each program has its own, filled from `bss`: the kernel lets two
programs share one only where both take frames of several pieces, or neither does."""
NAMES = (EGRESS, *PINNED)
"""All the maps that are written here."""

MAX_INTERFACES, INTERFACE_PROBES = 1024, 4
NO_POOL, MAX_POOLS = 0, 32768
ANSWERS_UNTIL = 2
"""The double word of `data` that tells until when ARP is answered."""
ANSWERED = 63
"""The place in `events` of what was answered; the drop reasons stand there from 0 on."""

ADDRESS_VIP, ADDRESS_VIP_UP, ADDRESS_VIP_OWNED, ADDRESS_VIP_RANGES, ADDRESS_OWN = 1, 2, 4, 8, 16
SERVICE_BY_PORT, SERVICE_PER_PACKET, SERVICE_VIP, SERVICE_VIP_UP = 1, 2, 4, 8
TARGET_PLACE, TARGET_RESOLVED, TARGET_MAC, TARGET_UP = 0x03FF, 0x8000, 0x4000, 0x2000
TARGET_SERVES, TARGET_TUNNEL, TARGET_GRE = 0x1000, 0x0800, 0x0400

TABLE_SLOTS, SLAB_TABLES, MAX_SLABS = 65568, 32, 2048
TABLE_SIZE = 2 * TABLE_SLOTS
HEAD_PLACES = 3
NO_TARGET, UNSETTLED, IN_TRANSITION = 0x7FFF, 0x8000, 0x8000
LIFE = struct.Struct("=8s4sI")
"""A member in one life of it: its pool's id, its address, its generation."""
_INTERFACE = struct.Struct("=II6s2x")
_SERVICE = struct.Struct("=8sIIIIHBxI")
_SERVICE_KEY = struct.Struct("=4s2sBx")
_RANGE_KEY = struct.Struct("=I4sBx2s")
_SOURCE_MAC = struct.Struct("=I4s6s2x")
SOURCE_MAC_WORD_AT = 10
source_mac_word = itemgetter(slice(SOURCE_MAC_WORD_AT, SOURCE_MAC_WORD_AT + 4))
"""The part of a key of `source_macs` that stands in the filter: the last four bytes of the MAC address."""
_ANY_ADDRESS = bytes(4)
_SERVICE_DROP = struct.Struct("=II")
_SLOW_FRAME = struct.Struct("=II8sHH4sI4x")

NAME_LENGTH = 60
"""Bytes of a pool's uuid, at most."""
INDEX_BITS, MAX_ENTRIES, MAX_TARGETS = 16, 32768, 131072
_INDEX_FACTOR = 0x9E3779B97F4A7C15
INTERFACE_SIZE, ENTRY_SIZE, TARGET_SIZE, DETAIL_SIZE = _INTERFACE.size, _SERVICE.size, 16, 32
FILTER_SIZE = 8192
STATE = (
    MAX_INTERFACES * INTERFACE_SIZE,
    FILTER_SIZE,
    FILTER_SIZE,
    4 << INDEX_BITS,
    MAX_ENTRIES * ENTRY_SIZE,
    8 * MAX_POOLS,
    MAX_TARGETS * TARGET_SIZE,
)
"""Bytes of the parts of struct state: interfaces, filters of addresses and of source MACs, index, entries, pools,
targets."""
FREE_INTERFACE = _INTERFACE.pack(0, 0, bytes(6))


def u32(number: int) -> bytes:
    """A number as a key or a value."""
    return number.to_bytes(4, "little")


def interface(value: Interface) -> bytes:
    """An entry of `interfaces`."""
    return _INTERFACE.pack(value.index, min(value.mtu, 0xFFFF), value.mac)  # no packet is larger


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
    """A value of `services`, `ranges` and `entries`."""

    key: bytes  # as `service_key` packs it, of a range its first port
    pool: int  # place in `pools`, or NO_POOL
    slots: int  # of the pool's table
    seed: int  # of the flow hash
    counter: int
    port_end: int
    flags: int  # SERVICE_…
    idle_timeout: int  # seconds, 0: none

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


def source_macs(pool: int, known: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """The keys of `source_macs` of a pool's servers, by their MAC and IP addresses: each alone, and both together."""
    pack = _SOURCE_MAC.pack
    alone = {pack(pool, _ANY_ADDRESS, mac) for mac, _ in known}
    return alone.union([pack(pool, address, mac) for mac, address in known])


def service_drop(counter: int, reason: int) -> bytes:
    """A key of `service_drops`: a service's counter, and a drop reason's place in `events`."""
    return _SERVICE_DROP.pack(counter, reason)


def read_service_drop(key: bytes) -> tuple[int, int]:
    """Counter and reason."""
    counter, reason = _SERVICE_DROP.unpack(key)
    return counter, reason


class SlowFrame(NamedTuple):
    """A frame that the program leaves to user space, and what it decided."""

    interface: int  # that it came by
    service: ServiceKey
    id: int  # of the first outer header
    address: bytes  # of the server
    generation: int  # of the server
    frame: bytes


def read_slow(data: bytes) -> SlowFrame:
    """A sample of `slow`."""
    interface, size, key, port_end, number, address, generation = _SLOW_FRAME.unpack_from(data)
    vip, port, protocol = _SERVICE_KEY.unpack(key)
    service = ServiceKey(vip, protocol, int.from_bytes(port, "big"), port_end)
    frame = bytes(data[_SLOW_FRAME.size : _SLOW_FRAME.size + size])
    return SlowFrame(interface, service, number, address, generation, frame)
