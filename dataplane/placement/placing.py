"""Decides which engines have which VIPs: a situation in, a decision for every VIP out.

An engine keeps its VIPs as long as it may. A VIP that lacks engines gets the emptiest one if VIPs are distributed, else
the fullest one that has room; among equals the one with the highest hash of its name and the VIP (rendezvous hashing,
Thaler and Ravishankar 1998). So equal situations have equal decisions, and when an engine goes, only its own VIPs move.
Pairs are decided by `pairs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network

from dataplane.placement import pairs
from dataplane.placement.model import (
    Algorithm,
    Cause,
    Decision,
    Enabled,
    Engine,
    Group,
    Leaver,
    Member,
    Mode,
    Place,
    Presence,
    Situation,
    Vip,
)
from dataplane.placement.opening import Open
from dataplane.wording import counted


def place(situation: Situation) -> dict[str, Decision]:
    """Decide about every VIP. Returns decisions by uuid; a place that does not change is returned as it was."""
    found: dict[str, Decision] = {}
    engines: dict[str, list[Engine]] = {}
    for _, engine in sorted(situation.engines.items()):
        engines.setdefault(engine.group, []).append(engine)
    opened: dict[str, list[Open]] = {}
    for _, vip in sorted(situation.vips.items()):
        opened.setdefault(vip.group, []).append(_kept(situation, vip))
    for name, of_group in opened.items():
        group, there = situation.groups[name], engines.get(name, [])
        of_group.sort(key=lambda one: not (one.before.members or one.before.leavers))  # new ones come last
        if group.mode is Mode.ACTIVE_STANDBY:
            pairs.decide(group, there, of_group, situation.now)
        else:
            _fill(group, there, of_group, situation.now)
        for one in of_group:
            after = Place(tuple(one.members), _leavers(situation, group, one), one.before.wanted, one.before.epoch)
            found[one.vip.uuid] = Decision(one.before if after == one.before else after, one.lacking)
    return found


def changes(situation: Situation, decisions: Mapping[str, Decision]) -> dict[str, Place | None]:
    """The places to write, by the VIP's uuid; None: the VIP is gone, so its place is to be removed."""
    changed: dict[str, Place | None] = dict.fromkeys(sorted(situation.places.keys() - decisions.keys()))
    for uuid, decision in decisions.items():
        if decision.place != situation.places.get(uuid, Place()):
            changed[uuid] = decision.place
    return changed


def if_fails(situation: Situation, engine: str) -> dict[str, Decision]:
    """The decisions about every VIP if an engine died now."""
    dead = replace(situation.engines[engine], presence=Presence.DEAD)
    return place(replace(situation, engines={**situation.engines, engine: dead}))


def is_leaving(situation: Situation, engine: str) -> bool:
    """Whether VIPs are still on an engine that is disabled (OPER_DISABLING, else OPER_DISABLED)."""
    disabled = situation.engines[engine].enabled in (Enabled.DISABLED, Enabled.FORCED)
    return disabled and any(
        engine in one.engines or any(leaver.engine == engine for leaver in one.leavers)
        for one in situation.places.values()
    )


def unfit(group: Group, engine: Engine, one: Open, used: int, on_segment: frozenset[str] | None) -> str:
    """Why an engine can't be chosen for a VIP, in words; "" where it can. used: VIPs that it has; on_segment: the
    engines that the VIP's addresses are beside, None where that does not matter."""
    if engine.bars:
        return engine.bars
    if on_segment is not None and engine.name not in on_segment:
        return "not on its segment"
    return f"full with {counted(used, 'VIP')}" if used >= group.max_vips else ""


def rank(engine: str, vip: str) -> bytes:
    """An engine's rank for a VIP among engines that are equal: the highest one is chosen."""
    return blake2b(f"{engine}\0{vip}".encode(), digest_size=8).digest()


def beside(engines: Iterable[Engine], vip: Vip) -> frozenset[str] | None:
    """The engines that can answer ARP for all addresses of a VIP. None: that does not matter, because routers are told,
    or no engine can: routers have a static route then."""
    if vip.routed or not vip.addresses:
        return None
    found = frozenset(engine.name for engine in engines if all(_reaches(engine.networks, a) for a in vip.addresses))
    return found or None


def _reaches(networks: tuple[str, ...], address: str) -> bool:
    wanted = int(IPv4Address(address))
    return any(wanted & mask == base for base, mask in _numbers(networks))


@lru_cache(maxsize=1024)
def _numbers(networks: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    found = [IPv4Network(one, strict=False) for one in networks]
    return tuple((int(one.network_address), int(one.netmask)) for one in found)


def _kept(situation: Situation, vip: Vip) -> Open:
    """Begin a VIP's next place with the engines that keep it and those that leave it."""
    before, now = situation.places.get(vip.uuid, Place()), situation.now
    one = Open(vip, before)
    for leaver in before.leavers:
        if _is_there(situation, vip, leaver.engine):
            one.leavers[leaver.engine] = leaver
    for member in before.members:
        if not _is_there(situation, vip, member.engine):
            continue
        if situation.engines[member.engine].keeps:
            one.members.append(member)
        else:
            one.leavers[member.engine] = Leaver(member.engine, now)
    for member in one.members[situation.groups[vip.group].most :]:
        one.leavers[member.engine] = Leaver(member.engine, now)
    del one.members[situation.groups[vip.group].most :]
    if one.members and one.members[0] != before.members[0]:
        one.members[0] = replace(one.members[0], cause=Cause.FAILOVER, since=now)
    return one


def _is_there(situation: Situation, vip: Vip, name: str) -> bool:
    engine = situation.engines.get(name)
    return engine is not None and engine.group == vip.group and engine.presence is not Presence.DEAD


def _fill(group: Group, engines: list[Engine], opened: list[Open], now: float) -> None:
    """Give VIPs the engines that they lack, in rounds: first every VIP gets its first engine, then its second, and so
    on."""
    used = Counter(member.engine for one in opened for member in one.members)
    lacking = [one for one in opened if len(one.members) < one.target(group)]
    segments = {one.vip.uuid: beside(engines, one.vip) for one in lacking}
    for count in range(max((one.target(group) for one in lacking), default=0)):
        for one in lacking:
            if len(one.members) == count < one.target(group):
                member = _chosen(group, engines, one, used, segments[one.vip.uuid], now)
                if member is not None:
                    one.members.append(member)
                    used[member.engine] += 1
    for one in lacking:
        target, on_segment = one.target(group), segments[one.vip.uuid]
        if len(one.members) < target:
            why = {e.name: unfit(group, e, one, used[e.name], on_segment) for e in engines if e.name not in one.names}
            one.lack(group, target, why)


def _chosen(
    group: Group,
    engines: list[Engine],
    one: Open,
    used: Mapping[str, int],
    on_segment: frozenset[str] | None,
    now: float,
) -> Member | None:
    """Choose a VIP's next engine. None: no engine is fit."""
    fit = [e.name for e in engines if e.name not in one.names and not unfit(group, e, one, used[e.name], on_segment)]
    if not fit:
        return None
    still = [name for name in fit if name in one.leavers and one.leavers[name].withdrawn is None]
    if still:
        name = max(still, key=lambda name: rank(name, one.vip.uuid))
        return Member(name, now, Cause.STILL_THERE, used[name], len(fit))
    if group.algorithm is Algorithm.DISTRIBUTED:
        cause, had = Cause.EMPTIEST, min(used[name] for name in fit)
    else:
        cause, had = Cause.FULLEST, max(used[name] for name in fit)
    equals = [name for name in fit if used[name] == had]
    return Member(max(equals, key=lambda name: rank(name, one.vip.uuid)), now, cause, had, len(fit))


def _leavers(situation: Situation, group: Group, one: Open) -> tuple[Leaver, ...]:
    """The engines that a VIP leaves, with their next step; an engine that has drained it is left out."""
    found = []
    for _, leaver in sorted(one.leavers.items()):
        if leaver.engine in one.names and not one.hands_over(group, leaver.engine):
            continue
        if leaver.withdrawn is None and _may_withdraw(situation, group, one, leaver):
            leaver = replace(leaver, withdrawn=situation.now)
        if leaver.withdrawn is None or (
            leaver.engine not in one.names and situation.now < leaver.withdrawn + group.drain
        ):
            found.append(leaver)
    return tuple(found)


def _may_withdraw(situation: Situation, group: Group, one: Open, leaver: Leaver) -> bool:
    """Whether an engine must stop announcing a VIP: others announce it, or the engine must go in any case."""
    if situation.engines[leaver.engine].enabled is Enabled.FORCED:
        return True
    if not one.members:
        return False
    if not one.vip.routed:
        return True  # one engine alone answers ARP
    following = one.names[:1] if group.mode is Mode.ACTIVE_STANDBY else one.names
    announced = [one.vip.uuid in situation.announced.get(name, ()) for name in following]
    if all(announced):
        return True
    does_not = one.vip.uuid not in situation.announced.get(leaver.engine, (one.vip.uuid,))
    return situation.now >= leaver.since + group.ready and (any(announced) or does_not)
