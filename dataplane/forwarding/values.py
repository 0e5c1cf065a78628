"""The values that a driver forwards by, and what it has counted.

The engine makes them from the plan, the servers' health and the network; a driver only ever sees these. Addresses are
4 bytes and MAC addresses 6 bytes, as they stand in a frame. Each value is immutable: a change is a new value put in the
old one's place, so that a frame sees the whole of the one or the whole of the other.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dataplane.forwarding.maglev import Owners

TCP = 6
UDP = 17


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface of the engine."""

    index: int  # the system's
    name: str
    mac: bytes
    mtu: int  # of the IP packet, in bytes
    addresses: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Vip:
    """A virtual IP."""

    address: bytes
    up: bool  # packets to it are forwarded (else dropped, `vip_down`)
    owned: bool  # ARP for it is answered here


class ServiceKey(NamedTuple):
    """What packets a service takes."""

    vip: bytes
    protocol: int  # the IP protocol's number
    port: int  # the first
    port_end: int  # the last


@dataclass(frozen=True, slots=True)
class Service:
    """How packets of a service are forwarded."""

    key: ServiceKey
    name: str
    pool: str  # the pool's uuid
    by_port: bool  # the client's port is part of the hashed key
    per_packet: bool = False  # every packet is a transaction of its own
    idle_timeout: int = 300  # seconds after which a tracked flow is forgotten, 0 = never


@dataclass(slots=True, unsafe_hash=True)  # frozen ones are made four times as slowly, and of these there are many
class Target:
    """A pool member as frames see it. Nobody changes one."""

    address: bytes
    up: bool  # it passed its monitors (it may be out of the table all the same)
    mac: bytes | None = None  # of the server (L2) or of the next hop (L3), None while unresolved
    interface: int | None = None  # the egress interface's index, None while no route leads there
    source: bytes = b""  # the engine's address on that interface, for the outer header
    serves: bool = True  # flows it has may go on (up, and enabled or within its graceful time)
    generation: int = 0  # tells it from an earlier life of the same address, whose flows do not revive
    path_mtu: int = 0  # bytes, what routers on the path reported for the tunnel, 0 = nothing


_NO_FALLBACK = array("H")
"""One for all pools: a driver sees by it that nothing changed."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool. Arrays are shared and never changed."""

    uuid: str
    seed: int  # of the flow hash
    table: Owners  # for every slot, an index into `targets`, or `maglev.NO_SERVER`
    targets: tuple[Target, ...]
    mode: str = "l2"  # how a packet travels to a member (`plan.MODES`)
    # for every slot STABLE, TRANSITION (it changed owner less than the idle timeout ago) or TRACKED (that is over, but
    # flows of the former owner may live); empty while all are stable
    phases: bytes = b""
    # for a slot in transition, the owner at the last moment outside one; NO_SERVER if that is not a member any more
    fallback: array[int] = field(default_factory=lambda: _NO_FALLBACK)
    # a hash of all that the table was made of, empty where that is not known: equal hashes of the same pool mean equal
    # tables
    made_of: bytes = b""

    @property
    def slots(self) -> int:
        """The number of slots."""
        return len(self.table)


STABLE, TRANSITION, TRACKED = 0, 1, 2
"""Phases of a slot."""


Lingering = Mapping[str, Sequence[tuple[int, tuple[bytes, int], int]]]
"""Flows that are remembered, by pool: slot, address and generation of the member, and when their last packet was seen
(nanoseconds of the system's monotonic clock)."""


@dataclass(slots=True)
class Tally:
    """What was forwarded."""

    packets: int = 0
    bytes: int = 0  # of the clients' IP packets

    def add(self, other: Tally) -> None:
        """Count what another one counted."""
        self.packets += other.packets
        self.bytes += other.bytes


@dataclass(slots=True)
class HandshakeTally:
    """Sampled TCP flows (`handshakes`)."""

    begun: int = 0
    answered: int = 0  # the client went on after its SYN
    unanswered: int = 0  # the client repeated its SYN again and again
    late: int = 0  # of these: it went on after all, and is among those answered

    def add(self, other: HandshakeTally) -> None:
        """Count what another one counted."""
        self.begun += other.begun
        self.answered += other.answered
        self.unanswered += other.unanswered
        self.late += other.late


@dataclass(slots=True)
class Counters:
    """What a driver has counted."""

    answered: int = 0  # ARP requests and pings answered, and clients told of a smaller MTU
    dropped: dict[str, int] = field(default_factory=dict)  # packets for a VIP, by reason
    services: dict[ServiceKey, Tally] = field(default_factory=dict)
    servers: dict[tuple[str, bytes], Tally] = field(default_factory=dict)  # by pool uuid and server address
    # of the dropped packets those whose service was known, by service and reason
    service_drops: dict[ServiceKey, dict[str, int]] = field(default_factory=dict)
    # of those that sampled flows came for
    service_handshakes: dict[ServiceKey, HandshakeTally] = field(default_factory=dict)
    server_handshakes: dict[tuple[str, bytes], HandshakeTally] = field(default_factory=dict)
