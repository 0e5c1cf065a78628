"""Lists of objects and live views: what is stored, beside what the service engines report of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import DEFAULT_CLOUD, Document, address_text, reference_name
from avi_shell.output.result import Part, Prose, Table
from avi_shell.views import reported
from avi_shell.views.gathering import NONE, STATES, Engines, Reports
from dataplane.wording import timed
from grammar import relations

Report = Mapping[str, Any]
Parts = list[Part]
Listed = tuple[Parts, list[dict[str, Any]]]
"""What to print of a list, and its rows for programs: cells by the names of their columns, in small letters with
underscores; numbers are numbers, and null where they are not known."""

UNAVAILABLE = "OPER_UNAVAIL"
_NAMED = ("Name", "UUID")
_CLOUD = ("Cloud",)
_CLOUD_NOT_SHOWN = frozenset({"serviceenginegroup"})
"""Kinds of a cloud whose lists have no Cloud column on the appliance."""
_BEST_FIRST = ("up", "initializing", "down", "disabled")
"""States from best to worst; of several services or engines the best state counts."""
_KEEPS = "SE_STATE_DISABLED_FOR_PLACEMENT"
_HOST = {True: "answers", False: "silent", None: ""}
"""Whether a server answers on its own address, whatever its VIP does; None: nobody asked."""


def listing(configuration: Configuration, engines: Engines, segment: str, documents: Sequence[Document]) -> Listed:
    """The list of a kind's objects, one row an object: by name, those of one name in the order in which they come."""
    documents = sorted(documents, key=lambda document: str(document.get("name", "")))
    if segment == "virtualservice":
        return _virtual_services(configuration, engines, documents)
    if segment == "serviceengine":
        return _engines(engines, documents)
    if segment == "pool":
        return _pools_listed(engines, documents)
    columns = _NAMED + _CLOUD if segment in relations.OF_A_CLOUD - _CLOUD_NOT_SHOWN else _NAMED
    table = Table(columns, [_named(document, columns) for document in documents])
    return [table], _rows(table)


LIVE = ("virtualservice", "serviceengine", "pool")
"""Kinds whose lists show what engines report."""


def _rows(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(_keys(table), row, strict=True)) for row in table.rows]


def _keys(table: Table) -> list[str]:
    return [column.lower().replace(" ", "_") for column in table.columns]


def _named(document: Document, columns: Sequence[str]) -> tuple[str, ...]:
    """The cells of an object's name, uuid and cloud."""
    cells = (str(document.get("name", "")), str(document.get("uuid", "")), _cloud(document))
    return cells[: len(columns)]


def _cloud(document: Document) -> str:
    return reference_name(document.get("cloud_ref", "")) or DEFAULT_CLOUD


def _virtual_services(configuration: Configuration, engines: Engines, documents: Sequence[Document]) -> Listed:
    live = engines.reports(STATES)
    rows = [
        (
            str(document["name"]),
            ", ".join(_addresses(configuration, document, "ip_address")) or "-",
            ", ".join(_addresses(configuration, document, "ip6_address")) or "-",
            ",".join(_ports(service) for service in document.get("services", [])) or "-",
            _cloud(document),
            service_state(document, live) if not live.doubtful else _doubted(service_state(document, live)),
            str(document.get("type", "")),
            reference_name(document.get("vh_parent_vs_ref", "")) or "-",
        )
        for document in documents
    ]
    columns = ("Name", "IP Address", "IP6 Address", "Services", "Cloud", "Oper State", "Type", "Parent")
    table = Table(columns, rows)
    parts, told = Parts([table]), _rows(table)
    if any(report["services"] for report in live):
        from avi_shell.views.servicetables import traffic

        found = [(str(document["name"]), reported.services(document, live)) for document in documents]
        shown, rates = traffic(found, live)
        parts.append(shown)
        told = [one | more for one, more in zip(told, rates, strict=True)]
    parts += live.told()
    return parts if live or live.doubtful else [*parts, no_engine(engines.directory)], told


def _pools_listed(engines: Engines, documents: Sequence[Document]) -> Listed:
    live = engines.reports(STATES)
    rows, counts = [], list[dict[str, Any]]()
    for document in documents:
        found = [pool for _, pool in reported.pools(str(document.get("uuid")), live)]
        count = reported.servers_up(found[0] if found else None)
        up = f"{count['servers_up']} of {count['servers']}" if found else ""
        counts.append(count)
        state = _best(pool["state"] for pool in found) or _unserved(document)
        state = _doubted(state) if live.doubtful else state
        rows.append((*_named(document, _NAMED), up, _cloud(document), state))
    table = Table((*_NAMED, "Servers Up", *_CLOUD, "Oper State"), rows)
    parts: Parts = [table, *live.told()]
    told = [one | count for one, count in zip(_rows(table), counts, strict=True)]
    return parts if live or live.doubtful else [*parts, no_engine(engines.directory)], told


def _addresses(configuration: Configuration, document: Document, field: str) -> list[str]:
    """The addresses of a virtual service's VIPs. field: of a VIP."""
    vips = list(document.get("vip", []))
    ref = document.get("vsvip_ref")
    if ref:
        vips += (configuration.referenced(ref) or {}).get("vip", [])
    return list(dict.fromkeys(address_text(vip[field]) for vip in vips if field in vip))


def _ports(service: Document) -> str:
    first, last = service.get("port"), service.get("port_range_end")
    return str(first) if last in (None, first) else f"{first}-{last}"


def service_state(document: Document, live: Iterable[Report]) -> str:
    """A virtual service's state over all engines: up where any of its services is up."""
    return _best(s["state"] for _, s in reported.services(document, live)) or _unserved(document)


def _doubted(state: str) -> str:
    """The state if some engines do not answer: up and disabled stay, all others are unknown."""
    return state if state in (reported.STATES["up"], reported.STATES["disabled"]) else reported.STATES["unknown"]


def _best(states: Iterable[str]) -> str | None:
    """The best of some states, as it is shown; None of none."""
    found = set(states)
    return next((reported.STATES[state] for state in _BEST_FIRST if state in found), None)


def _unserved(document: Document) -> str:
    """The state of what no engine forwards."""
    on = document.get("enabled", True) and document.get("traffic_enabled", True)
    return UNAVAILABLE if on else reported.STATES["disabled"]


def no_engine(directory: Path, committed: str = "") -> str:
    """What to say where no engine runs. committed: what a commit lacks then, as "'web' is not forwarded"."""
    from dataplane import client

    return client.no_engine(directory, committed)


def _engines(engines: Engines, documents: Sequence[Document]) -> Listed:
    answers = engines.reports(NONE)
    live = {report["name"]: report for report in answers}
    stored = {str(document["name"]) for document in documents}
    elsewhere = {
        name: (group, address) for report in answers for name, _, group, address, *_ in reported.other_engines(report)
    }
    others: list[Document] = [{"name": name} for name in {*live, *answers.silent, *elsewhere} - stored]
    rows = []
    for document in sorted([*documents, *others], key=lambda document: str(document["name"])):
        name = str(document["name"])
        report = live.get(name)
        group = report["group"] if report else reference_name(document.get("se_group_ref", ""))
        addresses = [a for i in report["interfaces"] for a in i["addresses"]] if report else []
        if report is None and name in elsewhere:
            group, told = elsewhere[name]
            addresses = told.split(", ")
        down = reported.STATES["unknown" if name in answers.silent or answers.fault else "down"]
        up = _engine_state(document, report) if report else down
        rows.append((name, str(group), ", ".join(addresses[:1]), _cloud(document), up))
    table = Table(("Name", "SE Group", "Mgmt IP", "Cloud", "Oper State"), rows)
    parts: Parts = [table]
    for name, report in sorted(live.items()):
        modes = ", ".join(f"{interface}: {mode}" for interface, mode in report["driver"]["interfaces"].items())
        parts.append(f"{name}: driver {report['driver']['name']}" + (f" ({modes})" if modes else ""))
        parts += [Prose(f"{name}: {told}") for told in reported.shared(report).values()]
    parts += [
        f"{document['name']}: keeps its VIPs and gets no new ones: enable_state {_KEEPS}"
        for document in documents
        if document.get("enable_state") == _KEEPS
    ]
    parts += answers.told()
    return parts if live or answers.doubtful else [*parts, no_engine(engines.directory)], _rows(table)


def _engine_state(document: Document, report: Report) -> str:
    """The state of an engine that runs. One that is disabled is so when it announces no VIP any more."""
    membership = report.get("membership")
    if membership is None or document.get("enable_state") not in ("SE_STATE_DISABLED", "SE_STATE_DISABLED_FORCE"):
        return "OPER_UP"
    announces = any(one["announced"] for one in membership["engines"] if one["name"] == report["name"])
    return "OPER_DISABLING" if announces else "OPER_DISABLED"


def view(engines: Engines, segment: str, name: str, document: Document | None, word: str) -> tuple[Parts, Any]:
    """A live view of one object: what to print, and the same as data."""
    parts, data = _view(engines, segment, name, document, word)
    return parts, timed(data)


def _view(engines: Engines, segment: str, name: str, document: Document | None, word: str) -> tuple[Parts, Any]:
    if segment == "serviceengine":
        return _engine_view(engines, name, word)
    assert document is not None
    live = engines.reports(str(document.get("uuid")))
    if not live:
        return [*live.told(), *_configured(document)] if live.doubtful else [no_engine(engines.directory)], None
    if segment == "virtualservice":
        parts, data = _of_service(document, live, word)
        return [*live.told(), *parts], data
    found = reported.pools(str(document.get("uuid")), live)
    if found and word in ("hmonstat", "server detail"):
        return _of_servers(found, live, word)
    data = [{"service_engine": engine, **pool} for engine, pool in found]
    if not found:
        return [*live.told(), not_forwarded("pool", name)], data
    parts = [*live.told()]
    from avi_shell.views import servicetables

    for engine, pool in found:
        parts += [
            f"Service engine {engine}",
            *_pool(pool),
            *_servers(pool),
            *((*_next_hops(pool), *servicetables.paces(pool)) if word == "detail" else ()),
        ]
    return parts, data


def _of_service(document: Document, live: Reports, word: str) -> tuple[Parts, Any]:
    from avi_shell.views import servicetables

    found = reported.services(document, live)
    if not found or word == "detail":
        return _virtual_service(document, live)
    return (servicetables.summary if word == "summary" else servicetables.connections)(found, live)


def _of_servers(found: Sequence[tuple[str, Report]], live: Reports, word: str) -> tuple[Parts, Any]:
    """Of a pool on each engine that forwards it, its monitors or its servers at length."""
    from avi_shell.views import servicetables

    parts: Parts = [*live.told()]
    data = []
    for engine, pool in found:
        report = next(report for report in live if report["name"] == engine)
        if word == "hmonstat":
            shown, told = servicetables.monitors(engine, pool, report)
        else:
            shown, told = servicetables.servers(engine, pool), {"service_engine": engine, **pool}
        parts += shown
        data.append(told)
    return parts, data


def not_running(directory: Path, name: str) -> str:
    """What to say of an engine that does not run."""
    from dataplane import client

    start = client.start_command(directory).replace("--interface", f"--name {name} --interface")
    return f"Service engine {name} does not run. Start it: {start}"


def _engine_view(engines: Engines, name: str, word: str) -> tuple[Parts, Any]:
    live = engines.reports(NONE if word == "bgp" else "", name)
    report = next((r for r in live if r["name"] == name), None)
    if report is None and (name in live.silent or live.fault):
        return [*live.told()], None
    if report is None:
        return [not_running(engines.directory, name)], None
    if word == "bgp":
        from avi_shell.views import bgp

        return bgp.parts(report), report.get("bgp")
    from avi_shell.views import enginedetail

    return enginedetail.parts(report), report


def _configured(document: Document) -> Parts:
    """A pool's servers as they are configured, where no engine answers."""
    rows = [
        (address_text(server["ip"]), str(server.get("port", "")), reported.STATES["unknown"])
        for server in document.get("servers", ())
    ]
    return [Table(("Server", "Port", "Oper State"), rows)] if rows else []


def not_forwarded(kind: str, name: str) -> str:
    """What to say of an object that no engine forwards."""
    return f"No service engine forwards {kind} {name}: it is not part of a virtual service with direct server return."


def _virtual_service(document: Document, live: Sequence[Report]) -> tuple[Parts, Any]:
    found = reported.services(document, live)
    data = [{"service_engine": engine, **service} for engine, service in found]
    if not found:
        return [not_forwarded("virtual service", str(document["name"]))], data
    parts: Parts = []
    from dataplane import client

    for engine in dict.fromkeys(engine for engine, _ in found):
        mine = [service for its, service in found if its == engine]
        parts.append(f"Service engine {engine}")
        head = ("VIP", "Protocol", "Port", "Oper State", "Packets", "Packets/s", "Bytes")
        parts.append(Table(head, [_row(service) for service in mine]))
        for service in mine:
            if service["reason"]:
                name = f"{service['vip']} {service['protocol']} {_last(service)}"
                parts.append(Prose(f"{name} is {client.state_words(service['state'], service['reason'])}"))
        for uuid in dict.fromkeys(service["pool_uuid"] for service in mine):
            for pool in (p for its, p in reported.pools(uuid, live) if its == engine):
                parts += _pool(pool) + _servers(pool)
    return parts, data


def _row(service: Report) -> tuple[str, ...]:
    shown = (service["vip"], service["protocol"], _last(service), reported.state(service["state"]))
    pace = reported.rate((service.get("rates") or {}).get("packets"))
    return (*map(str, shown), str(service["packets"]), pace, str(service["bytes"]))


def _last(service: Report) -> str:
    """The ports of a service that is reported."""
    return _ports({"port": service["port"], "port_range_end": service["port_end"]})


def _pool(pool: Report) -> Parts:
    up = sum(server["state"] == "up" for server in pool["servers"])
    told = f"Pool {pool['name']}: {reported.state(pool['state'])}, {up} of {len(pool['servers'])} servers up"
    return [Prose(f"{told}: {pool['reason']}" if pool["reason"] else told)]


def _servers(pool: Report) -> Parts:
    """The servers of a pool, in a table that fits 80 columns; below it, why some are not up, and what mends them."""
    rows = [
        (
            server["address"],
            str(server["port"]),
            reported.state(server["state"]),
            _HOST[server.get("host")],
            f"{100 * server['share']:.1f} %",
            str(server["packets"]),
            str(server["bytes"]),
        )
        for server in pool["servers"]
    ]
    parts: Parts = [Table(("Server", "Port", "Oper State", "Host", "Share", "Packets", "Bytes"), rows)]
    parts += [Prose(f"{s['address']} is {s['state']}: {s['reason']}") for s in pool["servers"] if s["reason"]]
    parts += map(Prose, reported.slow_servers(pool["servers"]))
    remedies: dict[str, list[str]] = {}
    for server in pool["servers"]:
        if server["remedy"]:
            remedies.setdefault(server["remedy"], []).append(server["address"])
    return parts + [f"To mend {', '.join(them)}: {remedy}" for remedy, them in remedies.items()]


def _next_hops(pool: Report) -> Parts:
    """What each server weighs, where its packets are sent, and what part of its clients gets no answer."""
    from dataplane import client

    rows = [
        (s["address"], str(s["weight"]), s["mac"] or "", s["interface"] or "", client.unanswered(s))
        for s in pool["servers"]
    ]
    return [Table(("Server", "Ratio", "MAC Address", "Interface", "Unanswered"), rows)]
