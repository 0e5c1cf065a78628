"""Situations for placement: made by hand, made at random, and what befalls them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from dataplane.placement import placing
from dataplane.placement.model import (
    Algorithm,
    Enabled,
    Engine,
    Group,
    Mode,
    Place,
    Presence,
    Situation,
    Vip,
    announcers,
)

GROUP = "g"


def situation(group: Group, engines: int, vips: int, **vip: Any) -> Situation:
    """A group `g` of engines a, b, c … and VIPs v00, v01 …, nothing placed yet."""
    names = "abcdefghij"[:engines]
    return Situation(
        groups={GROUP: group},
        engines={name: Engine(name, GROUP) for name in names},
        vips={f"v{n:02}": Vip(f"v{n:02}", GROUP, **vip) for n in range(vips)},
        now=1000.0,
    )


def applied(before: Situation, later: float = 0.0) -> Situation:
    """As the placer leaves it: every place is as decided, and every engine that is there has followed."""
    decisions = placing.place(before)
    places = {uuid: one.place for uuid, one in decisions.items()}
    return announcing(replace(before, places=places, now=before.now + later))


def announcing(there: Situation) -> Situation:
    """Every engine that is up says that it announces what it is to; one that etcd has lost says nothing."""
    told: dict[str, set[str]] = {
        one.name: set() for one in there.engines.values() if one.presence in (Presence.UP, Presence.SUSPECT)
    }
    for uuid, vip in there.vips.items():
        for name in announcers(vip, there.groups[vip.group], there.places.get(uuid, Place())):
            if name in told:
                told[name].add(uuid)
    return replace(there, announced={name: frozenset(uuids) for name, uuids in told.items()})


def settled(before: Situation) -> Situation:
    """As it is when nothing changes any more."""
    for _ in range(10):
        after = applied(before, 100.0)
        if after.places == before.places:
            return after
        before = after
    raise AssertionError("placement does not come to rest")


def changed(there: Situation, engine: str, **fields: Any) -> Situation:
    """With other fields of an engine."""
    return replace(there, engines={**there.engines, engine: replace(there.engines[engine], **fields)})


def regrouped(there: Situation, **fields: Any) -> Situation:
    """With other fields of the group."""
    return replace(there, groups={GROUP: replace(there.groups[GROUP], **fields)})


@st.composite
def groups(draw: st.DrawFn, modes: tuple[Mode, ...] = tuple(Mode)) -> Group:
    """A group of any kind, as the rules of the configuration allow it."""
    fewest = draw(st.integers(1, 3))
    return Group(
        GROUP,
        mode=draw(st.sampled_from(modes)),
        algorithm=draw(st.sampled_from(Algorithm)),
        min_scaleout=fewest,
        max_scaleout=draw(st.integers(max(2, fewest), 5)),
        max_vips=draw(st.integers(1, 6)),
        distributed=draw(st.booleans()),
        redistributed=draw(st.booleans()),
    )


@st.composite
def situations(draw: st.DrawFn, modes: tuple[Mode, ...] = tuple(Mode)) -> Situation:
    """A group with engines in any state and VIPs that are not yet placed."""
    group = draw(groups(modes))
    names = "ab" if group.mode is Mode.ACTIVE_STANDBY else "abcde"[: draw(st.integers(0, 5))]
    engines = {
        name: Engine(
            name,
            GROUP,
            draw(st.sampled_from([Presence.UP, Presence.UP, *Presence])),
            draw(st.sampled_from([Enabled.ENABLED, Enabled.ENABLED, *Enabled])),
            draw(st.sampled_from([("10.0.0.0/24",), ("10.0.0.0/24", "10.0.1.0/24"), ()])),
        )
        for name in names
    }
    vips = {
        f"v{n:02}": Vip(
            f"v{n:02}",
            GROUP,
            (draw(st.sampled_from(["10.0.0.9", "10.0.1.9", "192.0.2.1"])),),
            routed=draw(st.booleans()),
            tag=draw(st.integers(1, 2)),
        )
        for n in range(draw(st.integers(0, 8)))
    }
    return Situation({GROUP: group}, engines, vips, now=1000.0)


EVENTS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.one_of(st.sampled_from(Presence), st.sampled_from(Enabled))),
    min_size=1,
    max_size=8,
)
"""What befalls engines, one after the other."""


def befallen(there: Situation, event: tuple[str, Presence | Enabled]) -> Situation:
    """A situation after an event; that of an engine which is not there changes nothing."""
    name, what = event
    if name not in there.engines:
        return there
    after = changed(there, name, presence=what) if isinstance(what, Presence) else changed(there, name, enabled=what)
    if after.engines[name].presence is Presence.UP:
        return after
    return replace(after, announced={one: told for one, told in after.announced.items() if one != name})
