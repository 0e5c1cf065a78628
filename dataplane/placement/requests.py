"""Operators' requests to placement. Each turns places into new places, which `placing.place` then keeps.

All raise PlacementError that says in words why something is not possible.
"""

from __future__ import annotations

from dataclasses import replace

from dataplane.errors import PlacementError
from dataplane.placement import placing, room
from dataplane.placement.model import Cause, Engine, Group, Leaver, Member, Mode, Place, Situation
from dataplane.placement.opening import Open
from dataplane.wording import counted


def scale_out(situation: Situation, uuid: str, engine: str = "") -> Place:
    """A VIP's place with one engine more: the one named, else the one that placement chooses."""
    group, before = _shared(situation, uuid)
    wanted = len(before.members) + 1
    if wanted > group.most:
        raise PlacementError(
            f"VIP {uuid} has {counted(len(before.members), 'engine')}, and group {group.name} allows no more",
            remedy="a higher max_scaleout_per_vs",
        )
    after = replace(before, wanted=wanted)
    if engine:
        member = _requested(situation, uuid, engine)
        leavers = tuple(leaver for leaver in before.leavers if leaver.engine != engine)
        return replace(after, members=(*before.members, member), leavers=leavers)
    decision = placing.place(replace(situation, places={**situation.places, uuid: after}))[uuid]
    if len(decision.place.members) < wanted:
        raise PlacementError(f"VIP {uuid}: {decision.lacking}")
    return decision.place


def scale_in(situation: Situation, uuid: str, engine: str = "") -> Place:
    """A VIP's place with one engine less: without the one named, else without the last one."""
    group, before = _shared(situation, uuid)
    if len(before.members) <= group.fewest:
        raise PlacementError(
            f"VIP {uuid} has {counted(len(before.members), 'engine')}, and group {group.name} needs at least "
            f"{group.fewest}",
            remedy="migrate, or a lower min_scaleout_per_vs",
        )
    gone = engine or before.engines[-1]
    _check_has(uuid, before, gone)
    members = [member for member in before.members if member.engine != gone]
    if gone == before.engines[0]:
        members[0] = replace(members[0], cause=Cause.REQUESTED, since=situation.now)
    return replace(before, members=tuple(members), leavers=_left(situation, before, gone), wanted=len(members))


def migrate(situation: Situation, uuid: str, source: str, target: str = "") -> Place:
    """A VIP's place with one engine replaced by another: the one named, else the one that placement chooses."""
    _, before = _shared(situation, uuid)
    _check_has(uuid, before, source)
    if target:
        member = _requested(situation, uuid, target)
    else:
        place = replace(before, wanted=len(before.members) + 1, leavers=())
        found = _chosen(situation, uuid, place)
        member = replace(found, cause=Cause.REQUESTED, had=0, among=1)
    members = tuple(member if one.engine == source else one for one in before.members)
    leavers = tuple(one for one in _left(situation, before, source) if one.engine != member.engine)
    return replace(before, members=members, leavers=leavers)


def switch_over(situation: Situation, engine: str) -> dict[str, Place]:
    """New places, by uuid, for the VIPs for which an engine of a pair is active: with the standby active instead."""
    known = _engine(situation, engine)
    group = situation.groups[known.group]
    if group.mode is not Mode.ACTIVE_STANDBY:
        raise PlacementError(
            f"engine {engine} is of group {group.name}, whose ha_mode is {group.mode.value}: it has no standby",
            remedy="migrate a virtual service",
        )
    changed: dict[str, Place] = {}
    for uuid, vip in sorted(situation.vips.items()):
        before = situation.places.get(uuid, Place())
        if vip.group != group.name or before.engines[:1] != (engine,):
            continue
        other = next((name for name in before.engines[1:] if situation.engines[name].takes), "")
        if not other:
            raise PlacementError(f"engine {engine} has no standby that is up and enabled")
        members = (
            Member(other, situation.now, Cause.REQUESTED),
            Member(engine, situation.now, Cause.STANDBY),
        )
        changed[uuid] = replace(before, members=members, leavers=_left(situation, before, engine))
    if not changed:
        raise PlacementError(f"engine {engine} is active for no VIP")
    return changed


def _shared(situation: Situation, uuid: str) -> tuple[Group, Place]:
    """The group and the place of a VIP. Refuses VIPs of pairs, which have no number of engines to choose."""
    group = situation.groups[situation.vips[uuid].group]
    if group.mode is Mode.ACTIVE_STANDBY:
        raise PlacementError(
            f"group {group.name} is a pair of an active and a standby engine: both have each of its VIPs",
            remedy="switchover serviceengine",
        )
    before = situation.places.get(uuid, Place())
    if not before.members:
        raise PlacementError(f"VIP {uuid} is on no engine")
    return group, before


def _engine(situation: Situation, name: str) -> Engine:
    if name not in situation.engines:
        raise PlacementError(f"there is no engine {name}", remedy=f"one of {', '.join(sorted(situation.engines))}")
    return situation.engines[name]


def _check_has(uuid: str, before: Place, engine: str) -> None:
    if engine not in before.engines:
        raise PlacementError(f"VIP {uuid} is not on engine {engine}", remedy=f"one of {', '.join(before.engines)}")


def _requested(situation: Situation, uuid: str, name: str) -> Member:
    """The engine that an operator named, if the VIP may go there."""
    engine, vip = _engine(situation, name), situation.vips[uuid]
    group, before = situation.groups[vip.group], situation.places.get(uuid, Place())
    if engine.group != group.name:
        raise PlacementError(f"engine {name} is of group {engine.group}, not of {group.name}")
    if name in before.engines:
        raise PlacementError(f"VIP {uuid} is on engine {name} already")
    of_group = [one for one in situation.engines.values() if one.group == group.name]
    used = room.used(situation)[name]
    why = placing.unfit(group, engine, Open(vip, before), used, placing.beside(of_group, vip))
    if why:
        raise PlacementError(f"engine {name} is {why}")
    return Member(name, situation.now, Cause.REQUESTED)


def _chosen(situation: Situation, uuid: str, place: Place) -> Member:
    """The engine that placement would add to a place."""
    vip = situation.vips[uuid]
    group = situation.groups[vip.group]
    roomy = replace(group, max_scaleout=max(group.most, place.wanted))
    inner = replace(situation, groups={**situation.groups, group.name: roomy}, places={**situation.places, uuid: place})
    decision = placing.place(inner)[uuid]
    found = [member for member in decision.place.members if member.engine not in place.engines]
    if not found:
        raise PlacementError(f"VIP {uuid}: {decision.lacking}")
    return found[0]


def _left(situation: Situation, before: Place, engine: str) -> tuple[Leaver, ...]:
    """The engines that a VIP leaves, with one more."""
    others = [leaver for leaver in before.leavers if leaver.engine != engine]
    return tuple(sorted([*others, Leaver(engine, situation.now)], key=lambda leaver: leaver.engine))
