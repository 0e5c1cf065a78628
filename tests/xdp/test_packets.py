"""The packet table on the compiled decision: every case, byte by byte, with what it counts."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from dataplane.forwarding import decision
from dataplane.forwarding.values import Counters, Tally
from tests.packets.cases import CASES, Case
from tests.packets.world import WORLD, ip

from .decider import CUTS, HEADERS, KernelDecider, Ran, received_on
from .deciders import EVERY, Decider, Make

Deciders = dict[int, Decider]


@pytest.fixture(scope="module", params=EVERY)
def deciders(request: pytest.FixtureRequest) -> Iterator[Deciders]:
    """One for each interface that frames are received on."""
    made: Deciders = {}
    try:
        for interface in WORLD.interfaces:
            made[interface.index] = request.param()
            received_on(WORLD, interface).put(made[interface.index].tables)
        yield made
    finally:
        for decider in made.values():
            decider.close()


@pytest.mark.parametrize("row", CASES, ids=lambda row: row.what)
def test_case(row: Case, deciders: Deciders) -> None:
    """As the kernel cuts it: frames of more than a page are in several pieces."""
    holds(row, deciders)


@pytest.mark.root
@pytest.mark.parametrize("deciders", [pytest.param(KernelDecider, id="xdp")], indirect=True)
@pytest.mark.parametrize("row", [row for row in CASES if CUTS and len(row.frame) > HEADERS], ids=lambda row: row.what)
def test_case_in_pieces(row: Case, deciders: Deciders) -> None:
    """Not one byte more in the first piece than the program must see."""
    holds(row, deciders, HEADERS)


def holds(row: Case, deciders: Deciders, first: int = 0) -> None:
    """What becomes of a case's frame, and what is counted. first: bytes in its first piece."""
    decider = deciders[row.interface.index]
    decider.forget()
    decider.tables.answer_until(row.answers_until(time.monotonic_ns()))
    for earlier in row.before:
        decider.run(earlier)
    ran, counted = decider.counted(row.frame, first)
    want = row.expected
    if want.action in (decision.FORWARDED, decision.ANSWERED):
        slow = len(want.frames) > 1
        assert ran == Ran("sent", want.frames, want.interface != row.interface.index, slow)
    else:
        assert ran == Ran(want.action)
    assert counted.dropped == ({want.reason: 1} if want.reason else {})
    drops = [{want.reason: 1}] if want.port else []
    assert list(counted.service_drops.values()) == drops
    assert [key.port for key in counted.service_drops] == [want.port for _ in drops]
    assert counted.answered == (want.action == decision.ANSWERED)
    forwarded = [Tally(1, want.size)] if want.action == decision.FORWARDED else []
    assert list(counted.services.values()) == forwarded
    assert list(counted.servers.values()) == forwarded
    assert [address for _, address in counted.servers] == [ip(want.server) for _ in forwarded]


def test_the_same_after_everything_is_read_back_from_the_maps(deciders: Deciders) -> None:
    for interface in WORLD.interfaces:
        decider = deciders[interface.index]
        before = decider.tables.counters()
        decider.readopt()
        assert decider.tables.counters() == before
        received_on(WORLD, interface).put(decider.tables)
        decider.tables.prune()
        assert decider.tables.counters() == before
        for row in CASES:
            if row.interface == interface:
                holds(row, deciders)


@pytest.mark.parametrize("make", EVERY)
def test_what_is_taken_away_is_the_hosts_again(make: Make) -> None:
    decider = make()
    try:
        world = received_on(WORLD, WORLD.interfaces[0])
        world.put(decider.tables)
        for vip in world.vips:
            decider.tables.remove_vip(vip.address)
        for service in world.services:
            decider.tables.remove_service(service.key)
        for pool in world.pools:
            decider.tables.remove_pool(pool.uuid)
        for row in CASES:
            if row.interface == WORLD.interfaces[0]:
                assert decider.run(row.frame) == Ran(decision.HOST), row.what
        counters = decider.tables.counters()
        assert counters.services == {}
        assert counters.servers == {}
        assert counters == Counters(0, dict.fromkeys(counters.dropped, 0))
    finally:
        decider.close()
