"""VIPs are announced by whatever announces, when it is due, and never by what is withdrawn: with an announcer that only
notes what it is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from dataplane import plan
from dataplane.forwarding.values import Interface
from dataplane.plan.index import ServiceIndex
from dataplane.vip.announcer import Announcement, Known, State
from dataplane.vip.conflicts import Conflict, Kind
from dataplane.vip.owner import VipOwner
from tests import told

from ..packets.world import ip, mac
from .test_plan import SERVICE
from .test_refresh import Memory

VIP = ip(SERVICE.vip)
ETH0 = Interface(1, "eth0", mac(1), 1500)
STRANGER = Conflict(VIP, mac(9), 1, Kind.ANSWER)


class Notes:
    """An announcer that is no ARP."""

    name = "notes"

    def __init__(self, *, routes: bool = False) -> None:
        self.calls: list[str] = []
        self.routes = routes  # it tells routers, and nobody else
        self.failing = ""

    def follow(self, interfaces: Iterable[Interface]) -> None:
        pass

    def takes(self, vip: Known) -> bool:
        return vip.route is not None if self.routes else vip.by_arp

    def announce(self, vip: Known) -> None:
        self.calls.append("announce")

    def withdraw(self, vip: bytes) -> None:
        self.calls.append("withdraw")

    def state(self, vip: bytes) -> Announcement:
        return Announcement(State.FAILED, self.failing) if self.failing else Announcement(State.ANNOUNCED)

    async def retire(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def heard(self) -> list[str]:
        """What it was told since it was asked last."""
        calls, self.calls = self.calls, []
        return calls


class Owned:
    """A VIP of one service that is up."""

    def __init__(self) -> None:
        self.notes, self.other, self.events, self.up = Notes(), Notes(), list[str](), True
        self.driver, self.index, self.kinds = Memory(), ServiceIndex(), list[str]()
        self.owner = VipOwner(
            self.driver,
            self.index,
            lambda service: self.up,
            [self.notes, self.other],
            told.into(self.events, self.kinds),
        )
        self.owner.follow([ETH0], lambda index: True)
        self.plan(SERVICE)

    def plan(self, service: plan.Service | None) -> None:
        self.index.replace(SERVICE.key, service)
        self.owner.put([VIP])


@pytest.fixture
def owned() -> Owned:
    made = Owned()
    assert (made.notes.heard(), made.other.heard()) == (["announce"], ["announce"])
    assert made.events == [f"VIP {SERVICE.vip} is up, announced"]
    assert [(vip.up, vip.owned) for vip in made.owner.served()] == [(True, True)]
    return made


def test_what_did_not_change_is_not_announced_again(owned: Owned) -> None:
    owned.owner.put([VIP])
    owned.owner.follow([ETH0], lambda index: True)
    assert owned.notes.heard() == []


def test_a_vip_that_is_down_is_withdrawn_and_one_that_is_up_again_announced(owned: Owned) -> None:
    owned.up = False
    owned.owner.put([VIP])
    assert owned.notes.heard() == ["withdraw"]
    owned.up = True
    owned.owner.put([VIP])
    assert owned.notes.heard() == ["announce"]
    assert owned.events[1:] == [f"VIP {SERVICE.vip} is down", f"VIP {SERVICE.vip} is up, announced"]
    assert owned.kinds == ["vip_announced", "vip_withdrawn", "vip_announced"]


def test_a_vip_is_not_called_down_before_its_servers_have_been_looked_at() -> None:
    made, events, settled = Owned(), list[str](), [False]
    made.up = False
    made.owner = VipOwner(
        made.driver,
        made.index,
        lambda service: made.up,
        [Notes()],
        told.into(events),
        is_settled=lambda service: settled[0],
    )
    made.plan(replace(SERVICE, enabled=True))
    made.owner.put([VIP])
    new = f"VIP {SERVICE.vip} is not announced yet: its servers have not been looked at"
    assert events == [new]
    settled[0] = True
    made.owner.put([VIP])
    assert events[1:] == [f"VIP {SERVICE.vip} is down"], "nothing but what is known of it has changed"
    settled[0], made.up = False, True
    made.owner.put([VIP])
    made.plan(None)
    made.plan(replace(SERVICE, enabled=False))
    assert events[2:] == [f"VIP {SERVICE.vip} is {one}" for one in ("up, announced", "no longer served", "down")]


def test_a_vip_that_is_down_stays_announced_where_that_is_wanted(owned: Owned) -> None:
    owned.plan(replace(SERVICE, advertise_down=True))
    owned.up = False
    owned.owner.put([VIP])
    assert owned.notes.heard() == []


def test_a_vip_that_is_no_longer_served_is_withdrawn_and_goes(owned: Owned) -> None:
    owned.plan(None)
    assert owned.notes.heard() == ["withdraw"]
    assert owned.driver.vips == {}
    assert owned.events[1:] == [f"VIP {SERVICE.vip} is no longer served"]


def test_a_link_that_comes_back_and_a_new_mac_address_are_announced_on(owned: Owned) -> None:
    owned.owner.follow([ETH0], lambda index: False)
    assert owned.notes.heard() == []
    owned.owner.follow([ETH0], lambda index: True)
    assert owned.notes.heard() == ["announce"]
    owned.owner.follow([replace(ETH0, mac=mac(2))], lambda index: True)
    assert owned.notes.heard() == ["announce"]


def test_a_vip_is_told_to_routers_and_claimed_on_its_own_segments_alone() -> None:
    made = Owned()
    segments = [False]
    notes, routers, events = Notes(), Notes(routes=True), list[str]()
    owner = VipOwner(
        made.driver,
        made.index,
        lambda service: made.up,
        [notes],
        told.into(events),
        on_segment=lambda vip: segments[0],
        speaks=lambda: True,
    )
    made.owner = owner
    made.plan(replace(SERVICE, route=plan.Route(("a",))))
    owner.add(routers)  # which hears what is known
    assert (notes.heard(), routers.heard()) == ([], ["announce"])
    assert (owner.is_routed(VIP), [vip.owned for vip in owner.served()]) == (True, [False])
    made.plan(replace(SERVICE, route=plan.Route(("b",))))
    assert (notes.heard(), routers.heard()) == ([], ["announce"])
    assert owner.look_again() == []
    segments[0] = True
    assert owner.look_again() == [VIP]
    owner.put([VIP])
    assert (notes.heard(), [vip.owned for vip in owner.served()]) == (["announce"], [True])
    routers.failing = "why"
    assert owner.unheard(VIP) == "notes: why"
    made.plan(SERVICE)
    assert (notes.heard()[-1:], routers.heard()[-1:]) == (["announce"], ["withdraw"])
    assert owner.unheard(VIP) == ""
    assert events == [
        f"VIP {SERVICE.vip} is {what}"
        for what in ("up, told to routers", "up, announced, told to routers", "up, announced")
    ]


def test_every_period_announces_what_is_owned_then(owned: Owned) -> None:
    for now in range(0, 40, 10):
        owned.owner.announce_again(20.0, now)
    assert owned.notes.heard() == ["announce"]
    owned.up = False
    owned.owner.put([VIP])
    owned.owner.announce_again(20.0, 100)
    assert owned.notes.heard() == ["withdraw"]


def test_a_claim_is_answered_by_every_announcer(owned: Owned) -> None:
    owned.owner.conflicts_changed(VIP, [STRANGER], by_members=False)
    assert (owned.notes.heard(), owned.other.heard()) == (["announce"], ["announce"])
    owned.owner.conflict_again(VIP)  # within the interval of a defence
    assert owned.notes.heard() == []
    owned.owner.conflicts_changed(VIP, [STRANGER], by_members=True)
    assert owned.notes.heard() == ["announce"]


def test_what_is_not_owned_is_not_defended(owned: Owned) -> None:
    owned.up = False
    owned.owner.put([VIP])
    owned.notes.heard()
    owned.owner.conflicts_changed(VIP, [STRANGER], by_members=True)
    owned.owner.conflict_again(VIP)
    assert owned.notes.heard() == []


def test_each_announcer_tells_what_became_of_a_vip(owned: Owned) -> None:
    owned.other.name, owned.other.failing = "other", "no peer"
    assert owned.owner.announcements(VIP) == {
        "notes": Announcement(State.ANNOUNCED),
        "other": Announcement(State.FAILED, "no peer"),
    }
