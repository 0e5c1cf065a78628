"""`show pool NAME algo`: how a pool's servers share what comes, beside what is wanted, as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from avi_shell.configuration.document import Document
from avi_shell.output.result import Part, Prose, Table
from avi_shell.views import live, reported
from avi_shell.views.gathering import Engines

Shares = dict[str, Any]
"""Of one server: "address", "port", "ratio", and as fractions, None where nothing is known, "wanted": by the ratios of
the servers that own slots, "slots", "packets", "flows"."""

MEASURES = ("wanted", "slots", "packets", "flows")
_HEAD = ("Server", "Ratio", "Wanted %", "Slots %", "Packets %", "Flows %")
_BAR = 6
"""Characters of the longest bar."""


def algo(engines: Engines, pool: Document) -> tuple[list[Part], list[dict[str, Any]]]:
    """What to print, and the same for programs, an entry for each engine that forwards the pool."""
    reports = engines.reports(str(pool.get("uuid")))
    parts: list[Part] = [f"{pool.get('lb_algorithm', '')}, {pool.get('lb_algorithm_hash', '')}", *reports.told()]
    told = []
    for engine, found in reported.pools(str(pool.get("uuid")), reports):
        servers = shares(found["servers"])
        sampled = sum(server["handshakes"]["sampled"] for server in found["servers"])
        entry = {"service_engine": engine, "slots": found["slots"], "sampled_flows": sampled, "servers": servers}
        told.append(entry | {"largest_deviation": {m: _deviation(servers, m) for m in MEASURES[1:]}})
        parts += [f"Service engine {engine}", Table(_HEAD, _rows(servers)), *_weights(servers), *_verdict(told[-1])]
    if not reports and not reports.doubtful:
        parts.append(live.no_engine(engines.directory))
    elif reports and not told:
        parts.append(live.not_forwarded("pool", str(pool["name"])))
    return parts, told


def shares(servers: Sequence[Mapping[str, Any]]) -> list[Shares]:
    """What part each reported server of a pool has of all."""
    weights = [server["weight"] if server["in_table"] else 0 for server in servers]
    packets = [server["packets"] for server in servers]
    flows = [server["handshakes"]["sampled"] for server in servers]
    parts = zip(_parts(weights), _parts(packets), _parts(flows), strict=True)
    return [
        {
            "address": server["address"],
            "port": server["port"],
            "ratio": server["weight"],
            "wanted": wanted,
            "slots": server["share"],
            "packets": of_packets,
            "flows": of_flows,
        }
        for server, (wanted, of_packets, of_flows) in zip(servers, parts, strict=True)
    ]


def _parts(numbers: Sequence[int]) -> list[float | None]:
    whole = sum(numbers)
    return [round(number / whole, 5) if whole else None for number in numbers]


def _deviation(servers: Sequence[Shares], measure: str) -> dict[str, Any] | None:
    """The server whose share of something is farthest from what is wanted; None where nothing is known."""
    known = [one for one in servers if one[measure] is not None and one["wanted"] is not None]
    if not known:
        return None
    worst = max(known, key=lambda one: abs(one[measure] - one["wanted"]))
    return {"address": worst["address"], "by": round(worst[measure] - worst["wanted"], 5)}


def _rows(servers: Sequence[Shares]) -> list[tuple[str, ...]]:
    longest = max((one[measure] or 0.0 for one in servers for measure in MEASURES), default=0.0) or 1.0
    return [
        (one["address"], str(one["ratio"]), *(_bar(one[measure], longest) for measure in MEASURES)) for one in servers
    ]


def _bar(share: float | None, longest: float) -> str:
    if share is None:
        return "-"
    return f"{100 * share:5.1f} {'#' * round(_BAR * share / longest)}".rstrip()


def _distance(worst: Mapping[str, Any]) -> str:
    if abs(worst["by"]) < 0.0005:  # 0.0 % where one digit is shown
        return "as wanted"
    return f"{worst['address']} is farthest from what is wanted, by {100 * worst['by']:+.1f} %"


def _weights(servers: Sequence[Shares]) -> list[Part]:
    """Where ratios differ, the server with the greatest: what it is to get, beside what equal ratios would give."""
    sharing = [one for one in servers if one["wanted"]]
    if len({one["ratio"] for one in sharing}) < 2:
        return []
    most = max(sharing, key=lambda one: one["ratio"])
    told = f"{most['address']} is to get {100 * most['wanted']:.1f} % by its ratio of {most['ratio']}"
    return [Prose(f"The ratios differ: {told}. Equal ratios would give {100 / len(sharing):.1f} %.")]


def _verdict(entry: Mapping[str, Any]) -> list[Part]:
    """How far the shares are from what is wanted."""
    names = {"slots": "Slots", "packets": "Packets", "flows": "Flows begun"}
    told = [
        f"{names[measure]}: {_distance(worst)}."
        for measure, worst in entry["largest_deviation"].items()
        if worst is not None
    ]
    if entry["largest_deviation"]["packets"] is not None:
        count = f"{entry['sampled_flows']:,}" if entry["sampled_flows"] else "none"
        told.append(f"Flows are TCP connections, of which one in 64 is looked at: {count} so far.")
    return [Prose(" ".join(told))] if told else []
