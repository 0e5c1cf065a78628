"""What operators ask of placement: it is done and stays, or is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import PlacementError
from dataplane.placement import placing, requests, room
from dataplane.placement.model import Cause, Enabled, Engine, Group, Leaver, Mode, Place, Presence, Situation, Vip

from .groups import GROUP, changed, settled, situation, situations

THREE = settled(situation(Group(GROUP, max_scaleout=2), 3, 1))
HOME = THREE.places["v00"].engines[0]
OTHER, THIRD = sorted(set("abc") - {HOME})
PAIR = settled(situation(Group(GROUP, Mode.ACTIVE_STANDBY), 2, 2))


def after(there: Situation, place: Place) -> Situation:
    return settled(replace(there, places={**there.places, "v00": place}))


def test_a_vip_is_scaled_out_and_in_and_stays_so() -> None:
    wide = after(THREE, requests.scale_out(THREE, "v00"))
    assert len(wide.places["v00"].engines) == 2
    lost = settled(changed(wide, wide.places["v00"].engines[1], presence=Presence.DEAD))
    assert len(lost.places["v00"].engines) == 2, "what was asked for is filled up"
    narrow = after(wide, requests.scale_in(wide, "v00"))
    assert narrow.places["v00"].engines == (HOME,)
    named = after(THREE, requests.scale_out(THREE, "v00", THIRD))
    assert named.places["v00"].engines == (HOME, THIRD)
    assert named.places["v00"].members[1].cause is Cause.REQUESTED
    place = requests.scale_in(named, "v00", HOME)
    assert place.leavers == (Leaver(HOME, named.now),)
    assert after(named, place).places["v00"].engines == (THIRD,)


@pytest.mark.parametrize("target", ["", THIRD])
def test_a_vip_migrates_and_stays_there(target: str) -> None:
    place = requests.migrate(THREE, "v00", HOME, target)
    assert place.engines[0] in ((target,) if target else (OTHER, THIRD))
    assert place.members[0].cause is Cause.REQUESTED
    assert place.leavers == (Leaver(HOME, THREE.now),)
    there = after(THREE, place)
    assert there.places["v00"].engines == place.engines
    back = requests.migrate(replace(there, places={"v00": place}), "v00", place.engines[0], HOME)
    assert back.engines == (HOME,)
    assert back.leavers == (Leaver(place.engines[0], there.now),)
    wide = requests.scale_out(replace(there, places={"v00": place}), "v00", HOME)
    assert wide.engines == (*place.engines, HOME)
    assert wide.leavers == ()


def test_a_pair_is_switched_over_and_goes_back_by_a_failover_alone() -> None:
    group = Group(GROUP, Mode.ACTIVE_STANDBY, distributed=True, redistributed=True)
    there = settled(replace(PAIR, groups={GROUP: group}))
    there = settled(replace(there, places={**there.places, **requests.switch_over(there, "a")}))
    assert {place.engines for place in there.places.values()} == {("b", "a")}
    assert {place.members[0].cause for place in there.places.values()} == {Cause.REQUESTED}
    there = settled(changed(there, "b", presence=Presence.DEAD))
    there = settled(changed(there, "b", presence=Presence.UP))
    assert {place.engines for place in there.places.values()} == {("a", "b")}


def full(there: Situation) -> Situation:
    return replace(there, groups={GROUP: replace(there.groups[GROUP], max_vips=1)})


def with_second(there: Situation) -> Situation:
    return after(there, requests.scale_out(there, "v00"))


STRANGER = replace(THREE, engines={**THREE.engines, "x": Engine("x", "h")})
CROWDED = settled(full(situation(Group(GROUP), 2, 2)))


@pytest.mark.parametrize(
    ("request_", "words", "remedy"),
    [
        (lambda: requests.scale_out(with_second(THREE), "v00"), "2 engines, and group g allows no more", "max_scale"),
        (lambda: requests.scale_out(PAIR, "v00"), "a pair of an active and a standby", "switchover serviceengine"),
        (lambda: requests.scale_out(CROWDED, "v00"), "VIP v00: it has 1 of 2 engines of group g: . is", ""),
        (lambda: requests.scale_out(THREE, "v00", HOME), f"VIP v00 is on engine {HOME} already", ""),
        (lambda: requests.scale_out(THREE, "v00", "z"), "there is no engine z", "one of a, b, c"),
        (lambda: requests.scale_out(STRANGER, "v00", "x"), "engine x is of group h, not of g", ""),
        (
            lambda: requests.scale_out(changed(THREE, OTHER, enabled=Enabled.NOT_FOR_NEW), "v00", OTHER),
            f"engine {OTHER} is disabled for placement",
            "",
        ),
        (lambda: requests.scale_in(THREE, "v00"), "VIP v00 has 1 engine, and group g needs at least 1", "migrate"),
        (
            lambda: requests.scale_in(with_second(THREE), "v00", "z"),
            "VIP v00 is not on engine z",
            "one of ",
        ),
        (lambda: requests.migrate(THREE, "v00", OTHER), f"VIP v00 is not on engine {OTHER}", f"one of {HOME}"),
        (
            lambda: requests.migrate(changed(THREE, OTHER, presence=Presence.DEAD), "v00", HOME, OTHER),
            f"engine {OTHER} is dead",
            "",
        ),
        (
            lambda: requests.migrate(replace(THREE, places={}), "v00", HOME),
            "VIP v00 is on no engine",
            "",
        ),
        (lambda: requests.switch_over(THREE, HOME), "HA_MODE_SHARED: it has no standby", "migrate"),
        (lambda: requests.switch_over(PAIR, "b"), "engine b is active for no VIP", ""),
        (
            lambda: requests.switch_over(settled(changed(PAIR, "b", presence=Presence.DEAD)), "a"),
            "engine a has no standby that is up and enabled",
            "",
        ),
    ],
)
def test_what_is_not_possible_is_refused_in_words(request_: Callable[[], Any], words: str, remedy: str) -> None:
    with pytest.raises(PlacementError, match=words) as refusal:
        request_()
    assert remedy in refusal.value.remedy
    assert bool(remedy) == bool(refusal.value.remedy)


@given(situations(), st.sampled_from(["out", "in", "migrate"]), st.data())
def test_what_is_granted_is_kept_and_moves_nothing_else(there: Situation, what: str, data: st.DataObject) -> None:
    there = settled(there)
    if not there.vips:
        return
    uuid = data.draw(st.sampled_from(sorted(there.vips)))
    name = data.draw(st.sampled_from(["", *"abcde"]))
    before = there.places[uuid]
    try:
        if what == "out":
            place = requests.scale_out(there, uuid, name)
            assert place.engines[:-1] == before.engines
        elif what == "in":
            place = requests.scale_in(there, uuid, name)
            assert len(place.engines) == len(before.engines) - 1
        else:
            place = requests.migrate(there, uuid, before.engines[0] if before.engines else "a", name)
            assert place.engines[1:] == before.engines[1:]
            assert place.engines[:1] != before.engines[:1]
    except PlacementError:
        return
    assert not {leaver.engine for leaver in place.leavers}.intersection(place.engines)
    asked = replace(there, places={**there.places, uuid: place})
    decisions = placing.place(asked)
    assert decisions[uuid].place.engines == place.engines
    used = room.used(asked)
    assert all(used[one] <= there.groups[GROUP].max_vips for one in set(place.engines) - set(before.engines))
    for other, decision in decisions.items():
        assert (
            other == uuid or decision.place.engines[: len(there.places[other].engines)] == there.places[other].engines
        )


def test_a_switch_over_leaves_other_groups_alone() -> None:
    there = replace(
        PAIR,
        groups={**PAIR.groups, "h": Group("h")},
        vips={**PAIR.vips, "x": Vip("x", "h")},
        engines={**PAIR.engines, "h1": Engine("h1", "h")},
    )
    assert set(requests.switch_over(settled(there), "a")) == {"v00", "v01"}
