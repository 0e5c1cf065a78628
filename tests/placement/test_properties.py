"""What holds of placement in every situation."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.placement import placing, room
from dataplane.placement.model import (
    Algorithm,
    Cause,
    Enabled,
    Group,
    Mode,
    Place,
    Presence,
    Situation,
    Vip,
    announcers,
)
from dataplane.placement.opening import Open

from .groups import EVENTS, GROUP, announcing, applied, befallen, changed, regrouped, settled, situation, situations

SHARED = (Mode.ACTIVE_ACTIVE, Mode.N_PLUS_M)


@given(situations(), EVENTS)
def test_what_is_decided_stays_until_something_happens(there: Situation, events: list[Any]) -> None:
    for event in events:
        there = befallen(there, event)
        there = replace(there, places={uuid: one.place for uuid, one in placing.place(there).items()})
        assert placing.changes(there, placing.place(there)) == {}


@given(situations(), EVENTS, st.randoms(use_true_random=False))
def test_equal_situations_have_equal_decisions(there: Situation, events: list[Any], random: Any) -> None:
    def shuffled(told: Any) -> dict[Any, Any]:
        items = list(told.items())
        random.shuffle(items)
        return dict(items)

    for event in events:
        there = befallen(applied(there), event)
        other = replace(
            there, engines=shuffled(there.engines), vips=shuffled(there.vips), places=shuffled(there.places)
        )
        assert placing.place(other) == placing.place(there)


@given(situations(), EVENTS)
def test_an_engine_stays_or_goes_for_a_reason(there: Situation, events: list[Any]) -> None:
    for event in events:
        before = applied(there)
        there = befallen(before, event)
        for uuid, decision in placing.place(there).items():
            for name in before.places[uuid].engines:
                assert there.engines[name].keeps == (name in decision.place.engines)
            for name in set(decision.place.engines) - set(before.places[uuid].engines):
                assert there.engines[name].takes


@given(situations(SHARED), EVENTS)
def test_no_engine_is_given_more_than_it_has_room_for(there: Situation, events: list[Any]) -> None:
    for event in events:
        there = befallen(applied(there), event)
        there = regrouped(there, max_vips=max(1, there.groups[GROUP].max_vips - len(event[0])))
        had = room.used(there)
        count = room.used(replace(there, places={uuid: one.place for uuid, one in placing.place(there).items()}))
        for name in there.engines:
            assert count[name] <= max(had[name], there.groups[GROUP].max_vips)


@given(situations((Mode.ACTIVE_STANDBY,)))
def test_a_pair_has_room_for_as_much_as_one_engine(there: Situation) -> None:
    placed = [one for one in placing.place(there).values() if one.place.members]
    able = any(engine.takes for engine in there.engines.values())
    assert len(placed) == (min(len(there.vips), there.groups[GROUP].max_vips) if able else 0)


@given(situations(SHARED), st.sampled_from("abcde"))
def test_the_death_of_an_engine_moves_what_it_had_and_nothing_else(there: Situation, name: str) -> None:
    there = settled(there)
    if name not in there.engines:
        return
    for uuid, decision in placing.if_fails(there, name).items():
        before = there.places[uuid]
        if name not in before.engines and all(leaver.engine != name for leaver in before.leavers):
            assert decision.place is before
        else:
            others = [one for one in before.engines if one != name]
            assert list(decision.place.engines[: len(others)]) == others, "the next one is the first, in order"


@given(situations(SHARED))
def test_a_vip_lacks_an_engine_only_where_there_is_none_for_it(there: Situation) -> None:
    there = settled(there)
    group, used = there.groups[GROUP], room.used(there)
    for uuid, decision in placing.place(there).items():
        one = Open(there.vips[uuid], decision.place)
        target = one.target(group)
        assert bool(decision.lacking) == (len(decision.place.members) < target)
        others = [engine for engine in there.engines.values() if engine.name not in decision.place.engines]
        for engine in others if decision.lacking else ():
            words = placing.unfit(
                group, engine, one, used[engine.name], placing.beside(there.engines.values(), one.vip)
            )
            assert words
            assert f"{engine.name} is {words}" in decision.lacking


@given(situations(SHARED))
def test_the_reason_that_is_told_is_the_reason(there: Situation) -> None:
    there = replace(settled(there), vips={**there.vips, "w": Vip("w", GROUP, routed=True)})
    group, used = there.groups[GROUP], room.used(there)
    fit = [engine.name for engine in there.engines.values() if engine.takes and used[engine.name] < group.max_vips]
    members = placing.place(there)["w"].place.members
    assert bool(members) == bool(fit)
    for member in members[:1]:
        distributed = group.algorithm is Algorithm.DISTRIBUTED
        counts = [used[name] for name in fit]
        assert (member.cause, member.had, member.among) == (
            (Cause.EMPTIEST, min(counts), len(fit)) if distributed else (Cause.FULLEST, max(counts), len(fit))
        )
        assert used[member.engine] == member.had
        words = room.why(group, member)
        wanted = "the only engine left" if member.among == 1 else "had the fewest" if distributed else "had the most"
        assert wanted in words


@given(situations(), EVENTS)
def test_a_vip_that_routers_know_is_announced_until_another_engine_announces_it(
    there: Situation, events: list[Any]
) -> None:
    """Engines follow one decision late, and those that etcd has lost go on as they are."""
    there = applied(there)
    for event in events:
        there = befallen(there, event)
        places = {uuid: one.place for uuid, one in placing.place(there).items()}
        for uuid, vip in there.vips.items():
            had = {name for name, uuids in there.announced.items() if uuid in uuids}
            stay = {name for name in had if there.engines[name].enabled is not Enabled.FORCED}
            if vip.routed and stay:
                assert stay.intersection(announcers(vip, there.groups[GROUP], places[uuid]))
        there = announcing(replace(there, places=places, now=there.now + 1))


@given(situations(), EVENTS)
def test_one_engine_alone_answers_arp(there: Situation, events: list[Any]) -> None:
    for event in events:
        there = applied(befallen(there, event), 1.0)
        for uuid, vip in there.vips.items():
            assert vip.routed or len(announcers(vip, there.groups[GROUP], there.places[uuid])) <= 1


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_work_grows_with_the_number_of_vips(mode: Mode, algorithm: Algorithm) -> None:
    """Calls are counted, not seconds: of Python and of what is built in."""

    def calls(vips: int) -> int:
        there = situation(Group(GROUP, mode, algorithm, max_vips=vips), 10 if mode in SHARED else 2, vips)
        count = 0

        def counted(frame: FrameType, event: str, arg: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(counted)
        try:
            decisions = placing.place(there)
        finally:
            sys.setprofile(None)
        assert all(one.place.members for one in decisions.values())
        return count

    assert calls(1000) < 4.4 * calls(250)


def test_vips_are_spread_evenly_or_gathered() -> None:
    spread = settled(situation(Group(GROUP, algorithm=Algorithm.DISTRIBUTED), 4, 20))
    assert Counter(one.engines[0] for one in spread.places.values()) == dict.fromkeys("abcd", 5)
    packed = settled(situation(Group(GROUP), 4, 20))
    assert sorted(Counter(one.engines[0] for one in packed.places.values()).values()) == [10, 10]


def test_a_vip_that_is_gone_has_no_place() -> None:
    there = settled(situation(Group(GROUP), 2, 2))
    fewer = replace(there, vips={"v00": there.vips["v00"]})
    assert placing.changes(fewer, placing.place(fewer)) == {"v01": None}
    assert placing.changes(there, placing.place(there)) == {}
    dead = changed(changed(there, "a", presence=Presence.DEAD), "b", presence=Presence.DEAD)
    assert set(placing.changes(dead, placing.place(dead)).values()) == {Place()}
