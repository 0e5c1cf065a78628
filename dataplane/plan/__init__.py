"""The plan: what crosses from configuration to forwarding.

One flat document a service (VIP, protocol, ports) and one for the engines in common, each with the number of the
commit that last changed it. In a store they live in the table `plan` of `config.db`; the writer is called inside the
commit's transaction, so that configuration and plan can never differ. `compile` and `replay` use one JSON file.

    {"version": 7, "common": {…}, "services": {"10.0.0.100/tcp/80-80": {…}, …}}
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from dataplane.errors import PlanError

L2 = "l2"
L3_IPIP = "l3-ipip"
L3_GRE = "l3-gre"
MODES = (L2, L3_IPIP, L3_GRE)

BY_ADDRESS = "address"
BY_ADDRESS_AND_PORT = "address_port"

FOR_EVER = -1.0
"""A server's `serve_until` without an end."""

SLOTS = 65537
"""Slots of a new pool's table: a prime, as Maglev needs; shares of hundreds of servers are even within 1 %."""

COMMON = ""
"""The key of the common document in the table."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS plan (
    key      TEXT PRIMARY KEY,   -- "VIP/protocol/port-port", or "" for the common document
    version  INTEGER NOT NULL,   -- the commit that last changed it
    document TEXT                -- NULL: the service is gone
);
CREATE INDEX IF NOT EXISTS plan_version ON plan (version);
"""


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


_SERVER = tuple((f.name, f.default) for f in fields(Server))
"""The fields of a server, with their defaults."""


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


def write(
    connection: sqlite3.Connection, version: int, changes: Iterable[Service | str], common: Common | None
) -> None:
    """Store changed services (a key alone: that service is gone) under a commit's number, in the open transaction."""
    rows = [
        (c, version, None) if isinstance(c, str) else (c.key, version, json.dumps(_brief(c), separators=(",", ":")))
        for c in changes
    ]
    if common is not None:
        rows.append((COMMON, version, json.dumps(_document(common), separators=(",", ":"))))
    connection.executemany("INSERT OR REPLACE INTO plan (key, version, document) VALUES (?, ?, ?)", rows)


def read(connection: sqlite3.Connection, after: int = -1) -> Plan:
    """What changed after a version (all of it for −1). `version` is the newest in the table, `after` if none is newer.

    Raises PlanError for a document this version cannot read, sqlite3.Error where the store cannot be read.
    """
    services: dict[str, Service | None] = {}
    common, newest = None, after
    for key, version, document in connection.execute(
        "SELECT key, version, document FROM plan WHERE version > ? ORDER BY key", (after,)
    ):
        newest = max(newest, version)
        if key == COMMON:
            common = _common(json.loads(document), version)
        else:
            services[key] = None if document is None else _service(json.loads(document), version)
    return Plan(newest, services, common)


def newest(connection: sqlite3.Connection) -> int:
    """The newest version in the plan, -1 for an empty one: what an engine that is up to date has applied."""
    (version,) = connection.execute("SELECT COALESCE(MAX(version), -1) FROM plan").fetchone()
    return int(version)


def read_services(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, Service]:
    """The services of some keys, where they are there and not gone. Raises PlanError, sqlite3.Error."""
    found = {}
    for key in keys:
        row = connection.execute(
            "SELECT version, document FROM plan WHERE key = ? AND document IS NOT NULL", (key,)
        ).fetchone()
        if row is not None:
            found[key] = _service(json.loads(row[1]), row[0])
    return found


def save(plan: Plan, path: Path) -> None:
    """Write a whole plan to one JSON file."""
    path.write_text(json.dumps(_file(plan), indent=1) + "\n", "utf-8")


def load(path: Path) -> Plan:
    """Read a whole plan from one JSON file. Raises PlanError naming the file and what is wrong with it."""
    try:
        data = json.loads(path.read_text("utf-8"))
        services = {key: _service(body, body.get("version", 0)) for key, body in data["services"].items()}
        return Plan(data["version"], services, _common(data["common"], data["common"].get("version", 0)))
    except OSError as exc:
        raise PlanError(f"{path}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise PlanError(f"{path}: not a plan: {exc!r}", remedy=f"avi-shell compile EXPORT.json {path}") from exc


def _file(plan: Plan) -> dict[str, Any]:
    services = {key: _document(service) for key, service in plan.services.items() if service is not None}
    return {"version": plan.version, "common": _document(plan.common or Common()), "services": services}


def _document(value: Service | Common) -> dict[str, Any]:
    return asdict(value)


def _brief(service: Service) -> dict[str, Any]:
    """A service's document without what is its servers' default: of thousands of servers it is read at every start."""
    body = _document(replace(service, servers=()))
    body["servers"] = [
        {name: value for name, default in _SERVER if (value := getattr(server, name)) != default}
        for server in service.servers
    ]
    return body


def _service(body: dict[str, Any], version: int) -> Service:
    known = dict(_known(Service, body))
    servers, names = body.get("servers", ()), _names(Server)
    known["servers"] = tuple(Server(**(s if s.keys() <= names else _known(Server, s))) for s in servers)
    known["former"] = tuple(_former(f) for f in body.get("former", ()))
    known["monitors"] = tuple(_monitor(m) for m in body.get("monitors", ()))
    known["version"] = version
    try:
        service = Service(**known)
    except TypeError as exc:
        raise PlanError(f"plan document of {body.get('virtualservice')!r}: {exc}") from exc
    if service.mode not in MODES:
        raise PlanError(f"plan document of {service.virtualservice!r}: mode {service.mode!r} is none of {MODES}")
    return service


def _monitor(body: dict[str, Any]) -> Monitor:
    known = dict(_known(Monitor, body))
    for name in ("codes", "maintenance_codes"):
        known[name] = tuple(known.get(name, ()))
    return Monitor(**known)


def _former(body: dict[str, Any]) -> Former:
    return Former(body["until"], tuple((str(a), int(w), int(g)) for a, w, g in body["servers"]))


def _common(body: dict[str, Any], version: int) -> Common:
    return Common(body.get("drivers", {}), body.get("engines", {}), version, body.get("announcing", {}))


def _known(cls: type, body: dict[str, Any]) -> dict[str, Any]:
    if not body.keys() <= _names(cls):
        unknown = sorted(body.keys() - _names(cls))
        raise PlanError(f"{cls.__name__} has unknown fields {unknown}: written by a newer version?")
    return body


@cache
def _names(cls: type) -> frozenset[str]:
    return frozenset(f.name for f in fields(cls))
