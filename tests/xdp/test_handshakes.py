"""The table of handshakes on the compiled decision; what becomes of its counts when services and pools come and go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataplane.forwarding.tracking import SECOND
from dataplane.forwarding.values import HandshakeTally
from tests.packets.handshakes import ROWS, SYN, Row, thrice
from tests.packets.test_handshakes import START, check
from tests.packets.world import ETH0, WEB1, WORLD, ip

from .decider import difference, received_on
from .deciders import EVERY, Decider, Make


@pytest.fixture(scope="module", params=EVERY)
def decider(request: pytest.FixtureRequest) -> Iterator[Decider]:
    decider: Decider = request.param()
    received_on(WORLD, ETH0).put(decider.tables)
    yield decider
    decider.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_row(row: Row, decider: Decider) -> None:
    decider.forget()
    before = decider.tables.counters()
    for seconds, sent in row.sent:
        decider.set_clock(int((START + seconds) * SECOND))
        decider.run(sent)
    check(row, difference(decider.tables.counters(), before), len(decider.openings()))


@pytest.mark.parametrize("make", EVERY)
def test_counts_go_with_service_and_pool_and_are_handed_over(make: Make) -> None:
    decider = make()
    try:
        received_on(WORLD, ETH0).put(decider.tables)
        for seconds, sent in thrice(SYN):
            decider.set_clock(int((START + seconds) * SECOND))
            decider.run(sent)
        (service,) = decider.tables.counters().service_handshakes
        decider.readopt()
        assert decider.tables.counters().service_handshakes == {service: HandshakeTally(1, 0, 1)}
        decider.tables.remove_service(service)
        assert decider.tables.counters().service_handshakes == {}
        decider.tables.put_service(next(one for one in WORLD.services if one.key == service))
        assert decider.tables.counters().service_handshakes == {}
        decider.tables.remove_pool("pool-one", "pool-half")
        assert decider.tables.counters().server_handshakes == {("pool-half", ip(WEB1)): HandshakeTally(1, 0, 1)}
    finally:
        decider.close()
