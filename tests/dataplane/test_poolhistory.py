"""The changes of a pool's table that an engine keeps for others, and what becomes of slots that go through them."""

from __future__ import annotations

import json
import socket

import pytest

from dataplane import plan
from dataplane.engine.poolhistory import PoolHistory
from dataplane.forwarding import translate
from dataplane.forwarding.transition import Slots
from dataplane.forwarding.translate import NextHop, PoolMember
from dataplane.forwarding.values import TRANSITION
from dataplane.plan import history
from dataplane.plan.history import Held

A, B = plan.Server("10.0.0.1", 80), plan.Server("10.0.0.2", 80, weight=2)
BOTH = (("10.0.0.1", 1, 0), ("10.0.0.2", 2, 0))
SERVICE = plan.Service(
    "vs", "vs-1", "admin", "10.0.0.9", "tcp", 80, 80, plan.L2, plan.BY_ADDRESS, 300, "p", "p-1", 251, 7, servers=(A, B)
)


def members(*up: bool) -> list[PoolMember]:
    return [
        PoolMember(server, socket.inet_aton(server.address), is_up, is_up, is_up, NextHop())
        for server, is_up in zip((A, B), up, strict=True)
    ]


def flapped() -> PoolHistory:
    """A pool of which a server was down from 100 to 130."""
    made = PoolHistory()
    for when, up in ((50.0, True), (100.0, False), (110.0, False), (130.0, True)):
        made.note("p-1", when, SERVICE, members(True, up))
    return made


def test_changes_are_kept_and_equal_ones_are_none() -> None:
    assert flapped().young("p-1", 90.0) == [
        Held(50.0, BOTH, (("10.0.0.1", 0), ("10.0.0.2", 0))),
        Held(100.0, BOTH[:1], (("10.0.0.1", 0),)),
        Held(130.0, BOTH, (("10.0.0.1", 0), ("10.0.0.2", 0))),
    ]
    assert [held.since for held in flapped().young("p-1", 120.0)] == [100.0, 130.0]
    assert flapped().young("p-1", 130.0) == []
    assert flapped().changed() == ["p-1"]


def test_what_others_saw_is_nothing_to_a_pool_that_changed_here() -> None:
    told = {"p-1": flapped().young("p-1", 0.0), "p-2": flapped().young("p-1", 0.0)}
    fresh = PoolHistory()
    fresh.note("p-1", 140.0, SERVICE, members(True, True))
    assert fresh.recall(told) == {"p-1", "p-2"}
    assert fresh.young("p-1", 90.0) == told["p-1"]
    assert flapped().recall(told) == {"p-2"}


def test_the_first_members_are_known_as_they_were_when_another_one_changes() -> None:
    made = PoolHistory()
    draining = members(True, True)[1]._replace(usable=False)
    made.note("p-1", 50.0, SERVICE, [members(True, True)[0], draining])
    assert made.changed() == []
    made.note("p-1", 100.0, SERVICE, members(True, True))
    assert made.young("p-1", 60.0) == [
        Held(50.0, BOTH[:1], (("10.0.0.1", 0), ("10.0.0.2", 0))),
        Held(100.0, BOTH, (("10.0.0.1", 0), ("10.0.0.2", 0))),
    ]


@pytest.mark.parametrize("servers", [(("nowhere", 1, 0),), (("10.0.0.1", -1, 0),), (("10.0.0.1", 1, 1 << 70),)])
def test_what_no_plan_holds_is_not_taken_over(servers: tuple[tuple[str, int, int], ...]) -> None:
    made, right = PoolHistory(), flapped().young("p-1", 60.0)
    assert made.recall({"p-1": [Held(1.0, servers, ())], "p-2": right}) == {"p-2"}
    assert (made.young("p-1", 0.0), made.young("p-2", 60.0)) == ([], right)


def test_slots_of_an_engine_that_saw_nothing_know_their_former_owners() -> None:
    saw, told = Slots(SERVICE.slots), flapped().young("p-1", 0.0)
    table = translate.table(SERVICE, members(True, True))
    lives = [member.life for member in members(True, True)]
    translate.replay(saw, SERVICE, told)
    assert not saw.change(table, lives, lambda life: True, 140.0), "it is the table that the others have"
    found = saw.phases(lives)
    assert found is not None
    moved = [slot for slot, owner in enumerate(table) if owner == 1]
    assert [slot for slot, phase in enumerate(found.phases) if phase == TRANSITION] == moved
    assert {found.fallback[slot] for slot in moved} == {0}


@pytest.mark.parametrize("value", [b"", b"{}", b"[1]", b'[{"since": "x", "servers": [], "serving": []}]', b"\xff"])
def test_what_is_no_history_is_passed_over(value: bytes) -> None:
    assert history.read(value) == []


def test_a_history_is_read_as_it_was_written() -> None:
    told = flapped().young("p-1", 0.0)
    assert history.read(history.text(told)) == told
    assert isinstance(json.loads(history.text(told)), list)
