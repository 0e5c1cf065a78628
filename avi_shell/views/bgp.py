"""BGP as an engine reports it: its peers, and what keeps a session from being established."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avi_shell.output.result import Part, Prose, Table
from dataplane.wording import counted, moment

_HEAD = ("Peer", "AS", "State", "Since", "Prefixes", "BFD", "Label")


def parts(report: Mapping[str, Any]) -> list[Part]:
    """What to print of an engine's report."""
    bgp = report.get("bgp")
    if bgp is None:
        return [f"Service engine {report['name']} has no BGP: no bgp_profile in the VRF context of its group's cloud."]
    runs = f"BIRD is process {bgp['bird']}" if bgp["bird"] else "BIRD does not run"
    found: list[Part] = [f"AS {bgp['local_as']}: routes to {counted(bgp['routes'], 'VIP')}; {runs}"]
    if bgp["fault"]:
        found.append(Prose(f"BGP does not do what is configured: {bgp['fault']}"))
    found.append(Table(_HEAD, [_row(peer) for peer in bgp["peers"]]))
    found += [
        Prose(f"{peer['address']} is {peer['state']}: {peer['reason']}") for peer in bgp["peers"] if peer["reason"]
    ]
    for vip in report["vips"]:
        told = vip["announcers"].get("bgp", {})
        if vip["routed"] and told.get("reason"):
            found.append(Prose(f"Routers are not told of VIP {vip['address']}: {told['reason']}"))
    return found


def _row(peer: Mapping[str, Any]) -> tuple[str, ...]:
    since = moment(peer["since"]) if peer["since"] else ""
    return (
        peer["address"],
        str(peer["remote_as"]),
        peer["state"],
        since,
        str(peer["prefixes"]),
        peer["bfd"],
        peer["label"],
    )
