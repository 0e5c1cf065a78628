"""The values that a plan is made of.

One service (VIP, protocol, ports) of a virtual service is one `Service`, with its servers and monitors; what the
engines share is `Common`. Each bears the number of the commit that last changed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """A pool member; nobody changes one. address: dotted IPv4; port: its monitors' port; weight: its `ratio`, 1–20.

    generation: the commit that (re-)added it to the pool, so that old flow entries do not revive; serve_until: when it
    is disabled, how long the flows it has may go on: seconds since the epoch, 0 = not at all, FOR_EVER.
    """

    address: str
    port: int
    weight: int = 1
    enabled: bool = True
    generation: int = 0
    serve_until: float = 0


@dataclass(frozen=True, slots=True)
class Former:
    """The members that shared the table out until a change. until: when that was, seconds since the epoch; servers:
    address, weight, generation of each."""

    until: float
    servers: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Monitor:
    """A health monitor. type: the appliance's (HEALTH_MONITOR_TCP); times in seconds; port 0: the server's port.

    request: bytes to send, response: what the answer must contain, maintenance: what an answer of a server under
    maintenance contains; all as text, "" = not used. half_open: TCP probes never complete a handshake.
    HTTP: codes: groups of statuses that are good (HTTP_2XX; none: that one); maintenance_codes: statuses; exact: the
    request is all that is sent; body: sent after it; response_size: bytes of an answer that count, 0 = the default.
    EXTERNAL: script: its text; parameters, variables: its arguments and environment, as words of a shell.
    """

    name: str
    type: str
    send_interval: int = 10
    receive_timeout: int = 4
    successful_checks: int = 2
    failed_checks: int = 2
    port: int = 0
    quickstart: bool = True
    request: str = ""
    response: str = ""
    maintenance: str = ""
    half_open: bool = False
    codes: tuple[str, ...] = ()
    maintenance_codes: tuple[int, ...] = ()
    exact: bool = False
    body: str = ""
    response_size: int = 0
    script: str = ""
    parameters: str = ""
    variables: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a virtual service: how packets to (vip, protocol, port..port_end) are forwarded.

    protocol: "tcp" or "udp"; mode: one of MODES; hash_key: BY_ADDRESS or BY_ADDRESS_AND_PORT; idle_timeout in seconds,
    0 = infinite; enabled: virtual service, its VIP and its traffic are all switched on; advertise_down: the VIP stays
    announced with no server up; pool_enabled: a disabled pool has no server up; former: who shared the table before,
    oldest first, as long as flows of theirs may live: an engine that has never seen them keeps them all the same;
    monitors_needed: of the monitors so many must pass for a server to be up, 0 = all; servers_needed: of the servers so
    many must be up and enabled for the pool to be up.
    """

    virtualservice: str
    uuid: str
    tenant: str
    vip: str
    protocol: str
    port: int
    port_end: int
    mode: str
    hash_key: str
    idle_timeout: int
    pool: str
    pool_uuid: str
    slots: int
    seed: int
    group: str = "Default-Group"
    enabled: bool = True
    pool_enabled: bool = True
    advertise_down: bool = False
    per_packet: bool = False
    servers: tuple[Server, ...] = ()
    monitors: tuple[Monitor, ...] = ()
    monitors_needed: int = 0
    servers_needed: int = 0
    former: tuple[Former, ...] = ()
    version: int = 0

    @property
    def key(self) -> str:
        """Its key in the plan: `VIP/protocol/port-port_end`."""
        return f"{self.vip}/{self.protocol}/{self.port}-{self.port_end}"


@dataclass(frozen=True, slots=True)
class Common:
    """What all engines share. drivers: `se_use_dpdk` (0, 1, 2) of each service engine group; engines: group of each
    named service engine (others belong to Default-Group); announcing: seconds after which the engines of a group
    announce their VIPs again, for groups that do."""

    drivers: Mapping[str, int] = field(default_factory=dict)
    engines: Mapping[str, str] = field(default_factory=dict)
    version: int = 0
    announcing: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole plan, or what changed since a version: a service that is None is gone; common None: unchanged."""

    version: int
    services: Mapping[str, Service | None]
    common: Common | None
