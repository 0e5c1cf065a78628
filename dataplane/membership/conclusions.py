"""What follows from etcd's content: which engines are there, and what each one is to do. Every engine concludes the
same. Pure."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from dataplane.membership.places import Placer
from dataplane.membership.record import EngineRecord
from dataplane.placement import arbitration
from dataplane.placement.arbitration import Registration
from dataplane.placement.model import Place, Presence, Situation, announcers


@dataclass(frozen=True, slots=True)
class Known:
    """An engine that is registered."""

    record: EngineRecord
    revision: int  # of etcd, that wrote it last


@dataclass(frozen=True, slots=True)
class Role:
    """What an engine is to do for an address of a VIP, while the VIP is up."""

    answers: bool = False  # it answers ARP for it
    tells: bool = False  # it tells routers of it
    drains: bool = False  # it has withdrawn it lately, and forwards what still comes
    epoch: int = 0  # of the place that says so


def presences(
    engines: Mapping[str, Known], before: Placer, left: Collection[str], answering: float
) -> dict[str, Presence]:
    """Whether each engine is there that is registered, or was. before: what was concluded last; left: the engines that
    ended in good order; answering: seconds for which etcd has answered without a break."""
    groups = {name: known.record.group for name, known in engines.items()}
    every = {**before.groups, **groups}
    found: dict[str, Presence] = {}
    for group in sorted(set(every.values())):
        of_group = {n: k for n, k in engines.items() if k.record.group == group}
        registered = {n: Registration(k.revision, frozenset(k.record.silent)) for n, k in of_group.items()}
        names = [name for name, its in every.items() if its == group]
        found |= arbitration.judge(registered, names, before.presences, answering)
    ended = {name for known in engines.values() for name in known.record.ended}
    for name, presence in found.items():
        if name in engines:
            continue
        if name in left or before.presences.get(name) is Presence.DEAD:
            found[name] = Presence.DEAD
        elif presence is Presence.CUT and name in ended:
            found[name] = Presence.SUSPECT
    return found


def remembered(found: Mapping[str, Presence], engines: Collection[str], places: Iterable[Place]) -> set[str]:
    """The engines that somebody still needs to know of. A dead one is needed while a VIP is to leave it."""
    placed = {name for place in places for name in (*place.engines, *(leaver.engine for leaver in place.leavers))}
    return {name for name, one in found.items() if one is not Presence.DEAD or name in engines or name in placed}


def roles(name: str, situation: Situation, group: str, heard: Mapping[bytes, int]) -> dict[bytes, Role]:
    """What an engine is to do for each address of its group's VIPs. Addresses without a place yet are left out. heard:
    the highest epoch by which another engine says that it answers ARP for an address."""
    found: dict[bytes, Role] = {}
    for vip in situation.vips.values():
        place = situation.places.get(vip.uuid)
        if place is None or vip.group != group:
            continue
        who = announcers(vip, situation.groups[group], place)
        drains = any(one.engine == name and one.withdrawn is not None for one in place.leavers)
        for text in vip.addresses:
            address = socket.inet_aton(text)
            answers = who[:1] == (name,) and not arbitration.yields(place.epoch, [heard.get(address, 0)])
            found[address] = Role(answers, vip.routed and name in who, drains, place.epoch)
    return found
