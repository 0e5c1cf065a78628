"""What engines tell of themselves, as tables and lines for people: `avi-se status`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataplane import client, drawing
from dataplane.foreign.text import visible
from dataplane.wording import counted, moment

HOST = {True: "answers", False: "silent", None: ""}
"""How `host` is shown."""
EVENTS = 10
"""How many events are shown."""


def render(reports: Iterable[Mapping[str, Any]], width: int) -> Iterator[str]:
    """Tables and sentences for people, one engine after the other, as the shell shows them; long sentences in several
    lines. width: of the terminal, in columns; each table fits one of 80."""
    for part in _parts(reports, width):
        yield part if "\n" in part else textwrap.fill(visible(part), width, break_on_hyphens=False)


def waiting(waits: Mapping[str, Any] | None) -> Iterable[str]:
    """What waits to be confirmed, lines. waits: as `undoing.report` tells it."""
    if waits is None:
        return
    numbers = ", ".join(map(str, waits["commits"]))
    commits = f"commit{'s' if len(waits['commits']) > 1 else ''} {numbers}"
    at = moment(waits["deadline"])
    if waits["fault"]:
        yield f"{commits}: not confirmed, and not undone at {at}: {waits['fault']}"
    else:
        yield f"{commits}: undone at {at} unless somebody confirms (avi-shell -c confirm)"


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _parts(reports: Iterable[Mapping[str, Any]], width: int) -> Iterator[str]:
    for told in reports:
        modes = ", ".join(f"{name} {mode}" for name, mode in told["driver"]["interfaces"].items())
        yield f"Service engine {told['name']} ({told['group']}): driver {told['driver']['name']} on {modes}"
        yield f"version applied {told['version']}, process {told['pid']}"
        yield from waiting(told.get("unconfirmed"))
        yield from _shared(told, width)
        yield f"driver chosen because {told['driver']['reason']}"
        if details := told["driver"].get("details"):
            yield f"{told['driver']['name']}: {', '.join(f'{name} {_said(value)}' for name, value in details.items())}"
        for one in told["kernel"]:
            yield f"{one['object']} is missing: {one['reason']}"
        yield from (f"note: {note}" for note in told["driver"].get("notes", ()))
        for interface in told["interfaces"]:
            if interface.get("lost") or interface.get("fault"):
                why = f": {interface['fault']}" if interface["fault"] else ""
                lost = counted(interface["lost"], "frame")
                yield f"interface {interface['name']}: {lost} lost by its network driver{why}"
        yield from _bgp(told.get("bgp"))
        yield _table(
            "Virtual Service|VIP|Protocol|Port|State|Packets|Bytes",
            [
                (s["virtualservice"], s["vip"], s["protocol"], _ports(s), _word(s), s["packets"], s["bytes"])
                for s in told["services"]
            ],
            width,
        )
        for s in told["services"]:
            if s["reason"]:
                name = f"{s['virtualservice']} {s['vip']} {s['protocol']} {_ports(s)}"
                yield f"{name} is {client.state_words(s['state'], s['reason'])}"
        for row in told["damaged"]:
            yield f"The plan of {row['key'] or 'the engines'} cannot be read: {row['reason']}"
        for pool in told["pools"]:
            yield from _pool_rendered(pool, width)
        for remedy, servers in _remedies(told["pools"]).items():
            yield f"To mend {', '.join(servers)}: {remedy}"
        drops = ", ".join(f"{reason} {n}" for reason, n in told["dropped"].items()) or "none"
        yield f"answered (ARP, ping, too big): {told['answered']}; dropped: {drops}"
        monitors = told["monitors"]
        if monitors["checks"]:
            late = f"99 % of them within {monitors['late']['p99'] * 1000:.0f} ms of their time"
            run = f"{counted(monitors['checks'], 'check')}, {counted(monitors['probes'], 'probe')} so far"
            yield f"monitors: {run}, {late}"
        for event in told["events"][-EVENTS:]:
            yield client.event_words(event)


def _shared(told: Mapping[str, Any], width: int) -> Iterator[str]:
    """How an engine stands with what its host shares with others."""
    following, membership = told.get("following"), told.get("membership")
    if following is not None:
        yield client.followed(following)
    if membership is not None:
        yield client.standing(membership)
        for vip, why in membership.get("lacking", {}).items():
            yield f"VIP {vip}: {why}"
        if others := client.others(told):
            yield drawing.draw(client.OTHERS, others, width)


def _bgp(told: Mapping[str, Any] | None) -> Iterator[str]:
    if told is None:
        return
    if told["fault"]:
        yield f"BGP: {told['fault']}"
    for peer in told["peers"]:
        why = f": {peer['reason']}" if peer["reason"] else ""
        prefixes = counted(peer["prefixes"], "prefix", "prefixes")
        yield f"BGP peer {peer['address']} (AS {peer['remote_as']}) {peer['state']}, {prefixes}{why}"


def _pool_rendered(pool: Mapping[str, Any], width: int) -> Iterator[str]:
    up = sum(server["state"] == "up" for server in pool["servers"])
    yield f"Pool {pool['name']}: {_state(pool)}, {up} of {len(pool['servers'])} servers up"
    yield _table(
        "Server|Port|State|Host|Share|Packets|Bytes",
        [
            (s["address"], s["port"], _word(s), HOST[s["host"]], f"{100 * s['share']:.1f} %", s["packets"], s["bytes"])
            for s in pool["servers"]
        ],
        width,
    )
    yield _table(
        "Server|Ratio|MAC Address|Interface|Unanswered",
        [
            (s["address"], s["weight"], s["mac"] or "", s["interface"] or "", client.unanswered(s))
            for s in pool["servers"]
        ],
        width,
    )
    for server in pool["servers"]:
        if server["reason"]:
            yield f"{server['address']} is {server['state']}: {server['reason']}"


def _remedies(pools: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The servers that a command mends."""
    found: dict[str, dict[str, None]] = {}
    for pool in pools:
        for server in pool["servers"]:
            if server["remedy"]:
                found.setdefault(server["remedy"], {})[server["address"]] = None
    return {remedy: list(servers) for remedy, servers in found.items()}


def _ports(service: Mapping[str, Any]) -> str:
    last = f"-{service['port_end']}" if service["port_end"] != service["port"] else ""
    return f"{service['port']}{last}"


def _word(what: Mapping[str, Any]) -> str:
    return str(what["state"]).upper()


def _state(what: Mapping[str, Any]) -> str:
    return f"{_word(what)}: {what['reason']}" if what["reason"] else _word(what)


def _table(head: str, rows: Iterable[tuple[Any, ...]], width: int) -> str:
    shown = [tuple(map(str, row)) for row in rows]
    return drawing.draw(head.split("|"), shown, width, folded=("Virtual Service", "Interface"))
