"""What an engine tells of itself: one JSON object, and the tables made of it."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import plan, tables
from .forwarding import Counters, Tally

if TYPE_CHECKING:
    from rich.table import Table

    from .engine import Engine


HOST = {True: "answers", False: "silent", None: "-"}
"""How `host` is shown."""


def report(engine: Engine) -> dict[str, Any]:
    """The engine's whole state.

    {"name", "group", "version": plan version applied, "driver": {"name", "interfaces": {name: mode}},
     "interfaces": [{"name", "mac", "mtu", "addresses"}], "vips": [{"address", "up", "announced"}],
     "services": [{"virtualservice", "tenant", "uuid", "vip", "protocol", "port", "port_end", "pool", "pool_uuid",
                   "state": up|down|disabled, "reason", "packets", "bytes"}],
     "pools": [{"name", "uuid", "slots", "servers": [{"address", "port", "weight", "enabled", "state": up|down|unknown,
                "reason", "host": true|false|null (whether it answers on its own address),
                 "in_table", "share", "mac", "interface", "packets", "bytes"}]}],
     "monitors": {"checks": how many run, "probes": ended so far, "late": {"median", "p99"}: seconds that the last
                  probes began after they were due},
     "answered": ARP requests answered, "dropped": {reason: packets}, "events": [text, newest last]}
    share: the fraction of the pool's slots that the server owns.
    """
    counters = engine.driver.counters()
    pools = {service.pool_uuid: service for service in engine.services.values()}
    return {
        "name": engine.name,
        "group": engine.group,
        "version": engine.version,
        "driver": {"name": engine.driver.name, "interfaces": dict(engine.driver.modes())},
        "interfaces": [
            {
                "name": i.name,
                "mac": i.mac.hex(":"),
                "mtu": i.mtu,
                "addresses": [socket.inet_ntoa(a) for a in i.addresses],
            }
            for i in engine.interfaces()
        ],
        "vips": [{"address": socket.inet_ntoa(v.address), "up": v.up, "announced": v.owned} for v in engine.vips()],
        "services": [_service(engine, service, counters) for _, service in sorted(engine.services.items())],
        "pools": [_pool(engine, service, counters) for _, service in sorted(pools.items(), key=lambda p: p[1].pool)],
        "monitors": _monitors(engine),
        "answered": counters.answered,
        "dropped": {reason: n for reason, n in counters.dropped.items() if n},
        "events": list(engine.events.lines),
    }


def _monitors(engine: Engine) -> dict[str, Any]:
    health = engine.health
    late = sorted(health.schedule.late) or [0.0]
    at = {name: round(late[len(late) * part // 100], 6) for name, part in (("median", 50), ("p99", 99))}
    return {"checks": health.checks, "probes": health.probes, "late": at}


def _service(engine: Engine, service: plan.Service, counters: Counters) -> dict[str, Any]:
    tally = counters.services.get(tables.key(service), Tally())
    state, reason = "up", ""
    if not service.enabled:
        state, reason = "disabled", "switched off in the configuration"
    elif not engine.is_up(service):
        state, reason = "down", "no server of its pool is up"
        if not service.servers:
            reason = "its pool has no servers"
        elif not service.pool_enabled:
            reason = "its pool is disabled"
    return {
        "virtualservice": service.virtualservice,
        "tenant": service.tenant,
        "uuid": service.uuid,
        "vip": service.vip,
        "protocol": service.protocol,
        "port": service.port,
        "port_end": service.port_end,
        "pool": service.pool,
        "pool_uuid": service.pool_uuid,
        "state": state,
        "reason": reason,
        "packets": tally.packets,
        "bytes": tally.bytes,
    }


def _pool(engine: Engine, service: plan.Service, counters: Counters) -> dict[str, Any]:
    value = engine.pool(service.pool_uuid)
    owned = Counter(value.table) if value else Counter[int]()
    servers = []
    for index, member in enumerate(engine.members(service)):
        interface, mac = member.hop.interface, member.hop.mac
        tally = counters.servers.get((service.pool_uuid, member.address), Tally())
        state, reason = _server_state(engine, service.pool_uuid, member)
        servers.append(
            {
                "address": member.server.address,
                "port": member.server.port,
                "weight": member.server.weight,
                "enabled": member.server.enabled,
                "state": state,
                "reason": reason,
                "host": engine.health.host_answers(member.address),
                "in_table": owned[index] > 0,
                "share": round(owned[index] / service.slots, 5),
                "mac": mac.hex(":") if mac else None,
                "interface": next((i.name for i in engine.interfaces() if i.index == interface), None),
                "packets": tally.packets,
                "bytes": tally.bytes,
            }
        )
    return {"name": service.pool, "uuid": service.pool_uuid, "slots": service.slots, "servers": servers}


def _server_state(engine: Engine, pool: str, member: tables.Member) -> tuple[str, str]:
    checks = engine.checks(pool, member.address)
    why = engine.why(pool, member.address)
    if not checks:
        return "up", f"not monitored; {why}" if why else "not monitored"
    if member.up:
        failing = any(engine.health.state(check).up is False for check in checks)
        return "up", f"enough monitors pass; others: {why}" if failing else why
    if not engine.is_known(pool, member.address):
        return "unknown", "not checked yet"
    return "down", why


def render(reports: Iterable[Mapping[str, Any]]) -> Iterable[Table | str]:
    """Tables and lines for people, one engine after the other (rich renderables)."""
    for told in reports:
        modes = ", ".join(f"{name} {mode}" for name, mode in told["driver"]["interfaces"].items())
        yield f"Service engine {told['name']} ({told['group']}): driver {told['driver']['name']} on {modes}"
        yield f"plan {told['version']}, process {told['pid']}, driver chosen because {told['driver']['reason']}"
        yield _table(
            "Virtual service|VIP|Service|Pool|State|Packets|Bytes",
            [
                (s["virtualservice"], s["vip"], _ports(s), s["pool"], _state(s), s["packets"], s["bytes"])
                for s in told["services"]
            ],
        )
        yield _table(
            "Pool|Server|State|Host|Share|MAC address|Interface|Packets|Bytes",
            [
                (
                    p["name"],
                    s["address"],
                    _state(s),
                    HOST[s["host"]],
                    f"{s['share']:.1%}",
                    s["mac"] or "-",
                    s["interface"] or "-",
                    s["packets"],
                    s["bytes"],
                )
                for p in told["pools"]
                for s in p["servers"]
            ],
        )
        drops = ", ".join(f"{reason} {n}" for reason, n in told["dropped"].items()) or "none"
        yield f"dropped: {drops}; ARP answered: {told['answered']}"
        monitors = told["monitors"]
        if monitors["checks"]:
            late = f"99 % of them within {monitors['late']['p99'] * 1000:.0f} ms of their time"
            yield f"monitors: {monitors['checks']} checks, {monitors['probes']} probes so far, {late}"


def _ports(service: Mapping[str, Any]) -> str:
    last = f"-{service['port_end']}" if service["port_end"] != service["port"] else ""
    return f"{service['protocol']}/{service['port']}{last}"


def _state(what: Mapping[str, Any]) -> str:
    return f"{what['state'].upper()}: {what['reason']}" if what["reason"] else str(what["state"]).upper()


def _table(head: str, rows: Iterable[tuple[Any, ...]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.ASCII2)
    for column in head.split("|"):
        table.add_column(column, no_wrap=column != "State", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    return table
