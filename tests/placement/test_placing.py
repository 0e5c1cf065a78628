"""Engines that are disabled, lost or come back, and pairs: what becomes of their VIPs, step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dataplane.placement import placing, room
from dataplane.placement.model import (
    Cause,
    Enabled,
    Engine,
    Group,
    Leaver,
    Mode,
    Place,
    Presence,
    Situation,
    Vip,
    announcers,
)

from .groups import GROUP, announcing, applied, changed, regrouped, settled, situation

PAIR = Group(GROUP, Mode.ACTIVE_STANDBY)


def engines(there: Situation) -> dict[str, str]:
    """By VIP, its engines in order."""
    return {uuid: "".join(place.engines) for uuid, place in sorted(there.places.items())}


def leavers(there: Situation, uuid: str = "v00") -> tuple[Leaver, ...]:
    return there.places[uuid].leavers


def other(name: str) -> str:
    return "b" if name == "a" else "a"


def test_an_engine_disabled_for_placement_keeps_what_it_has_and_gets_nothing() -> None:
    there = settled(situation(Group(GROUP), 2, 1))
    (name,) = there.places["v00"].engines
    there = changed(there, name, enabled=Enabled.NOT_FOR_NEW)
    there = settled(replace(there, vips={**there.vips, "w": Vip("w", GROUP)}))
    assert engines(there) == {"v00": name, "w": other(name)}
    assert not placing.is_leaving(there, name)


def test_a_disabled_engine_announces_until_another_does_and_forwards_for_a_while() -> None:
    there = settled(situation(Group(GROUP), 2, 1, routed=True))
    (name,) = there.places["v00"].engines
    there = changed(there, name, enabled=Enabled.DISABLED)
    told = replace(there, places={"v00": placing.place(there)["v00"].place})
    assert engines(told) == {"v00": other(name)}
    assert leavers(told) == (Leaver(name, there.now),)
    assert announcers(told.vips["v00"], told.groups[GROUP], told.places["v00"]) == (other(name), name)
    assert placing.changes(told, placing.place(told)) == {}, "the other one does not announce it yet"
    followed = applied(announcing(replace(told, now=told.now + 1)))
    assert leavers(followed) == (Leaver(name, told.now, told.now + 1),)
    assert announcers(told.vips["v00"], told.groups[GROUP], followed.places["v00"]) == (other(name),)
    assert placing.is_leaving(followed, name)
    drained = applied(replace(followed, now=followed.now + 29.9))
    assert leavers(drained)
    drained = applied(replace(drained, now=drained.now + 0.1))
    assert not leavers(drained)
    assert not placing.is_leaving(drained, name)


def test_an_engine_that_answers_arp_withdraws_as_soon_as_another_has_the_vip() -> None:
    there = settled(situation(Group(GROUP), 2, 1))
    (name,) = there.places["v00"].engines
    there = applied(changed(there, name, enabled=Enabled.DISABLED))
    assert leavers(there) == (Leaver(name, there.now, there.now),)


@pytest.mark.parametrize("routed", [True, False])
def test_the_only_engine_announces_on_when_it_is_disabled_and_not_when_that_is_forced(routed: bool) -> None:
    there = settled(situation(Group(GROUP), 1, 1, routed=routed))
    disabled = settled(changed(there, "a", enabled=Enabled.DISABLED))
    decision = placing.place(disabled)["v00"]
    assert announcers(disabled.vips["v00"], disabled.groups[GROUP], decision.place) == ("a",)
    assert decision.is_placed
    assert decision.lacking == "it has 0 of 1 engines of group g: a is disabled"
    assert placing.is_leaving(disabled, "a")
    back = settled(changed(disabled, "a", enabled=Enabled.ENABLED))
    assert back.places["v00"].members[0].cause is Cause.STILL_THERE
    assert not leavers(back)
    forced = changed(disabled, "a", enabled=Enabled.FORCED)
    assert leavers(applied(forced)) == (Leaver("a", there.now, disabled.now),)
    assert not placing.place(settled(forced))["v00"].is_placed


def test_a_vip_that_is_down_everywhere_keeps_no_engine_from_being_disabled() -> None:
    there = settled(situation(Group(GROUP), 2, 1, routed=True))
    (name,) = there.places["v00"].engines
    there = replace(changed(there, name, enabled=Enabled.DISABLED), announced={"a": frozenset(), "b": frozenset()})
    there = replace(there, places={"v00": placing.place(there)["v00"].place}, now=there.now + 59.9)
    assert placing.place(there)["v00"].place.leavers[0].withdrawn is None
    there = replace(there, now=there.now + 0.1)
    assert placing.place(there)["v00"].place.leavers[0].withdrawn == there.now


def test_an_engine_that_etcd_has_lost_announces_until_another_does_and_one_that_is_dead_is_gone() -> None:
    there = settled(situation(Group(GROUP), 2, 1, routed=True))
    (name,) = there.places["v00"].engines
    cut = changed(there, name, presence=Presence.CUT)
    decision = placing.place(cut)["v00"]
    assert (decision.place.engines, decision.place.leavers) == ((other(name),), (Leaver(name, there.now),))
    dead = placing.place(changed(there, name, presence=Presence.DEAD))["v00"]
    assert (dead.place.engines, dead.place.leavers) == ((other(name),), ())
    suspect = changed(there, name, presence=Presence.SUSPECT)
    assert placing.changes(suspect, placing.place(suspect)) == {}


def test_the_engines_of_an_active_active_group_all_announce_where_routers_are_told() -> None:
    group = Group(GROUP, Mode.ACTIVE_ACTIVE, max_scaleout=2)
    for routed, count in ((True, 2), (False, 1)):
        there = settled(situation(group, 3, 1, routed=routed))
        place = there.places["v00"]
        assert len(place.engines) == 2
        assert announcers(there.vips["v00"], group, place) == place.engines[:count]
        dead = applied(changed(there, place.engines[0], presence=Presence.DEAD))
        first = dead.places["v00"].members[0]
        assert (first.engine, first.cause) == (place.engines[1], Cause.FAILOVER)
        assert len(dead.places["v00"].engines) == 2
        back = applied(changed(dead, place.engines[0], presence=Presence.UP))
        assert back.places == dead.places, "who comes back gets nothing back"


def test_every_vip_has_its_first_engine_before_one_has_its_second() -> None:
    there = settled(situation(Group(GROUP, Mode.ACTIVE_ACTIVE, max_vips=2), 2, 3))
    assert sorted(map(len, engines(there).values())) == [1, 1, 2]


def test_a_new_vip_has_its_first_engine_before_an_older_one_has_its_second() -> None:
    there = settled(situation(Group(GROUP, Mode.ACTIVE_ACTIVE, max_vips=1), 1, 1))
    there = replace(
        there, engines={**there.engines, "b": Engine("b", GROUP)}, vips={**there.vips, "w": Vip("w", GROUP)}
    )
    assert engines(settled(there)) == {"v00": "a", "w": "b"}


def test_what_lost_its_engine_is_placed_before_what_is_new() -> None:
    there = settled(situation(Group(GROUP, max_vips=1), 2, 1))
    (name,) = there.places["v00"].engines
    there = changed(there, name, presence=Presence.DEAD)
    there = settled(replace(there, vips={"new": Vip("new", GROUP), **there.vips}))
    assert engines(there) == {"new": "", "v00": other(name)}


def test_when_something_is_placed_does_not_matter() -> None:
    there = situation(Group(GROUP), 5, 20)
    assert engines(applied(there)) == engines(applied(replace(there, now=there.now + 1)))


def test_a_full_group_leaves_a_vip_unplaced_and_places_what_was_there_first() -> None:
    there = settled(situation(Group(GROUP, max_vips=2), 2, 4))
    there = replace(there, vips={**there.vips, "a-first-by-name": Vip("a-first-by-name", GROUP)})
    decision = placing.place(there)["a-first-by-name"]
    assert not decision.is_placed
    assert decision.lacking == "it has 0 of 1 engines of group g: a is full with 2 VIPs, b is full with 2 VIPs"
    after = settled(regrouped(there, max_vips=1))
    assert room.used(after) == {"a": 2, "b": 2}, "a lower limit takes nothing away"
    assert room.used(changed(after, "a", group="h")) == {"b": 2}


def test_engines_that_can_answer_arp_come_first() -> None:
    there = situation(Group(GROUP), 3, 4, addresses=("10.0.0.9",))
    there = changed(there, "b", networks=("192.0.2.0/24", "10.0.0.0/24"))
    assert set(engines(settled(there)).values()) == {"b"}
    lost = settled(changed(settled(there), "b", presence=Presence.DEAD))
    assert placing.place(lost)["v00"].lacking == (
        "it has 0 of 1 engines of group g: a is not on its segment, b is dead, c is not on its segment"
    )
    assert settled(changed(there, "b", networks=())).places["v00"].engines, "a static route leads to any of them"
    routed = replace(there, vips={uuid: replace(vip, routed=True) for uuid, vip in there.vips.items()})
    assert set(engines(settled(changed(routed, "b", enabled=Enabled.DISABLED))).values()) <= {"a", "c"}


def test_fewer_than_the_spare_engines_room_is_told() -> None:
    there = settled(situation(Group(GROUP), 2, 10))
    assert room.short_of_spare(there, GROUP) == ""
    there = settled(situation(Group(GROUP), 2, 11))
    assert room.short_of_spare(there, GROUP) == (
        "group g has room for 9 more VIPs on 2 engines, and buffer_se 1 wants room for 10"
    )
    assert room.short_of_spare(regrouped(there, mode=Mode.ACTIVE_ACTIVE), GROUP) == ""


def tagged(group: Group) -> Situation:
    """A pair with a VIP of each tag."""
    there = situation(group, 2, 2)
    return settled(replace(there, vips={"v00": Vip("v00", GROUP, tag=1), "v01": Vip("v01", GROUP, tag=2)}))


def test_a_pair_is_active_on_one_engine_and_stays_where_it_went() -> None:
    there = settled(situation(PAIR, 2, 3))
    assert set(engines(there).values()) == {"ab"}
    there = settled(changed(there, "a", presence=Presence.DEAD))
    assert set(engines(there).values()) == {"b"}
    assert there.places["v00"].members[0].cause is Cause.FAILOVER
    assert placing.place(there)["v00"].lacking == "it has 1 of 2 engines of group g: a is dead"
    there = changed(there, "a", presence=Presence.UP)
    there = settled(replace(there, vips={**there.vips, "w": Vip("w", GROUP)}))
    assert set(engines(there).values()) == {"ba"}, "a new one, too, is where the others are"


@pytest.mark.parametrize(
    ("is_", "words"),
    [
        ({"enabled": Enabled.NOT_FOR_NEW}, "disabled for placement"),
        ({"enabled": Enabled.DISABLED}, "disabled"),
        ({"presence": Presence.CUT}, "cut from etcd"),
    ],
)
def test_a_pair_says_why_its_other_engine_is_no_standby(is_: dict[str, Any], words: str) -> None:
    there = settled(changed(situation(PAIR, 2, 1), "b", **is_))
    assert placing.place(there)["v00"].lacking == f"it has 1 of 2 engines of group g: b is {words}"


def test_a_pair_is_distributed_by_tags_and_goes_back_only_where_that_is_wanted() -> None:
    for redistributed in (False, True):
        there = tagged(replace(PAIR, distributed=True, redistributed=redistributed))
        assert engines(there) == {"v00": "ab", "v01": "ba"}
        assert there.places["v01"].members[0].cause is Cause.TAG
        there = settled(changed(there, "b", presence=Presence.DEAD))
        assert engines(there) == {"v00": "a", "v01": "a"}
        there = settled(changed(there, "b", presence=Presence.UP))
        assert engines(there) == {"v00": "ab", "v01": "ba" if redistributed else "ab"}


def test_a_pair_that_goes_back_announces_at_both_until_the_one_of_the_tag_does() -> None:
    there = tagged(replace(PAIR, distributed=True, redistributed=True))
    there = replace(there, vips={uuid: replace(vip, routed=True) for uuid, vip in there.vips.items()})
    there = announcing(settled(changed(there, "b", presence=Presence.DEAD)))
    there = changed(there, "b", presence=Presence.UP)
    there = replace(there, places={uuid: one.place for uuid, one in placing.place(there).items()})
    assert announcers(there.vips["v01"], there.groups[GROUP], there.places["v01"]) == ("b", "a")
    there = applied(announcing(there))
    assert announcers(there.vips["v01"], there.groups[GROUP], there.places["v01"]) == ("b",)
    assert leavers(there, "v01") == ()
    assert engines(there)["v01"] == "ba"


def test_a_standby_that_is_disabled_for_placement_keeps_what_it_has() -> None:
    there = changed(settled(situation(PAIR, 2, 1)), "b", enabled=Enabled.NOT_FOR_NEW)
    there = settled(replace(there, vips={**there.vips, "w": Vip("w", GROUP)}))
    assert engines(there) == {"v00": "ab", "w": "a"}


def test_a_third_engine_of_a_pair_gets_nothing() -> None:
    there = settled(situation(PAIR, 3, 2))
    assert set(engines(there).values()) == {"ab"}
    before = settled(replace(there, engines={name: there.engines[name] for name in "bc"}))
    there = settled(replace(before, engines={"a": Engine("a", GROUP), **before.engines}))
    assert set(engines(there).values()) == {"bc"}, "those that have VIPs stay the pair"


def test_a_place_of_nothing_is_no_engines() -> None:
    assert announcers(Vip("v", GROUP), Group(GROUP), Place()) == ()
