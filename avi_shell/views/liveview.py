"""A virtual service as it is now, looked at again and again: rates, servers with reasons, drops by name, events."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avi_shell.configuration.document import Document
from avi_shell.output.result import Part, Prose, Table
from avi_shell.output.sight import Drops, Line, Sight, word
from avi_shell.views import live, reported, servicetables
from avi_shell.views.gathering import Engines
from dataplane import client
from dataplane.ratehistory import RateHistory, short
from dataplane.wording import timed

EVENTS = 50
"""How many events of all engines the data holds."""
SHOWN = 5
"""How many events are printed."""
Report = Mapping[str, Any]
Rated = Mapping[str, float]
"""Rates, as an engine tells them."""
_COLUMNS = ("Oper State", "Packets/s", "Bits/s")


@dataclass(slots=True)
class LiveView:
    """Looks at a virtual service again and again, and knows its rates from the second look on."""

    document: Document
    _rates: RateHistory = field(default_factory=RateHistory)

    def look(self, engines: Engines) -> tuple[Sight, list[dict[str, Any]]]:
        """What there is to see now, and the same as data: one object an engine."""
        reports = engines.reports(str(self.document.get("uuid")))
        self._rates = self._rates.added(time.monotonic(), dict(_counters(reports)))
        name, told = str(self.document["name"]), reports.told()
        if not reports and not reports.doubtful:
            told.append(live.no_engine(engines.directory))
        elif not any(report["services"] for report in reports):
            told.append(live.not_forwarded("virtual service", name))
        events = [{"service_engine": r["name"], **event} for r in reports for event in r["events"]]
        events.sort(key=lambda event: float(event.get("last", event["at"])))
        services = [self._service(reports, report["name"], one) for report in reports for one in report["services"]]
        servers = [self._server(r, p, one) for r in reports for p in r["pools"] for one in p["servers"]]
        sight = Sight(
            name,
            live.service_state(self.document, reports),
            services,
            servers,
            _reasons((*services, *servers)),
            list(dict.fromkeys(_pool(pool) for report in reports for pool in report["pools"])),
            [self._drops(r, why, n) for r in reports for why, n in r["dropped"].items()],
            events[-EVENTS:],
            told,
            flows_begun(reports),
        )
        return sight, [timed(self._data(report)) for report in reports]

    def _service(self, reports: Sequence[Report], engine: str, one: Report) -> Line:
        name = f"{one['vip']} {one['protocol']} {_ports(one)}"
        told = servicetables.rates_of(reports, engine, one)
        return self._line(_service_key(engine, one), engine, name, one, told)

    def _server(self, report: Report, pool: Report, one: Report) -> Line:
        engine, of_pools = report["name"], (report.get("rates") or {}).get("servers", {})
        told = of_pools.get(pool["uuid"], {}).get(one["address"])
        name = f"{one['address']}:{one['port']}"
        return self._line(_server_key(engine, pool, one), engine, name, one, told, float(one["share"]))

    def _line(
        self, key: Hashable, engine: str, name: str, one: Report, told: Rated | None, share: float | None = None
    ) -> Line:
        """told: the rates that the engine tells, for the first look."""
        packets, sizes = self._rates.now((key, "packets")), self._rates.now((key, "bytes"))
        if packets is None and told is not None:
            packets, sizes = told["packets"], told["bytes"]
        return Line(
            engine,
            name,
            reported.state(one["state"]),
            one["reason"],
            packets,
            None if sizes is None else 8 * sizes,
            self._rates.past((key, "packets")),
            share,
        )

    def _drops(self, report: Report, reason: str, total: int) -> Drops:
        own = sum(service["dropped"].get(reason, 0) for service in report["services"])
        return Drops(report["name"], reason, own, total, self._rates.now(_drop_key(report["name"], reason)))

    def _data(self, report: Mapping[str, Any]) -> dict[str, Any]:
        engine = report["name"]
        return {
            "service_engine": engine,
            "services": [self._with_rates(_service_key(engine, one), one) for one in report["services"]],
            "pools": [
                {
                    **pool,
                    "servers": [self._with_rates(_server_key(engine, pool, one), one) for one in pool["servers"]],
                }
                for pool in report["pools"]
            ],
            "dropped": {
                reason: {"packets": total, "packets_per_second": _round(self._rates.now(_drop_key(engine, reason)))}
                for reason, total in report["dropped"].items()
            },
            "events": report["events"],
        }

    def _with_rates(self, key: Hashable, one: Mapping[str, Any]) -> dict[str, Any]:
        rates = {f"{of}_per_second": _round(self._rates.now((key, of))) for of in ("packets", "bytes")}
        return {**one, **rates}


def parts(sight: Sight) -> list[Part]:
    """The same printed: two tables that fit 80 columns, drops and the newest events."""
    several = sight.several
    flows = f", {sight.flows}" if sight.flows else ""
    made: list[Part] = [f"{sight.name}: {sight.state}{flows}", *map(Prose, sight.told)]
    if sight.services:
        made.append(
            _table(("Service", *_COLUMNS), [(line, (line.name, *_told(line))) for line in sight.services], several)
        )
    made += [Prose(told) for told in sight.pools]
    if sight.servers:
        rows = [(line, (line.name, *_told(line), f"{100 * (line.share or 0):.1f} %")) for line in sight.servers]
        made.append(_table(("Server", *_COLUMNS, "Share"), rows, several))
    made += [Prose(told) for told in sight.reasons]
    if sight.drops:
        made.append(
            Table(
                ("Dropped", "Service", "Engine", "Packets/s", "Service Engine"),
                [(drop.reason, str(drop.own), str(drop.total), short(drop.rate), drop.engine) for drop in sight.drops],
            )
        )
    return made + [Prose(client.event_words(event, sight.engine_of(event))) for event in sight.events[-SHOWN:]]


def flows_begun(reports: Sequence[Report]) -> str:
    """Flows begun, in words. Of TCP flows one in 64 is looked at; where none was, no rate can be told."""
    each = [
        rates["flows"]
        for report in reports
        for one in report["services"]
        if (rates := servicetables.rates_of(reports, report["name"], one)) is not None
    ]
    if not each:
        return ""
    return f"about {short(sum(each))} flows/s" if sum(each) else "too few new flows to count"


def _reasons(lines: Sequence[Line]) -> list[str]:
    """Why services and servers are not as they should be, each once, in sentences."""
    told = (f"{line.name} is {client.state_words(word(line.state), line.reason)}" for line in lines if line.reason)
    return list(dict.fromkeys(told))


def _ports(one: Mapping[str, Any]) -> str:
    return str(one["port"]) if one["port_end"] == one["port"] else f"{one['port']}-{one['port_end']}"


def _pool(pool: Mapping[str, Any]) -> str:
    up = sum(server["state"] == "up" for server in pool["servers"])
    told = f"Pool {pool['name']}: {reported.state(pool['state'])}, {up} of {len(pool['servers'])} servers up"
    return f"{told}: {pool['reason']}" if pool["reason"] else told


def _table(columns: tuple[str, ...], rows: Sequence[tuple[Line, tuple[str, ...]]], several: bool) -> Table:
    """With the engine of each line, where there are several."""
    if not several:
        return Table(columns, [cells for _, cells in rows])
    return Table((*columns, "Service Engine"), [(*cells, line.engine) for line, cells in rows])


def _told(line: Line) -> tuple[str, str, str]:
    return line.state, short(line.packets), short(line.bits)


def _round(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 3)


def _service_key(engine: str, one: Mapping[str, Any]) -> Hashable:
    return engine, one["vip"], one["protocol"], one["port"]


def _server_key(engine: str, pool: Mapping[str, Any], one: Mapping[str, Any]) -> Hashable:
    return engine, pool["uuid"], one["address"]


def _drop_key(engine: str, reason: str) -> Hashable:
    return engine, "dropped", reason


def _counters(reports: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Hashable, int]]:
    """All counters of a look, by their keys."""
    for report in reports:
        engine = report["name"]
        lines = [(_service_key(engine, one), one) for one in report["services"]]
        lines += [(_server_key(engine, pool, one), one) for pool in report["pools"] for one in pool["servers"]]
        for key, one in lines:
            yield (key, "packets"), one["packets"]
            yield (key, "bytes"), one["bytes"]
        for reason, total in report["dropped"].items():
            yield _drop_key(engine, reason), total
