"""Pairs of an active and a standby engine (`HA_MODE_LEGACY_ACTIVE_STANDBY`).

Both engines have every VIP of their group; the first engine of a place is active. Either one engine is active for all
VIPs, or each VIP's tag says which one is. One engine may have to serve all of them alone, so a pair has as much room as
one engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dataplane.placement.model import Cause, Engine, Group, Leaver, Member
from dataplane.placement.opening import Open
from dataplane.wording import counted


def decide(group: Group, engines: Sequence[Engine], opened: Sequence[Open], now: float) -> None:
    """Decide the members of all VIPs of a group, in place. opened: sorted, VIPs that have an engine already first."""
    two = pair(engines, opened)
    names = [engine.name for engine in two]
    for one in opened:
        one.leavers.update((name, Leaver(name, now)) for name in one.names if name not in names)
        one.members = [member for member in one.members if member.engine in names]
    active = Counter(one.members[0].engine for one in opened if one.members)
    for one in opened:
        if one.members:
            _send_home(group, two, one, now)
        elif active.total() < group.max_vips:
            first = _first(group, two, one, active, now)
            if first is not None:
                one.members.append(first)
                active[first.engine] += 1
        if len(one.members) == 1:
            # an engine that keeps VIPs but takes none may keep its place
            had = one.before.engines
            one.members += [
                Member(engine.name, now, Cause.STANDBY)
                for engine in two
                if engine.name not in one.names and (engine.takes or (engine.keeps and engine.name in had))
            ]
        if len(one.members) < group.most:
            full = not one.members and active.total() >= group.max_vips
            room = f"full: a pair has room for {counted(group.max_vips, 'VIP')}"
            why = {e.name: room if full else e.bars for e in two if e.name not in one.names}
            one.lack(group, group.most, why)


def pair(engines: Sequence[Engine], opened: Sequence[Open]) -> list[Engine]:
    """The engines SE_1 and SE_2 of a group, in the order of their names. Of more than two, those with VIPs come
    first."""
    if len(engines) > 2:
        held = {name for one in opened for name in one.before.engines}
        engines = sorted(engines, key=lambda engine: (engine.name not in held, engine.name))[:2]
    return sorted(engines, key=lambda engine: engine.name)


def home(two: Sequence[Engine], one: Open) -> Engine | None:
    """The engine that a VIP's tag names; None: there is none."""
    return two[one.vip.tag - 1] if 0 < one.vip.tag <= len(two) else None


def _first(group: Group, two: Sequence[Engine], one: Open, active: Counter[str], now: float) -> Member | None:
    """The active engine of a VIP that has none."""
    free = [engine for engine in two if engine.takes]
    if not free:
        return None
    if not group.distributed:
        chosen = max(free, key=lambda engine: active[engine.name])
        return Member(chosen.name, now, Cause.ACTIVE, active[chosen.name], len(free))
    tagged = home(two, one)
    if tagged in free:
        return Member(tagged.name, now, Cause.TAG, active[tagged.name], len(free))
    return Member(free[0].name, now, Cause.FAILOVER, active[free[0].name], len(free))


def _send_home(group: Group, two: Sequence[Engine], one: Open, now: float) -> None:
    """Make the engine of its tag active again, unless an operator chose the other one."""
    tagged, first = home(two, one), one.members[0]
    if not (group.distributed and group.redistributed) or tagged is None or first.cause is Cause.REQUESTED:
        return
    if tagged.takes and tagged.name != first.engine:
        swap(one, Member(tagged.name, now, Cause.TAG), now)


def swap(one: Open, active: Member, now: float) -> None:
    """Make an engine the active one; the other goes on announcing until it does."""
    other = one.members[0].engine
    one.members = [active, Member(other, now, Cause.STANDBY)]
    one.leavers[other] = Leaver(other, now)
