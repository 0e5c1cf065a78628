"""The values that a driver forwards by, and the interface of a driver.

The engine makes them from the plan, the servers' health and the network; a driver only ever sees these. Addresses are
4 bytes and MAC addresses 6 bytes, as they stand in a frame. Each value is immutable: a change is a new value put in the
old one's place, so that a frame sees the whole of the one or the whole of the other.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from dataplane.forwarding.maglev import Owners

TCP = 6
UDP = 17

DROP_REASONS = (
    "malformed",
    "bad_source",
    "looped",
    "vip_down",
    "fragment_unknown",
    "fragment_short",
    "icmp_unsupported",
    "icmp_unmatched",
    "no_service",
    "no_server",
    "no_next_hop",
    "too_big_l2",
    "too_big_rate_limited",
    "encap_failed",
    "transmit_failed",
    "too_big_unreported",
)
"""Every reason a packet for a VIP is dropped for; the position is the reason's number in the kernel's counters."""

MISTAKEN = "internal_error"
"""The reason of what a driver drops because of a mistake of its own, which it tells."""
OVERRUN = "overrun"
"""Beside them in the counters of the pcap driver: frames that came faster than it took them, undecided."""


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface of the engine. index: the kernel's; mtu: of the IP packet, in bytes."""

    index: int
    name: str
    mac: bytes
    mtu: int
    addresses: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Vip:
    """A virtual IP. up: packets to it are forwarded (else dropped, `vip_down`); owned: ARP for it is answered here."""

    address: bytes
    up: bool
    owned: bool


class ServiceKey(NamedTuple):
    """A service: VIP, IP protocol number, first and last port."""

    vip: bytes
    protocol: int
    port: int
    port_end: int


@dataclass(frozen=True, slots=True)
class Service:
    """How packets of a service are forwarded.

    pool: the pool's uuid; by_port: the client's port is part of the key; per_packet: every packet is a transaction of
    its own; idle_timeout: seconds after which a tracked flow is forgotten, 0 = never.
    """

    key: ServiceKey
    name: str
    pool: str
    by_port: bool
    per_packet: bool = False
    idle_timeout: int = 300


@dataclass(slots=True, unsafe_hash=True)  # frozen ones are made four times as slowly, and of these there are many
class Target:
    """A pool member as frames see it. Nobody changes one.

    up: it passed its monitors (it may be out of the table all the same); mac: of the server (L2) or of the next hop
    towards it (L3), None while unresolved; interface: the egress interface's index, None while there is no way there;
    source: the engine's address on it, for the outer header; serves: flows it has may go on (up, and enabled or within
    its graceful time); generation: tells it from an earlier life of the same address, whose flows do not revive;
    path_mtu: bytes, what routers on the way reported for the tunnel, 0 = nothing.
    """

    address: bytes
    up: bool
    mac: bytes | None = None
    interface: int | None = None
    source: bytes = b""
    serves: bool = True
    generation: int = 0
    path_mtu: int = 0


_NO_FALLBACK = array("H")
"""One for all pools: a driver sees by it that nothing changed."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool: its table holds, for every slot, an index into `targets`, or `hashing.NO_SERVER`.

    mode: how a packet travels to a member (`plan.MODES`). phases: for every slot STABLE, TRANSITION (it changed owner
    less than the idle timeout ago) or TRACKED (that is over, flows of the former owner may live); empty while all are
    stable. fallback: for a slot in transition, the owner at the last moment outside one; NO_SERVER if that is not a
    member any more. made_of: a hash of all that the table was made of, empty where that is not known: equal hashes of
    the same pool mean equal tables. Arrays are shared and never changed.
    """

    uuid: str
    seed: int
    table: Owners
    targets: tuple[Target, ...]
    mode: str = "l2"
    phases: bytes = b""
    fallback: array[int] = field(default_factory=lambda: _NO_FALLBACK)
    made_of: bytes = b""

    @property
    def slots(self) -> int:
        """The number of slots."""
        return len(self.table)


STABLE, TRANSITION, TRACKED = 0, 1, 2
"""Phases of a slot."""


Lingering = Mapping[str, Sequence[tuple[int, tuple[bytes, int]]]]
"""Flows that are remembered, by pool: slot, and address and generation of the member."""


@dataclass(slots=True)
class Tally:
    """Packets, and bytes of the clients' IP packets."""

    packets: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Counters:
    """What a driver has counted. servers: by pool uuid and server address; answered: ARP requests and pings answered,
    and clients told of a smaller MTU."""

    answered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    services: dict[ServiceKey, Tally] = field(default_factory=dict)
    servers: dict[tuple[str, bytes], Tally] = field(default_factory=dict)


class Tables(Protocol):
    """Where forwarding values are put. Order that never shows half a change: pool, service, VIP; removal the other way
    round. Putting a value whose key is there replaces it."""

    def put_interface(self, interface: Interface) -> None:
        """Forward frames of this interface. Raises DriverError."""

    def remove_interface(self, index: int) -> None:
        """Leave this interface alone again."""

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """The engines' own addresses: packets from them to a VIP are probes come back."""

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool, at once for every frame."""

    def put_pools(self, pools: Iterable[Pool]) -> list[Pool]:
        """Add or replace several pools, each at once, one after the other as they come. Returns them as they are held:
        equal ones, but the table may be one that the driver keeps."""

    def remove_pool(self, uuid: str) -> None:
        """Remove a pool that no service names."""

    def put_service(self, service: Service) -> None:
        """Add or replace a service."""

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service."""

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP: its packets are the host's again."""


class Driver(Tables, Protocol):
    """Moves frames by the tables."""

    name: str
    """ "xdp" or "pcap"."""

    def modes(self) -> Mapping[str, str]:
        """How each interface is served, by interface name ("native", "generic", "AF_PACKET")."""

    def adopted(self) -> Mapping[str, Pool]:
        """What was found running at start: every pool, by its uuid. Empty after a cold start."""

    def lingering(self, pools: Collection[str]) -> Lingering:
        """Of every `elder` entry of some pools that lives, by pool: slot, and address and generation of the member;
        those that were idle for longer than their service allows are forgotten. One pass, whatever the pools."""

    def prune(self) -> None:
        """Called once after start, when all of the plan is put: drop adopted entries that were not put again."""

    def counters(self) -> Counters:
        """A snapshot of the counters."""

    def faults(self) -> list[str]:
        """What went wrong unexpectedly since the last call, in words. Raises DriverError when it forwards no more."""

    def close(self, *, keep: bool) -> None:
        """End. keep: forwarding that the kernel does by itself goes on; else everything is removed."""
