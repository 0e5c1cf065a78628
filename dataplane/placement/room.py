"""How much room engines have for VIPs, and why each of a VIP's engines has it, in words."""

from __future__ import annotations

from collections import Counter

from dataplane.placement.model import Cause, Group, Member, Mode, Situation
from dataplane.wording import counted


def used(situation: Situation) -> Counter[str]:
    """How many VIPs each engine has. VIPs that leave it do not count."""
    found: Counter[str] = Counter()
    for uuid, vip in situation.vips.items():
        place = situation.places.get(uuid)
        for name in place.engines if place else ():
            engine = situation.engines.get(name)
            if engine is not None and engine.group == vip.group:
                found[name] += 1
    return found


def short_of_spare(situation: Situation, name: str) -> str:
    """A warning for a group whose spare room is less than `buffer_se` engines hold; "" if there is enough, and in modes
    where spare room does not matter."""
    group = situation.groups[name]
    if group.mode is not Mode.N_PLUS_M:
        return ""
    count, wanted = used(situation), group.spare * group.max_vips
    taking = [engine.name for engine in situation.engines.values() if engine.group == name and engine.takes]
    free = sum(max(0, group.max_vips - count[one]) for one in taking)
    if free >= wanted:
        return ""
    return (
        f"group {name} has room for {counted(free, 'more VIP')} on {counted(len(taking), 'engine')}, and buffer_se "
        f"{group.spare} wants room for {wanted}"
    )


def why(group: Group, member: Member) -> str:
    """Why an engine has a VIP, in words."""
    return {
        Cause.EMPTIEST: _first_of(member.among, f"fewest VIPs: {member.had}"),
        Cause.FULLEST: _first_of(member.among, f"most VIPs: {member.had} of at most {group.max_vips}"),
        Cause.STILL_THERE: "it had not yet withdrawn it",
        Cause.ACTIVE: "it is the active engine of the pair",
        Cause.TAG: "its active_standby_se_tag names this engine",
        Cause.STANDBY: "it is the standby of the pair",
        Cause.FAILOVER: "it was the next when the first engine left it",
        Cause.REQUESTED: "an operator asked for it",
    }[member.cause]


def _first_of(among: int, had: str) -> str:
    if among == 1:
        return "it was the only engine left with room for it"
    return f"of the {among} engines with room for it, this one had the {had}"
