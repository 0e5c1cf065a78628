"""The page for a browser: services, servers with reasons, rates, drops, events. Pure: a report in, HTML out.

It has no script and loads nothing; the browser reloads it by itself. For a pool with many servers it shows those that
are not up, and a link to a list of all.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode

from dataplane import client
from dataplane.ratehistory import RateHistory, short, sparkline
from dataplane.wording import clock, counted, fits, moment

Report = Mapping[str, Any]

REFRESH = 5
"""Seconds until the browser reloads the page."""
FEW, MANY = 20, 500
"""The most servers of a pool on the main page, and on a page of the pool."""
BARS = 30
"""Rates that are drawn."""
STYLE = """
:root{color-scheme:light dark;--up:#1a7f37;--down:#cf222e;--off:#9a6700;--line:#8885}
body{font:14px/1.4 system-ui,sans-serif;margin:1.2em auto;max-width:1400px;padding:0 1em}
h1{font-size:1.4em;margin:0}h2{font-size:1.1em;margin:1.4em 0 .3em}p{margin:.2em 0}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{padding:.2em .6em;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;white-space:nowrap}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.up{color:var(--up)}.down,.critical,.error{color:var(--down);font-weight:600}
.disabled,.initializing,.unknown,.warning{color:var(--off)}
td:last-child{min-width:12em}
.bars{font-family:monospace;white-space:pre}.dim{opacity:.7}code{font-size:.95em}
"""
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
"""The header Content-Security-Policy: the page may use only its own style."""


class Asked(NamedTuple):
    """What a browser asks to see of the engine."""

    pool: str = ""  # the uuid of one pool, or all
    first: int = 0  # position of the first server to show


def asked(query: str) -> Asked:
    """Read a URL's query; invalid parts are ignored."""
    fields = parse_qs(query, max_num_fields=8) if query.count("&") < 8 else {}
    first = fields.get("from", ["0"])[0]
    number = int(first) if first.isascii() and first.isdecimal() and len(first) < 10 else 0
    return Asked(fields.get("pool", [""])[0], number)


def counters(report: Report) -> Iterator[tuple[Hashable, int]]:
    """All counters of a report, by what the page calls them."""
    lines = [(_service_key(one), one) for one in report["services"]]
    lines += [(_server_key(pool, one), one) for pool in report["pools"] for one in pool["servers"]]
    for key, one in lines:
        yield (key, "packets"), one["packets"]
        yield (key, "bytes"), one["bytes"]
    for reason, number in report["dropped"].items():
        yield ("dropped", reason), number


def html(report: Report, rates: RateHistory, asked: Asked) -> str:
    """The page of an engine's report (`dataplane.daemon.status`). rates: of its `counters`."""
    pools = [pool for pool in report["pools"] if asked.pool in ("", pool["uuid"])]
    services = [one for one in report["services"] if asked.pool in ("", one["pool_uuid"])]
    body = [
        *_head(report, asked),
        *_services(services, rates),
        *(line for pool in pools for line in _pool(pool, rates, asked)),
        *(() if pools or not asked.pool else ("<p>This engine has no such pool.</p>",)),
        *(() if asked.pool else (*_drops(report, rates), *_events(report["events"]))),
    ]
    title = f"{report['name']} – avi-se"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH}"><style>{STYLE}</style></head><body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _head(report: Report, asked: Asked) -> Iterator[str]:
    driver = report["driver"]
    modes = ", ".join(f"{name} {mode}" for name, mode in driver["interfaces"].items())
    states = [one["state"] for one in report["services"]]
    yield f"<h1>{escape(report['name'])}</h1>"
    yield (
        f"<p>{escape(report['group'])}: driver {escape(driver['name'])}{escape(f' on {modes}' if modes else '')}, "
        f"commit {report['version']} applied, since {moment(report['started'])}</p>"
    )
    yield (
        f"<p>{states.count('up')} of {len(states)} services up, {sum(one['announced'] for one in report['vips'])} of "
        f"{len(report['vips'])} VIPs announced. As of {moment(time.time())}, again every {REFRESH} s.</p>"
    )
    for note in (*driver["notes"], *(f"{one['object']} is missing: {one['reason']}" for one in report["kernel"])):
        yield f'<p class="warning">{escape(note)}</p>'
    for row in report["damaged"]:
        yield f'<p class="error">{escape(row["key"])} is damaged: {escape(row["reason"])}</p>'
    if asked.pool:
        yield '<p><a href="/">All services</a></p>'


def _services(services: Sequence[Report], rates: RateHistory) -> Iterator[str]:
    yield "<h2>Virtual services</h2>"
    columns = "Name|VIP|Port|State|Since|#Packets/s|#Bits/s||#Packets|#Bytes|#Dropped|Reason"
    yield from _table(
        columns,
        (
            (
                escape(one["virtualservice"]),
                escape(one["vip"]),
                escape(f"{one['protocol']} {_ports(one)}"),
                _state(one["state"]),
                _since(one["changed"]),
                *_rates(rates, _service_key(one)),
                f"{one['packets']:,}",
                f"{one['bytes']:,}",
                f"{sum(one['dropped'].values()):,}",
                escape(one["reason"]),
            )
            for one in services
        ),
    )


def _pool(pool: Report, rates: RateHistory, asked: Asked) -> Iterator[str]:
    servers = pool["servers"]
    up = sum(server["state"] == "up" for server in servers)
    yield (
        f"<h2>Pool {escape(pool['name'])}: {_state(pool['state'])}, {up:,} of {len(servers):,} servers up"
        f"{escape(': ' + pool['reason'] if pool['reason'] else '')}</h2>"
    )
    shown, more = _shown(pool, asked)
    columns = "Server|State|Since|#Ratio|#Share|#Packets/s|#Bits/s||#Packets|#Bytes|#Failed checks|#Unanswered|Reason"
    yield from _table(columns, (_server(pool, one, rates) for one in shown))
    yield from more


def _shown(pool: Report, asked: Asked) -> tuple[Sequence[Report], list[str]]:
    """The servers of a pool to show on the page, and a sentence about the others."""
    servers = pool["servers"]
    if asked.pool:
        first = min(asked.first, max(0, len(servers) - 1))
        pages = [
            f'<a href="{_link(pool, at)}">{at + 1:,}–{min(at + MANY, len(servers)):,}</a>'
            for at in range(0, len(servers), MANY)
        ]
        return servers[first : first + MANY], [f"<p>{' '.join(pages)}</p>"] if len(pages) > 1 else []
    if len(servers) <= FEW:
        return servers, []
    wrong = [server for server in servers if server["state"] != "up"]
    link = f'<a href="{_link(pool, 0)}">All {len(servers):,} servers</a>'
    if not wrong:
        return [], [f"<p>{link}</p>"]
    left = f"{len(wrong) - FEW:,} more are not up. " if len(wrong) > FEW else ""
    return wrong[:FEW], [f"<p>{left}{link}</p>"]


def _link(pool: Report, first: int) -> str:
    return escape("/?" + urlencode({"pool": pool["uuid"], "from": first}))


def _server(pool: Report, one: Report, rates: RateHistory) -> tuple[str, ...]:
    remedy = f"<br>to mend it: <code>{escape(one['remedy'])}</code>" if one["remedy"] else ""
    remain = fits(one["flows"], "remains", "remain")
    flows = f"<br>{counted(one['flows'], 'flow')} {remain}" if one["flows"] is not None else ""
    return (
        escape(f"{one['address']}:{one['port']}"),
        _state(one["state"]),
        _since(one["changed"]),
        str(one["weight"]),
        f"{100 * one['share']:.1f} %",
        *_rates(rates, _server_key(pool, one)),
        f"{one['packets']:,}",
        f"{one['bytes']:,}",
        f"{one['failed_checks']:,}",
        client.unanswered(one),
        escape(one["reason"]) + remedy + flows,
    )


def _drops(report: Report, rates: RateHistory) -> Iterator[str]:
    if report["dropped"]:
        yield "<h2>Dropped packets</h2>"
        rows = sorted(report["dropped"].items(), key=lambda one: -one[1])
        yield from _table(
            "Reason|#Packets|#Packets/s",
            ((escape(reason), f"{number:,}", short(rates.now(("dropped", reason)))) for reason, number in rows),
        )


def _events(events: Sequence[Report]) -> Iterator[str]:
    if events:
        yield "<h2>Events</h2>"
        yield from _table("Severity|What", (_event(one) for one in reversed(events)))


def _event(one: Report) -> tuple[str, str]:
    severity = str(one["severity"])
    return f'<span class="{escape(severity)}">{escape(severity)}</span>', escape(client.event_words(one))


def _table(columns: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table. columns: headings, those of numbers with a #; rows: cells as HTML."""
    names = columns.split("|")
    cell = [' class="n"' if name[:1] == "#" else "" for name in names]
    filled = ["<tr>" + "".join(map("<td{}>{}</td>".format, cell, row)) + "</tr>" for row in rows]
    if filled:
        heads = "".join(f"<th{of}>{name.lstrip('#')}</th>" for name, of in zip(names, cell, strict=True))
        yield f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>'
        yield from filled
        yield "</tbody></table></div>"


def _rates(rates: RateHistory, key: Hashable) -> tuple[str, str, str]:
    """The cells of packets and bits per second, and how the packets went."""
    sizes = rates.now((key, "bytes"))
    bars = sparkline(rates.past((key, "packets")), BARS).strip()
    return (
        short(rates.now((key, "packets"))),
        short(None if sizes is None else 8 * sizes),
        f'<span class="bars">{bars}</span>',
    )


def _state(word: str) -> str:
    return f'<span class="{escape(word)}">{escape(word)}</span>'


def _since(at: float | None) -> str:
    """A time of today without the day."""
    if at is None:
        return ""
    return clock(at)


def _ports(one: Report) -> str:
    return str(one["port"]) if one["port_end"] == one["port"] else f"{one['port']}-{one['port_end']}"


def _service_key(one: Report) -> Hashable:
    return one["vip"], one["protocol"], one["port"]


def _server_key(pool: Report, one: Report) -> Hashable:
    return pool["uuid"], one["address"]
