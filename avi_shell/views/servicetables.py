"""Tables of virtual services and pools: a summary, connections, monitors, servers in detail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from avi_shell.output.result import Part, Prose, Table
from avi_shell.views import reported
from dataplane.wording import counted, moment

Report = Mapping[str, Any]

SAMPLED = 64
"""How many TCP connections one sampled connection stands for."""
_RATES = ("packets", "bytes", "flows")


def summary(found: Sequence[tuple[str, Report]], reports: Sequence[Report]) -> tuple[list[Part], Any]:
    """A line for each engine and port of a virtual service. found: its services, with the engines' names."""
    rows, told, parts = [], [], list[Part]()
    for engine, service in found:
        pool = next((pool for its, pool in reported.pools(service["pool_uuid"], reports) if its == engine), None)
        rates = service.get("rates")
        told.append({"service_engine": engine, **service, **reported.servers_up(pool)})
        rows.append(
            (
                engine,
                f"{service['vip']}:{service['port']} {service['protocol']}",
                reported.state(service["state"]),
                _up(pool),
                *(reported.rate(rates[what] if rates else None) for what in ("packets", "flows")),
                f"{service['packets']:,}",
            )
        )
        since = moment(service["changed"]) if service["changed"] else ""
        reason = f": {service['reason']}" if service["reason"] else ""
        parts.append(Prose(f"{engine}: {service['vip']} is {service['state']} since {since or 'its start'}{reason}"))
    head = ("Service Engine", "VIP", "Oper State", "Servers Up", "Packets/s", "Flows/s", "Packets")
    return [Table(head, rows), *parts], told


def traffic(
    listed: Sequence[tuple[str, Sequence[tuple[str, Report]]]], reports: Sequence[Report]
) -> tuple[Table, list[dict[str, Any]]]:
    """A row for each virtual service, and the same for programs: its pool, servers that are up, and what comes in a
    second on all engines. listed: their names and services."""
    rows, told = [], list[dict[str, Any]]()
    for name, found in listed:
        uuids = {str(service["pool_uuid"]) for _, service in found if "pool_uuid" in service}  # older engines tell none
        all_pools = [pool for uuid in uuids for _, pool in reported.pools(uuid, reports)]
        best = max(all_pools, key=lambda pool: sum(one["state"] == "up" for one in pool["servers"]), default=None)
        rates = [rate for _, service in found if (rate := service.get("rates")) is not None]
        packets, flows = (sum(rate[what] for rate in rates) if rates else None for what in ("packets", "flows"))
        pool = next((service["pool"] for _, service in found if "pool" in service), "-")
        rows.append((name, pool, _up(best) or "-", reported.rate(packets), reported.rate(flows)))
        paces = {"packets_per_second": packets, "flows_per_second": flows}
        told.append({"name": name, "pool": pool, **reported.servers_up(best), **paces})
    return Table(("Name", "Pool", "Servers Up", "Packets/s", "Flows/s"), rows), told


def _up(pool: Report | None) -> str:
    """How many servers of a pool are up, of how many: "2 of 3 up"."""
    return "{servers_up} of {servers} up".format_map(reported.servers_up(pool)) if pool is not None else ""


def rates_of(reports: Sequence[Report], engine: str, service: Report) -> Mapping[str, float] | None:
    """The rates of a service on an engine; None where they are not known."""
    rates = next((report.get("rates") for report in reports if report["name"] == engine), None)
    found: Mapping[str, float] | None = rates["services"].get(reported.key(service)) if rates else None
    return found


def connections(found: Sequence[tuple[str, Report]], reports: Sequence[Report]) -> tuple[list[Part], Any]:
    """Connections that were begun: of each engine, port and server."""
    parts, told = list[Part](), []
    for engine, service in found:
        pool = next((pool for its, pool in reported.pools(service["pool_uuid"], reports) if its == engine), None)
        servers = [
            {
                "address": server["address"],
                "begun": server["handshakes"]["sampled"] * SAMPLED,
                "begun_per_second": (server.get("rates") or {}).get("flows"),
                **{what: server["handshakes"][what] for what in ("sampled", "answered", "unanswered")},
                "remembered": server["flows"],
            }
            for server in (pool["servers"] if pool else ())
        ]
        rates = service.get("rates")
        begun = service["handshakes"]["sampled"] * SAMPLED
        where = {"service_engine": engine, **{name: service[name] for name in ("vip", "protocol", "port")}}
        told.append({**where, "begun": begun, "begun_per_second": rates and rates["flows"], "servers": servers})
        pace = f", {reported.rate(rates['flows'])} a second" if rates else ""
        name = f"{service['vip']}:{service['port']} {service['protocol']}"
        parts.append(Prose(f"Service engine {engine}: about {begun:,} TCP connections to {name} were begun{pace}"))
        parts.append(Table(("Server", "Begun", "Begun/s", "Answered", "Unanswered", "Draining"), _begun(servers)))
    parts.append(
        Prose(
            f"Begun is reckoned: one TCP connection in {SAMPLED} is looked at; answered and unanswered are of these. "
            "Connections of stable slots are kept in no table, so nobody knows how many live."
        )
    )
    return parts, told


def _begun(servers: Sequence[Report]) -> list[tuple[str, ...]]:
    return [
        (
            one["address"],
            f"{one['begun']:,}",
            reported.rate(one["begun_per_second"]),
            str(one["answered"]),
            str(one["unanswered"]),
            "" if one["remembered"] is None else str(one["remembered"]),
        )
        for one in servers
    ]


def monitors(engine: str, pool: Report, report: Report) -> tuple[list[Part], dict[str, Any]]:
    """The health monitors of a pool's servers on an engine."""
    servers = [
        {
            **{name: server[name] for name in ("address", "port", "state", "reason", "changed", "failed_checks")},
            "failed_by_monitor": server["failed_by_monitor"],
            "answers_in": server.get("answers_in"),  # older engines tell none
        }
        for server in pool["servers"]
    ]
    names = list(dict.fromkeys(name for server in servers for name in server["failed_by_monitor"]))
    rows = [
        (
            server["address"],
            reported.state(server["state"]),
            *(str(server["failed_by_monitor"].get(name, "")) for name in names),
            str(server["failed_checks"]),
            *(_milliseconds(server["answers_in"], what) for what in ("median", "slowest")),
        )
        for server in servers
    ]
    late = report["monitors"]["late"]
    parts: list[Part] = [f"Service engine {engine}"]
    if names:
        failed = (*(f"{name} Failed" for name in names), "Failed Checks")
        parts.append(Table(("Server", "Oper State", *failed, "Median ms", "Slowest ms"), rows))
        parts += [Prose(f"{one['address']} is {one['state']}: {one['reason']}") for one in servers if one["reason"]]
        parts += map(Prose, reported.slow_servers(servers))
    else:
        parts.append("The pool has no health monitor: its servers are taken as up.")
    checks = counted(report["monitors"]["checks"], "check")
    probes = counted(report["monitors"]["probes"], "probe")
    lateness = f"they begin {1000 * late['median']:.1f} ms late (99 of 100: {1000 * late['p99']:.1f} ms)"
    parts.append(Prose(f"The engine runs {checks}, and has ended {probes}; {lateness}."))
    return parts, {"service_engine": engine, "monitors": report["monitors"], "servers": servers}


def _milliseconds(answers_in: Report | None, what: str) -> str:
    return "-" if answers_in is None else f"{1000 * answers_in[what]:.1f}"


def servers(engine: str, pool: Report) -> list[Part]:
    """All that is known of each server of a pool, one after the other."""
    tables = (Table(("Field", "Value"), list(_fields(server))) for server in pool["servers"])
    return [f"Service engine {engine}", *tables]


def _fields(server: Report) -> Iterator[tuple[str, str]]:
    for name, value in server.items():
        if isinstance(value, Mapping):
            yield name, ""
            yield from ((f"  {key}", _told(one)) for key, one in value.items())
        elif isinstance(value, list):
            for number, one in enumerate(value, 1):
                told = ", ".join(_told(part) for part in one.values()) if isinstance(one, Mapping) else _told(one)
                yield f"{name}[{number}]", told
        elif name == "changed" and value:
            yield name, moment(value)
        elif value is not None:
            yield name, _told(value)


def paces(pool: Report) -> list[Part]:
    """What comes to each server of a pool in a second; nothing where that is not known."""
    rates = [(server["address"], server["rates"]) for server in pool["servers"] if server.get("rates")]
    rows = [(address, *(reported.rate(rate[what]) for what in _RATES)) for address, rate in rates]
    return [Table(("Server", "Packets/s", "Bytes/s", "Flows/s"), rows)] if rows else []


def _told(value: Any) -> str:
    return "" if value is None else str(value)
