"""Which VIPs of a pool share a pool of the driver: those for which the same servers are up. Pure.

A group of VIPs is named as its pool in the driver is (`forwarding.poolnames`): one by the pool's uuid, each other one
by a VIP that belongs to it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

from dataplane.forwarding import poolnames

Names = dict[bytes, str]
"""The name of the group of each VIP."""
Ups = tuple[bool, ...]
"""Which servers of the pool are up for a VIP, in the order of their addresses."""


def grouped(names: Mapping[bytes, str]) -> dict[str, list[bytes]]:
    """The VIPs of each group, sorted."""
    found: dict[str, list[bytes]] = {}
    for vip in sorted(names):
        found.setdefault(names[vip], []).append(vip)
    return found


def named(uuid: str, names: Mapping[bytes, str]) -> Names:
    """The same groups, rightly named after VIPs went: one has the uuid, each other one the name of a VIP of its own."""
    groups, now = grouped(names), dict(names)
    if groups and uuid not in groups:
        now.update(dict.fromkeys(groups.pop(next(iter(groups))), uuid))
    for name, vips in groups.items():
        if name != uuid and poolnames.parts(name).vip not in vips:
            now.update(dict.fromkeys(vips, poolnames.of_vip(uuid, vips[0])))
    return now


def divided(
    uuid: str, names: Mapping[bytes, str], ups: Mapping[bytes, Ups], settled: Container[str], put: Ups | None
) -> Names:
    """Groups of VIPs with the same servers up each. settled: names of groups whose servers were heard of, others stay
    as they are; put: the servers that are up in the group of the uuid until now: those VIPs stay for which that is
    still so."""
    now = dict(names)
    for name, vips in grouped(names).items():
        parts: dict[Ups, list[bytes]] = {}
        for vip in vips:
            parts.setdefault(ups[vip], []).append(vip)
        if name not in settled or len(parts) == 1:
            continue
        if name != uuid:
            kept = ups[poolnames.parts(name).vip]
        else:
            kept = put if put in parts else max(parts, key=lambda up: len(parts[up]))
        for up, leaving in parts.items():
            if up != kept:
                now.update(dict.fromkeys(leaving, poolnames.of_vip(uuid, leaving[0])))
    return now


def united(
    uuid: str, names: Mapping[bytes, str], ups: Mapping[bytes, Ups], may_join: Callable[[str, str], bool]
) -> Names:
    """Fewer groups, where some have the same servers up. may_join: whether the flows of one stay where they are when
    its VIPs go over to the other."""
    now, left = dict(names), list[str]()
    for name, vips in sorted(grouped(names).items(), key=lambda group: (group[0] != uuid, group[1])):
        others = (one for one in left if ups[_first(now, one)] == ups[vips[0]])
        joined = next((one for one in others if may_join(name, one)), None)
        if joined is None:
            left.append(name)
        else:
            now.update(dict.fromkeys(vips, joined))
    return now


def _first(names: Mapping[bytes, str], name: str) -> bytes:
    return next(vip for vip, its in names.items() if its == name)
