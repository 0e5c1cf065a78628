"""Drops by service in the maps: what is kept, what ends with the service, and what a successor finds."""

from collections.abc import Iterator

import pytest

from dataplane.drivers.maps import layout
from dataplane.forwarding.dropreasons import DROP_REASONS
from dataplane.forwarding.values import TCP, ServiceKey
from tests.packets.cases import frame, tcp
from tests.packets.world import ETH0, VIP, WORLD, ip

from .decider import received_on
from .deciders import EVERY, Decider

NONE_UP, UNRESOLVED = (ServiceKey(ip(VIP), TCP, port, port) for port in (443, 445))


@pytest.fixture(params=EVERY)
def decider(request: pytest.FixtureRequest) -> Iterator[Decider]:
    decider: Decider = request.param()
    received_on(WORLD, ETH0).put(decider.tables)
    yield decider
    decider.close()


def test_a_drop_is_counted_for_its_service_beside_the_total(decider: Decider) -> None:
    for port in (443, 443, 445, 9):
        decider.run(frame(tcp(port)))
    counters = decider.tables.counters()
    assert counters.service_drops == {NONE_UP: {"no_server": 2}, UNRESOLVED: {"no_next_hop": 1}}
    assert (counters.dropped["no_server"], counters.dropped["no_service"]) == (2, 1)


def test_what_was_never_dropped_takes_no_place(decider: Decider) -> None:
    for port in (80, 9):
        decider.run(frame(tcp(port)))
    assert list(decider.tables._maps["service_drops"].items()) == []


def test_a_service_that_comes_back_has_no_drops(decider: Decider) -> None:
    (service,) = (one for one in WORLD.services if one.key == NONE_UP)
    decider.run(frame(tcp(443)))
    decider.tables.remove_service(NONE_UP)
    assert decider.tables.counters().service_drops == {}
    decider.tables.put_service(service)
    assert decider.tables.counters().service_drops == {}
    decider.run(frame(tcp(443)))
    assert decider.tables.counters().service_drops == {NONE_UP: {"no_server": 1}}


def test_a_successor_finds_the_drops_of_services_that_it_finds(decider: Decider) -> None:
    decider.run(frame(tcp(443)))
    kept = decider.tables.counters().service_drops
    maps = decider.tables._maps
    gone = layout.service_drop(99_999, DROP_REASONS.index("no_server"))  # of a service that a killed process removed
    maps["service_drops"].update(gone, bytes(8 * maps["service_drops"].copies))
    decider.readopt()
    assert decider.tables.counters().service_drops == kept
    assert decider.tables._maps["service_drops"].lookup(gone) is None
