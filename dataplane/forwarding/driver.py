"""The interface of a driver: the tables that forwarding values are put in, and what moves frames by them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple, Protocol

from dataplane.forwarding import poolnames
from dataplane.forwarding.capture import Capture, Wanted
from dataplane.forwarding.tracking import Flow, Remembered
from dataplane.forwarding.values import Counters, HandshakeTally, Interface, Lingering, Pool, Service, ServiceKey, Vip
from dataplane.kernel.objects import Owner

ALWAYS = 0
"""In place of the time until which ARP is answered."""


class Tables(Protocol):
    """Where forwarding values are put. Order that never shows half a change: pool, service, VIP; removal in reverse
    order. Putting a value whose key is there replaces it."""

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

    def remove_pool(self, uuid: str, heir: str = "") -> None:
        """Remove a pool that no service names. heir: the pool that takes over what was counted for its servers."""

    def put_service(self, service: Service) -> None:
        """Add or replace a service."""

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service."""

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP: its packets are the host's again."""

    def answer_until(self, time: int) -> None:
        """Answer ARP for owned VIPs until then, in nanoseconds of the system's monotonic clock, or ALWAYS. It is so
        from the next frame on, and stays so when this process ends. For any thread."""


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


class Sending(NamedTuple):
    """How an interface sends what a driver decided to send by it."""

    lost: int  # frames that its network driver did not take, since they are counted
    recent: int = 0  # those of the last RECENT seconds
    fault: str = ""  # why nothing leaves by it at all
    remedy: str = ""  # what mends that


class OffloadingSender(NamedTuple):
    """A sender that leaves to its network device what that does not do."""

    vip: bytes  # that it sends to
    address: bytes  # of the sender
    mac: bytes  # that its frames come from
    vlan: int = 0  # whose tag is not put into its frames; 0: checksums are not filled in
    device: str = ""  # the veth that does not put the tag in


RECENT = 10
"""Seconds for which a loss is told of as one of now."""


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
    def flow_room(self) -> int:
        """How many flows `elder` has room for."""

    def lingering(self, pools: Collection[str]) -> Lingering:
        """Of every `elder` entry of some pools that lives, by pool: slot, address and generation of the member, and
        when its last packet was seen; those that were idle for longer than their service allows are forgotten. One
        pass, whatever the pools."""

    def trace(self, frame: bytes, interface: int, flow: Flow) -> Trace:
        """What would become of a frame of a flow that arrives on an interface, by its index, now: as the driver itself
        decides, where it can be asked. Nothing is counted or remembered. For any thread. Raises DriverError."""

    def capture(self, wanted: Wanted) -> Capture:
        """Begin to capture frames, until the capture is closed; one at a time. For any thread. Raises DriverError."""

    def prune(self) -> None:
        """Called once after start, when all of the plan is put: drop adopted entries that were not put again."""

    def counters(self) -> Counters:
        """A snapshot of the counters."""

    def handshakes(self) -> HandshakeCounts:
        """A snapshot of these alone, for any thread."""

    def unanswered_clients(self) -> Mapping[tuple[str, bytes], Set[bytes]]:
        """The clients of sampled TCP flows that were not answered, as far as they are remembered; by the driver's name
        of the pool and the server's address. For any thread."""

    def sending(self) -> Mapping[int, Sending]:
        """How the interfaces send, by index, as far as that can be seen. Looks anew: where frames were lost, and where
        none was seen to leave yet, a test frame is sent. Asked about once a second."""

    def offloading_senders(self) -> list[OffloadingSender]:
        """Senders whose packets reach the servers with checksums that nobody filled in, or from a VLAN whose tag nobody
        put in, as far as samples tell. Asked about once a second."""

    def notes(self) -> list[str]:
        """What this driver, as it runs here, cannot do or see, each in a sentence with what mends it."""

    def ends_with_process(self) -> str:
        """Why forwarding ends with this process, however that ends; "" where it goes on."""

    def faults(self) -> list[str]:
        """Unexpected errors since the last call, in words. Raises DriverError if the driver forwards no more."""

    def kept(self, wake: Callable[[], None]) -> Sequence[Owner]:
        """What it keeps in the kernel. wake: called when something of it may be missing, from whatever thread."""

    def close(self, *, keep: bool) -> None:
        """End. keep: forwarding that goes on without this process stays; else everything is removed."""
