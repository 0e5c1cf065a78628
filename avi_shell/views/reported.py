"""What reports of engines say, in the words of all views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from avi_shell.configuration.document import Document
from dataplane import client
from dataplane.wording import counted, fits

Report = Mapping[str, Any]

SLOWER, LEAST = 5, 0.02
"""How many times as long as usual, and how many seconds longer, a server that is called slow takes at least."""
FEW = 5
"""Answered probes that say something of how long a server takes: one of two may be late because somebody was busy."""
_NAMED = 4
"""Slow servers that are named."""

STATES = {
    "up": "OPER_UP",
    "initializing": "OPER_INITIALIZING",
    "down": "OPER_DOWN",
    "disabled": "OPER_DISABLED",
    "unknown": "OPER_UNKNOWN",
}
"""The appliance's names of states, by ours."""


def rate(number: float | None) -> str:
    """A rate, as it is shown; "" where none is known yet."""
    return "" if number is None else f"{number:,.1f}" if number < 100 else f"{number:,.0f}"


def state(word: str) -> str:
    """A state as the appliance names it."""
    return STATES.get(word, word)


def services(document: Document, live: Iterable[Report]) -> list[tuple[str, Report]]:
    """The reports of a virtual service's services, with the engines that they are of."""
    return [(r["name"], s) for r in live for s in r["services"] if s["uuid"] == document.get("uuid")]


def key(service: Report) -> str:
    """What an engine tells a service's rates by: its key in the plan."""
    return f"{service['vip']}/{service['protocol']}/{service['port']}-{service['port_end']}"


def pools(uuid: str, live: Iterable[Report]) -> list[tuple[str, Report]]:
    """The reports of a pool, with the engines that they are of."""
    return [(r["name"], pool) for r in live for pool in r["pools"] if pool["uuid"] == uuid]


def servers_up(pool: Report | None) -> dict[str, int | None]:
    """How many servers of a pool are up, and how many there are; None where no engine tells."""
    if pool is None:
        return {"servers_up": None, "servers": None}
    return {"servers_up": sum(one["state"] == "up" for one in pool["servers"]), "servers": len(pool["servers"])}


def slow_servers(servers: Sequence[Report]) -> list[str]:
    """Of a pool's servers, those that answer probes much more slowly than is usual there."""
    told = {s["address"]: s.get("answers_in") for s in servers}  # older engines tell none
    medians = {address: one for address, one in told.items() if one and one["probes"] >= FEW}
    if len(medians) < 2:
        return []
    usual = sorted(one["median"] for one in medians.values())[(len(medians) - 1) // 2]
    slow = [
        f"{address} is slow: it answers probes in {_milliseconds(one['median'])} (median of {one['probes']}; the "
        f"slowest took {_milliseconds(one['slowest'])}), where {_milliseconds(usual)} is usual in its pool"
        for address, one in medians.items()
        if one["median"] >= SLOWER * usual and one["median"] - usual >= LEAST
    ]
    return [*slow[:_NAMED], *_more(len(slow) - _NAMED)]


def _more(slow: int) -> list[str]:
    return [f"{counted(slow, 'more server')} {fits(slow, 'is', 'are')} slow"] if slow > 0 else []


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 0.1 else f"{1000 * seconds:.0f} ms"


def other_engines(report: Report) -> list[tuple[str, ...]]:
    """The engines of other hosts that one knows, as `client.others` has them."""
    return client.others(report)


def shared(report: Report) -> dict[str, str]:
    """How an engine stands with what its host shares with others."""
    following, membership = report.get("following"), report.get("membership")
    told = {"store": client.followed(following)} if following else {}
    return told | ({"cluster": client.standing(membership)} if membership else {})


def join_rates(report: dict[str, Any]) -> None:
    """Put the rates in a report beside what they are of: a service's, a server's; None where they are not known."""
    rates = report.get("rates") or {"services": {}, "servers": {}}
    for service in report.get("services", ()):
        if "vip" in service:
            service["rates"] = rates["services"].get(key(service))
    for pool in report.get("pools", ()):
        of_pool = rates["servers"].get(pool["uuid"], {})
        for server in pool["servers"]:
            if "address" in server:
                server["rates"] = of_pool.get(server["address"])
