"""`show serviceengine NAME detail`: all that an engine reports of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avi_shell.output.result import Part, Prose, Table
from avi_shell.views import reported
from dataplane import client


def parts(report: Mapping[str, Any]) -> list[Part]:
    """What to print of an engine's report."""
    rows = [
        ("name", str(report["name"])),
        ("se_group", str(report["group"])),
        ("version applied", str(report["version"])),
        ("process", str(report["pid"])),
        *reported.shared(report).items(),
        ("driver", str(report["driver"]["name"])),
        ("  chosen because", str(report["driver"]["reason"])),
    ]
    rows += [(f"  {name}", str(mode)) for name, mode in report["driver"]["interfaces"].items()]
    rows += [("  note", str(note)) for note in report["driver"].get("notes", ())]
    for i, interface in enumerate(report["interfaces"], 1):
        rows.append((f"interfaces[{i}]", str(interface["name"])))
        rows += [("  mac", str(interface["mac"])), ("  mtu", str(interface["mtu"]))]
        rows += [("  address", str(address)) for address in interface["addresses"]]
        rows += [(f"  {what}", str(interface[what])) for what in ("lost", "fault") if interface.get(what)]
    for i, vip in enumerate(report["vips"], 1):
        state = "up" if vip["up"] else "down"
        known = ", announced" if vip["announced"] else ""
        known += ", to routers" if vip.get("routed") else ""
        rows.append((f"vips[{i}]", f"{vip['address']} {state}{known}"))
    for peer in (report.get("bgp") or {}).get("peers", ()):
        rows.append((f"BGP peer {peer['address']}", f"{peer['state']}{': ' * bool(peer['reason'])}{peer['reason']}"))
    rows += [(f"missing: {one['object']}", str(one["reason"])) for one in report["kernel"]]
    rows.append(("answered (ARP, ping, too big)", str(report["answered"])))
    rows += [(f"dropped {reason}", _drops(count, report, reason)) for reason, count in report["dropped"].items()]
    told: list[Part] = [Table(("Field", "Value"), rows)]
    if others := reported.other_engines(report):
        told.append(Table(client.OTHERS, others))
    return told + [Prose(client.event_words(event)) for event in report["events"][-10:]]


def _drops(count: int, report: Mapping[str, Any], reason: str) -> str:
    """How many were dropped, and how many of them in a second."""
    rates = report.get("rates")
    pace = reported.rate(rates["dropped"].get(reason, 0.0)) if rates else ""
    return f"{count} ({pace} a second)" if pace else str(count)
