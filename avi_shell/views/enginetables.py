"""`show serviceengine NAME interface|route|arptable|…`: tables of one engine, as it tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from avi_shell.output.result import Part, Prose, Table
from avi_shell.views import live
from avi_shell.views.gathering import Engines
from dataplane.wording import counted

Row = Mapping[str, Any]


class _Column(NamedTuple):
    heading: str
    cell: Callable[[Row], Any]


def _plain(heading: str, key: str) -> _Column:
    return _Column(heading, lambda row: row.get(key))


COLUMNS: Mapping[str, tuple[_Column, ...]] = {
    "interface": (
        _plain("Interface", "interface"),
        _plain("Mode", "mode"),
        _Column("State", lambda row: "up" if row["up"] else "down"),
        _plain("MTU", "mtu"),
        _plain("Received", "received_packets"),
        _plain("Sent", "sent_packets"),
        _Column("Dropped", lambda row: row.get("received_dropped", 0) + row.get("sent_dropped", 0)),
        _plain("Lost", "lost"),
    ),
    "route": (
        _plain("Server", "server"),
        _plain("Pool", "pool"),
        _plain("Mode", "mode"),
        _plain("Interface", "interface"),
        _plain("Gateway", "gateway"),
        _plain("MAC Address", "mac"),
    ),
    "arptable": (
        _plain("Interface", "interface"),
        _plain("Address", "address"),
        _plain("MAC Address", "mac"),
        _plain("State", "state"),
    ),
    "flowtable": (
        _plain("Pool", "pool"),
        _Column("VIPs", lambda row: ", ".join(row["vips"])),
        _plain("Slots", "slots"),
        _plain("In Transition", "in_transition"),
        _plain("Tracked", "tracked"),
        _plain("Flows", "flows"),
        _plain("Room", "room"),
    ),
    "cpu": (
        _plain("Thread", "thread"),
        _Column("User s", lambda row: f"{row['user']:.2f}"),
        _Column("System s", lambda row: f"{row['system']:.2f}"),
        _Column("Share", lambda row: f"{100 * (row['user'] + row['system']) / max(row['since'], 0.01):.2f} %"),
        _Column("Runs s", lambda row: f"{row['since']:.0f}"),
    ),
    "memory": (
        _plain("Memory", "kind"),
        _Column("MiB", lambda row: f"{row['bytes'] / 2**20:.1f}"),
    ),
    "vnicdb": (
        _plain("Interface", "interface"),
        _plain("Index", "index"),
        _plain("MAC Address", "mac"),
        _Column("Networks", lambda row: ", ".join(row["networks"])),
        _Column("VIPs", lambda row: ", ".join(f"{one['vip']} {_vip(one)}" for one in row["vips"])),
    ),
}
"""By the word of the table."""


def table(engines: Engines, name: str, word: str) -> tuple[list[Part], Any]:
    """What to print, and the rows for programs."""
    answers = engines.answers("table", name, word=word)
    found = next((one for one in answers if one["name"] == name), None)
    if found is None:
        silent = name in answers.silent or answers.fault
        return (list(answers.told()) if silent else [live.not_running(engines.directory, name)]), None
    rows = [tuple(_shown(column.cell(row)) for column in COLUMNS[word]) for row in found["rows"]]
    parts: list[Part] = [Table(tuple(column.heading for column in COLUMNS[word]), rows)]
    parts += [Prose(told) for row in found["rows"] for told in _remarks(word, row)]
    if found["left_out"]:
        parts.append(f"{found['left_out']:,} more are not shown.")
    return parts, found["rows"]


def _remarks(word: str, row: Row) -> list[str]:
    if word == "interface":
        addresses = f"{row['interface']}: {row['mac']}, {', '.join(row['addresses'])}"
        return [addresses, *([f"{row['interface']}: {row['fault']}"] if row["fault"] else [])]
    if word == "flowtable":
        told = [
            f"{row['pool']}: {counted(count, 'flow')} of {server}" for server, count in sorted(row["servers"].items())
        ]
        return [*told, *filter(None, (row.get("full", ""),))]  # older engines tell none
    return []


def _vip(one: Row) -> str:
    return "announced" if one["announced"] else "up" if one["up"] else "down"


def _shown(value: Any) -> str:
    return "-" if value is None or value == "" else str(value)
