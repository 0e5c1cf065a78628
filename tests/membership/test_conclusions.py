"""What follows from what etcd holds: who is there, and what an engine is to do for its VIPs."""

from dataclasses import replace

import pytest

from dataplane import plan
from dataplane.membership import conclusions, situation
from dataplane.membership.conclusions import Known, Role
from dataplane.membership.knowledge import Knowledge
from dataplane.membership.places import Placer
from dataplane.membership.record import EngineRecord
from dataplane.placement.arbitration import LEASE
from dataplane.placement.model import Cause, Enabled, Leaver, Member, Place, Presence
from dataplane.plan.redundancy import Redundancy

UP, SUSPECT, CUT, DEAD = Presence.UP, Presence.SUSPECT, Presence.CUT, Presence.DEAD
SERVICE = plan.Service(
    virtualservice="vs1", uuid="vs-1", tenant="admin", vip="10.0.0.100", protocol="tcp", port=80, port_end=80,
    mode=plan.L2, hash_key=plan.BY_ADDRESS, idle_timeout=300, pool="p1", pool_uuid="p-1", slots=251, seed=7,
)  # fmt: skip
BEFORE = Placer("a", {"a": UP, "b": UP, "c": UP}, dict.fromkeys("abc", "g"))
VIP = bytes([10, 0, 0, 100])


def known(**records: EngineRecord) -> dict[str, Known]:
    return {name: Known(record, number) for number, (name, record) in enumerate(records.items(), 1)}


def record(*silent: str, group: str = "g", **fields: object) -> EngineRecord:
    return replace(EngineRecord("i", "h", group, networks=("10.0.0.0/24",), silent=silent), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("engines", "left", "answering", "found"),
    [
        (known(a=record("c"), b=record("c"), c=record()), [], LEASE, {"a": UP, "b": UP, "c": DEAD}),
        (known(a=record("c"), b=record("c")), [], LEASE, {"a": UP, "b": UP, "c": DEAD}),
        (known(a=record("c"), b=record("c")), [], LEASE - 1, {"a": UP, "b": UP, "c": UP}),
        (known(a=record(), b=record()), [], LEASE, {"a": UP, "b": UP, "c": CUT}),
        (known(a=record(ended=("c",)), b=record()), [], LEASE, {"a": UP, "b": UP, "c": SUSPECT}),
        (known(a=record(), b=record()), ["c"], 0.0, {"a": UP, "b": UP, "c": DEAD}),
        (known(a=record(), b=record(), d=record(group="h")), [], 0.0, {"a": UP, "b": UP, "c": UP, "d": UP}),
        ({}, [], LEASE, {"a": UP, "b": UP, "c": UP}),
    ],
    ids=["silent", "silent, and its lease ended", "after an outage", "cut from etcd", "its process ended",
         "it said that it leaves", "another group", "nobody is registered"],
)  # fmt: skip
def test_who_is_there(engines: dict[str, Known], left: list[str], answering: float, found: dict[str, Presence]) -> None:
    assert conclusions.presences(engines, BEFORE, left, answering) == found


def test_a_dead_engine_is_dead_until_it_registers() -> None:
    before = replace(BEFORE, presences={**BEFORE.presences, "c": DEAD})
    assert conclusions.presences(known(a=record(), b=record()), before, (), LEASE)["c"] is DEAD
    assert conclusions.presences(known(a=record(), b=record(), c=record()), before, (), LEASE)["c"] is UP


def test_a_dead_engine_is_forgotten_when_no_vip_is_to_leave_it() -> None:
    found = {"a": UP, "b": DEAD, "c": DEAD}
    place = Place((Member("b", 0.0, Cause.EMPTIEST),))
    assert conclusions.remembered(found, ["a"], [place]) == {"a", "b"}


def test_the_addresses_of_one_vsvip_are_one_vip() -> None:
    both = [SERVICE, replace(SERVICE, vip="10.0.0.9"), replace(SERVICE, vip="10.0.0.9", uuid="vs-2", port=443)]
    found = situation.vips([*both, replace(SERVICE, uuid="vs-3", vip="10.0.0.200", route=plan.Route(), tag=2)])
    assert found.by_name["10.0.0.9"].addresses == ("10.0.0.9", "10.0.0.100")
    assert (found.by_name["10.0.0.200"].routed, found.by_name["10.0.0.200"].tag) == (True, 2)
    assert found.names == {"10.0.0.9": "10.0.0.9", "10.0.0.100": "10.0.0.9", "10.0.0.200": "10.0.0.200"}


def test_who_takes_vips() -> None:
    common = plan.Common(
        engines={"c": "g"},
        redundancy={"g": Redundancy(with_peers=True)},
        disabled={"a": "SE_STATE_DISABLED_FOR_PLACEMENT"},
    )
    records = {"a": record(), "b": record(peerless=True), "d": record(leaving=True), "e": record()}
    made = situation.situation(common, situation.Vips(), records, dict.fromkeys("abcde", UP), {}, {}, 0.0)
    assert {name: engine.enabled for name, engine in made.engines.items()} == {
        "a": Enabled.NOT_FOR_NEW,
        "b": Enabled.DISABLED,
        "c": Enabled.ENABLED,
        "d": Enabled.DISABLED,
        "e": Enabled.ENABLED,
    }


@pytest.mark.parametrize(
    ("presences", "disabled", "heirs"),
    [
        ({"a": UP}, {}, False),
        ({"a": UP, "b": UP}, {}, True),
        ({"a": UP, "b": SUSPECT}, {}, True),
        ({"a": UP, "b": CUT}, {}, False),
        ({"a": UP, "b": DEAD}, {}, False),
        ({"a": UP, "c": UP}, {}, False),
        ({"a": UP, "b": UP}, {"b": "SE_STATE_DISABLED"}, False),
    ],
    ids=["alone", "two", "not heard by some", "cut from etcd", "dead", "of another group", "disabled"],
)
def test_who_has_the_vips_of_an_engine_that_dies(
    presences: dict[str, Presence], disabled: dict[str, str], heirs: bool
) -> None:
    records = {name: record(group="h" if name == "c" else "g") for name in presences}
    of = Knowledge("a", known(**records), presences=presences, common=plan.Common(disabled=disabled))
    assert of.has_heirs("g") == heirs


class TestRoles:
    """Of engine a."""

    @staticmethod
    def role(place: Place | None, *, routed: bool = False, heard: int = 0, mode: str = "HA_MODE_SHARED") -> Role | None:
        service = replace(SERVICE, group="g", route=plan.Route() if routed else None)
        bgp = {"g": plan.Bgp(1, (plan.Peer("10.0.0.254", 1, 2),))}
        common = plan.Common(bgp=bgp, redundancy={"g": Redundancy(mode)})
        places = {"10.0.0.100": place} if place else {}
        records = {"a": record(), "b": record()}
        made = situation.situation(common, situation.vips([service]), records, {"a": UP, "b": UP}, {}, places, 0.0)
        return conclusions.roles("a", made, "g", {VIP: heard}).get(VIP)

    def test_by_arp_the_first_answers(self) -> None:
        a, b = Member("a", 0.0, Cause.EMPTIEST), Member("b", 0.0, Cause.EMPTIEST)
        assert self.role(Place((a, b), epoch=3)) == Role(answers=True, epoch=3)
        assert self.role(Place((b, a), epoch=3)) == Role(epoch=3)
        assert self.role(None) is None

    def test_by_bgp_all_tell_and_the_first_answers_arp(self) -> None:
        a, b = Member("a", 0.0, Cause.EMPTIEST), Member("b", 0.0, Cause.EMPTIEST)
        assert self.role(Place((b, a), epoch=3), routed=True) == Role(tells=True, epoch=3)
        assert self.role(Place((a, b), epoch=3), routed=True) == Role(answers=True, tells=True, epoch=3)
        pair = "HA_MODE_LEGACY_ACTIVE_STANDBY"
        assert self.role(Place((b, a), epoch=3), routed=True, mode=pair) == Role(epoch=3)

    def test_it_yields_to_a_higher_epoch_alone(self) -> None:
        place = Place((Member("a", 0.0, Cause.EMPTIEST),), epoch=3)
        assert self.role(place, heard=4) == Role(epoch=3)
        assert self.role(place, heard=3) == Role(answers=True, epoch=3)

    def test_it_drains_what_it_has_withdrawn(self) -> None:
        place = Place((Member("b", 0.0, Cause.REQUESTED),), (Leaver("a", 0.0),), epoch=3)
        assert self.role(place, routed=True) == Role(tells=True, epoch=3)
        place = replace(place, leavers=(Leaver("a", 0.0, 1.0),))
        assert self.role(place, routed=True) == Role(drains=True, epoch=3)
