"""The interface of a driver: the tables that forwarding values are put in, and what moves frames by them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple, Protocol

from dataplane.forwarding import poolnames
from dataplane.forwarding.capture import Capture, Wanted
from dataplane.forwarding.tracking import Flow, Remembered
from dataplane.forwarding.values import Counters, HandshakeTally, Interface, Lingering, Pool, Service, ServiceKey, Vip
from dataplane.kernel.objects import Owner

ALWAYS = 0
"""In place of a time for `answer_until`: ARP is answered without end."""


class Tables(Protocol):
    """The tables that forwarding values are put into. Put the pool first, then its service, then the VIP, and remove in
    reverse order: so no frame sees half a change. A value replaces the one with the same key."""

    def put_interface(self, interface: Interface) -> None:
        """Forward frames of this interface. Raises DriverError."""

    def remove_interface(self, index: int) -> None:
        """Leave this interface alone again."""

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """Replace the engines' own addresses: a packet from one of them to a VIP is a probe that came back."""

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool, at once for every frame."""

    def put_pools(self, pools: Iterable[Pool]) -> list[Pool]:
        """Add or replace several pools, in their order; each changes at once for every frame. Returns equal pools as
        the driver holds them: their tables may stand in the driver's memory."""

    def remove_pool(self, uuid: str, heir: str = "") -> None:
        """Remove a pool that no service names. heir: the pool that takes over its servers' counters."""

    def put_service(self, service: Service) -> None:
        """Add or replace a service."""

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service."""

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP: its packets are the host's again."""

    def answer_until(self, time: int) -> None:
        """Answer ARP for owned VIPs until a time: nanoseconds of the system's monotonic clock, or ALWAYS. This holds
        from the next frame on, and after this process has ended, too. For any thread."""


class Found(NamedTuple):
    """What a driver was found to run at start."""

    pools: Mapping[str, Pool]  # by the driver's names for them
    services: Mapping[ServiceKey, str]  # the name of each service's pool

    def names(self) -> Mapping[tuple[str, bytes], str]:
        """The names of the pools, by a pool's uuid in the plan and a VIP."""
        named = {(poolnames.parts(name).uuid, key.vip): name for key, name in self.services.items()}
        return {which: name for which, name in named.items() if name in self.pools}


NOTHING_FOUND = Found({}, {})


class Trace(NamedTuple):
    """What would become of a frame."""

    action: str  # as `decision.Verdict` has it
    reason: str  # of a drop
    frames: tuple[bytes, ...]  # what would leave
    remembered: Remembered  # of the frame's flow
    by: str  # who decided: "the program" or "the reference"


class HandshakeCounts(NamedTuple):
    """What was counted of sampled TCP flows (`handshakes`), of those that had any."""

    services: Mapping[ServiceKey, HandshakeTally]
    servers: Mapping[tuple[str, bytes], HandshakeTally]  # by the driver's name of the pool, and the server's address


class Asked(NamedTuple):
    """Of whom counters are asked."""

    services: Collection[ServiceKey] = ()
    pools: Collection[str] = ()  # by the driver's names for them: of their servers


def whole(pieces: Iterable[Counters]) -> Counters:
    """The last of the pieces, which has all."""
    (last,) = deque(pieces, 1)
    return last


class Sending(NamedTuple):
    """How well an interface sends the frames that a driver sends by it."""

    lost: int  # frames that its network driver did not take, since counting began
    recent: int = 0  # those of the last RECENT seconds
    fault: str = ""  # why nothing leaves by it at all
    remedy: str = ""  # what mends that


class FlowRoom(NamedTuple):
    """What flows can be remembered in."""

    entries: int  # how many at most
    evicts_from: int  # from so many on, a new one may take the place of one that goes on


class OffloadingSender(NamedTuple):
    """A sender that leaves work (checksums, VLAN tags) to its network device, which does not do it."""

    vip: bytes  # that it sends to
    address: bytes  # of the sender
    mac: bytes  # that its frames come from
    vlan: int = 0  # the VLAN whose tag its frames lack; 0: they lack checksums instead
    device: str = ""  # the veth that does not put the tag in


RECENT = 10
"""Seconds for which a loss counts as recent."""


class Driver(Tables, Protocol):
    """Moves frames by the tables."""

    name: str
    """As it is registered (`dataplane.drivers.registry`)."""
    sees_stripped_tags: bool
    """Whether it knows of the VLAN tags that a network card took off frames."""

    def modes(self) -> Mapping[str, str]:
        """How each interface is served, by interface name ("native", "generic", "AF_PACKET")."""

    def details(self) -> Mapping[str, Any]:
        """What else an operator may want to know of how it runs, by name; empty for most."""

    def adopted(self) -> Found:
        """What was found running at start: nothing after a cold start."""

    @property
    def flow_room(self) -> FlowRoom:
        """How many flows `elder` has room for."""

    def lingering(self, pools: Collection[str]) -> Lingering:
        """The live `elder` entries of some pools, by pool: slot, address and generation of the member, and when its
        last packet was seen. Entries that were idle for longer than their service allows are removed. It is one pass
        over the entries, whatever the pools."""

    def trace(self, frame: bytes, interface: int, flow: Flow) -> Trace:
        """What would become of a frame of a flow that arrives on an interface, by its index, now: as the driver itself
        decides, where it can be asked. Nothing is counted or remembered. For any thread. Raises DriverError."""

    def capture(self, wanted: Wanted) -> Capture:
        """Begin to capture frames, until the capture is closed; one at a time. For any thread. Raises DriverError."""

    def prune(self) -> None:
        """Called once after start, when all of the plan is put: drop adopted entries that were not put again."""

    def counters_in_pieces(self, asked: Asked | None = None) -> Iterator[Counters]:
        """The counters, a piece at a time, of some milliseconds each; others may do anything between two. What is
        yielded is always the same, with more in it, and has all at the end. Each counter is read once. asked: whose
        counters are to be told of beside those of all, None: everybody's; it costs as much as they are."""

    def handshakes(self) -> HandshakeCounts:
        """A snapshot of the handshake counters alone. For any thread."""

    def unanswered_clients(self) -> Mapping[tuple[str, bytes], Set[bytes]]:
        """The clients of sampled TCP flows that were not answered, as far as they are remembered; by the driver's name
        of the pool and the server's address. For any thread."""

    def sending(self) -> Mapping[int, Sending]:
        """How well the interfaces send, by index, as far as that can be seen. Each call looks again. It sends a test
        frame by an interface that lost frames, and by one that was not seen to send any yet. Called about once a
        second."""

    def offloading_senders(self) -> list[OffloadingSender]:
        """Senders whose packets reach the servers with checksums that nobody filled in, or from a VLAN whose tag nobody
        put in, as far as samples tell. Called about once a second."""

    def notes(self) -> list[str]:
        """What this driver, as it runs here, cannot do or see, each in a sentence with what mends it."""

    def ends_with_process(self) -> str:
        """Why forwarding ends with this process, however that ends; "" where it goes on."""

    def faults(self) -> list[str]:
        """Unexpected errors since the last call, in words. Raises DriverError if the driver forwards no more."""

    def kept(self, wake: Callable[[], None]) -> Sequence[Owner]:
        """The owners of what it keeps in the kernel. wake: called from any thread when something of that may be
        missing."""

    def close(self, *, keep: bool) -> None:
        """End. keep: forwarding that goes on without this process stays; else everything is removed."""
