"""Finds what two objects in the store hold and only one may: ports of a VIP, addresses, pools. Returns breaches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from avi_shell.configuration import grouprules, holdings, redundancy
from avi_shell.configuration.assembly import Assembly, Part
from avi_shell.configuration.breach import Breach
from avi_shell.configuration.entry import Entry
from avi_shell.configuration.linking import target
from avi_shell.configuration.store import Store

_HINT = "one of its own for each"


def of_holder(store: Store, entry: Entry, assemble: Callable[[int], Assembly]) -> Iterator[Breach]:
    """Addresses of a gateway or an engine that a virtual service also has. assemble: a virtual service by its id."""
    for (first, second), sentence in holdings.CLASHES.items():
        for value, other in store.indexes.holders(entry.id, second, first):
            holder = store.by_id(other)
            own = Part(entry.kind, entry.name, holdings.holding_path(entry.kind, entry.document, value))
            what = sentence.format(value=value, one=holder.title, other=entry.title)
            yield Breach(what, (own, *holdings.held_parts(assemble(other), first, value)), _HINT)


def in_pair(store: Store, entry: Entry) -> Iterator[Breach]:
    """Engines beyond the second in a group of two, when the group or one of its engines is saved."""
    group: Entry | None = entry
    if entry.kind == "serviceengine":
        found = target(entry.document.get("se_group_ref", ""))
        group = store.at_target(found) if found else None
    if group is not None and redundancy.mode(group.document) == grouprules.ACTIVE_STANDBY:
        if entry is not group:
            yield from grouprules.of_pair(group.document, entry.document)
        engines = [name for *_, name in store.referrers(group.target, ("serviceengine",))]
        yield from grouprules.pair(group.document, engines, entry.name if entry is not group else "")


def with_others(store: Store, id_: int, one: Assembly) -> Iterator[Breach]:
    """What a virtual service shares with others although it may not. id_: the virtual service's."""
    for claim, other in store.rivals(id_):
        ports = f"port {claim.port}" if claim.port == claim.port_end else f"ports {claim.port}-{claim.port_end}"
        places = [
            one.part(f"services[{s.index}].port")
            for s in one.services
            if (s.protocol, *s.ports) == (claim.protocol, claim.port, claim.port_end)
        ]
        owner = store.by_id(other).title
        what = f"{one.title}: {claim.protocol} {ports} of VIP {claim.vip} belongs to {owner}"
        parts = (*places, *holdings.held_parts(one, holdings.VIP, claim.vip))
        yield Breach(what, parts, "another VIP, protocol or port")
    for (first, second), sentence in holdings.CLASHES.items():
        for mine, theirs in dict.fromkeys([(first, second), (second, first)]):
            if mine not in (holdings.VIP, holdings.SERVER, holdings.POOL):
                continue
            for value, other in store.indexes.holders(id_, mine, theirs):
                if first == second and other == id_:
                    continue
                holders = (one.title, store.by_id(other).title)
                title, peer = holders if mine == first else holders[::-1]
                what = sentence.format(value=value, one=title, other=peer)
                roles = (mine, theirs) if other == id_ else (mine,)
                parts = tuple(part for role in roles for part in holdings.held_parts(one, role, value))
                yield Breach(what, parts, _HINT)


def with_engines(one: Assembly, engines: Collection[str]) -> Iterator[Breach]:
    """VIPs of a virtual service that are addresses of running engines."""
    for role, value in sorted(holdings.service_holdings(one)) if engines else ():
        if role == holdings.VIP and value in engines:
            what = f"{one.title}: {value} is an address of a running service engine's own interface"
            yield Breach(what, holdings.held_parts(one, role, value), "an address of its own")
