"""The values that a plan is made of.

One service (VIP, protocol, ports) of a virtual service is one `Service`, with its servers and monitors; what the
engines share is `Common`. Each bears the number of the commit that last changed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dataplane.plan.bgp import Bgp, Route
    from dataplane.plan.redundancy import Redundancy

L2 = "l2"
L3_IPIP = "l3-ipip"
L3_GRE = "l3-gre"
MODES = (L2, L3_IPIP, L3_GRE)

BY_ADDRESS = "address"
BY_ADDRESS_AND_PORT = "address_port"

MONITOR_TCP = "HEALTH_MONITOR_TCP"
MONITOR_UDP = "HEALTH_MONITOR_UDP"
MONITOR_PING = "HEALTH_MONITOR_PING"
MONITOR_HTTP = "HEALTH_MONITOR_HTTP"
MONITOR_EXTERNAL = "HEALTH_MONITOR_EXTERNAL"
MONITORS = (MONITOR_TCP, MONITOR_UDP, MONITOR_PING, MONITOR_HTTP, MONITOR_EXTERNAL)
"""The types of health monitor that engines run."""

FOR_EVER = -1.0
"""A server's `serve_until` without an end."""

SLOTS = 65537
"""Slots of a new pool's table: a prime, as Maglev needs; shares of hundreds of servers are even within 1 %."""


@dataclass(slots=True, unsafe_hash=True)  # frozen ones are made four times as slowly, and of these there are many
class Server:
    """A pool member; nobody changes one."""

    address: str  # dotted IPv4
    port: int  # that its monitors ask
    weight: int = 1  # its `ratio`, 1–20
    enabled: bool = True
    generation: int = 0  # the commit that (re-)added it to the pool, so that old flow entries do not revive
    # when it is disabled, how long the flows it has may go on: seconds since the epoch, 0 = not at all, FOR_EVER
    serve_until: float = 0


@dataclass(frozen=True, slots=True)
class Former:
    """The members that shared the table out until a change."""

    until: float  # when that was, seconds since the epoch
    servers: tuple[tuple[str, int, int], ...]  # address, weight, generation of each


@dataclass(frozen=True, slots=True)
class Monitor:
    """A health monitor. Times are in seconds, texts that are "" are not used."""

    name: str
    type: str  # the appliance's (HEALTH_MONITOR_TCP)
    send_interval: int = 10
    receive_timeout: int = 4
    successful_checks: int = 2
    failed_checks: int = 2
    port: int = 0  # 0: the server's
    quickstart: bool = True
    request: str = ""  # bytes to send, as text
    response: str = ""  # what the answer must contain
    maintenance: str = ""  # what an answer of a server under maintenance contains
    half_open: bool = False  # TCP: probes never complete a handshake
    codes: tuple[str, ...] = ()  # HTTP: groups of statuses that are good (HTTP_2XX; none: that one)
    maintenance_codes: tuple[int, ...] = ()  # HTTP: statuses of a server under maintenance
    exact: bool = False  # HTTP: the request is all that is sent
    body: str = ""  # HTTP: sent after the request
    response_size: int = 0  # HTTP: bytes of an answer that count, 0 = the default
    script: str = ""  # EXTERNAL: its text
    parameters: str = ""  # EXTERNAL: the script's arguments, as words of a shell
    variables: str = ""  # EXTERNAL: the script's environment, as words of a shell


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a virtual service: how packets to (vip, protocol, port..port_end) are forwarded."""

    virtualservice: str
    uuid: str
    tenant: str
    vip: str
    protocol: str  # "tcp" or "udp"
    port: int
    port_end: int
    mode: str  # one of MODES
    hash_key: str  # BY_ADDRESS or BY_ADDRESS_AND_PORT
    idle_timeout: int  # seconds, 0 = infinite
    pool: str
    pool_uuid: str
    slots: int  # of the pool's table
    seed: int  # of the flow hash
    group: str = "Default-Group"
    enabled: bool = True  # virtual service, its VIP and its traffic are all switched on
    pool_enabled: bool = True  # a disabled pool has no server up
    advertise_down: bool = False  # the VIP stays announced with no server up
    per_packet: bool = False  # every packet is a transaction of its own
    servers: tuple[Server, ...] = ()
    monitors: tuple[Monitor, ...] = ()
    monitors_needed: int = 0  # of the monitors so many must pass for a server to be up, 0 = all
    servers_needed: int = 0  # of the servers so many must be up and enabled for the pool to be up
    pool_tenant: str = ""  # the tenant of the pool, where it is not the service's
    # who shared the table before, oldest first, as long as flows of theirs may live: an engine that has never seen them
    # keeps them all the same
    former: tuple[Former, ...] = ()
    route: Route | None = None  # how routers are told of the VIP, None: they are not
    tag: int = 1  # which engine of a pair is the active one for it (`active_standby_se_tag`): 1 or 2
    version: int = 0  # the commit that last changed it

    @property
    def key(self) -> str:
        """Its key in the plan: `VIP/protocol/port-port_end`."""
        return f"{self.vip}/{self.protocol}/{self.port}-{self.port_end}"


@dataclass(frozen=True, slots=True)
class Common:
    """What all engines share."""

    drivers: Mapping[str, int] = field(default_factory=dict)  # `se_use_dpdk` (0, 1, 2) of each service engine group
    # group of each named service engine; others belong to Default-Group
    engines: Mapping[str, str] = field(default_factory=dict)
    version: int = 0  # the commit that last changed it
    # seconds after which the engines of a group announce their VIPs again, for groups that do
    announcing: Mapping[str, float] = field(default_factory=dict)
    bgp: Mapping[str, Bgp] = field(default_factory=dict)  # of each service engine group whose VRF context has BGP
    # how engines stand in for each other, of each service engine group that does not have the defaults
    redundancy: Mapping[str, Redundancy] = field(default_factory=dict)
    # `enable_state` of each named service engine that is not enabled
    disabled: Mapping[str, str] = field(default_factory=dict)
    # of the groups in which these are not as they are by default: `se_dpdk_pmd` (0, 1, 2), `num_dispatcher_cores`,
    # `max_queues_per_vnic`
    pmds: Mapping[str, int] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)
    queues: Mapping[str, int] = field(default_factory=dict)


class Mark(NamedTuple):
    """How far a plan has been followed."""

    version: int  # of the last commit that was
    identity: str = ""  # of the store that it is from; "" for one that has none
    epoch: int = 0  # of that store, which is raised when the store goes back to an older state


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole plan, or what changed since a version."""

    version: int
    services: Mapping[str, Service | None]  # by key; None: the service is gone
    common: Common | None  # None: unchanged
    # of what cannot be read, by key ("" for what the engines share): what is wrong with it, in words
    damaged: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""  # of the store that it is from
    epoch: int = 0  # of that store
    whole: bool = False  # it takes the place of all that was known: what it does not name is gone

    @property
    def mark(self) -> Mark:
        """How far a reader has followed the plan once it has taken this over."""
        return Mark(self.version, self.identity, self.epoch)
