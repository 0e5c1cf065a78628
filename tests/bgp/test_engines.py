"""Three engines of three hosts behind a router: what each event does to its route, to connections and to datagrams.

The long version, with thousands of connections, is `make fleet`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.output.result import Table
from avi_shell.views import live
from avi_shell.views.gathering import Engines
from dataplane.daemon.statustext import render
from tests.polling import until

from .engine import FAR_VIP, VIP
from .events import DRIVERS, EVENTS, Event, measure
from .world import ENGINES, World

pytestmark = pytest.mark.root
BESIDE_OTHERS = 2.0
"""Seconds that a router, and an engine, may take longer where other tests use the machine."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack, tmp_path_factory.mktemp("routed"), DRIVERS)


@pytest.mark.parametrize("event", [e for e in EVENTS if not e.long], ids=lambda event: f"{event.name} ({event.engine})")
def test_an_event_costs_what_it_may(event: Event, world: World) -> None:
    measured = measure(world, event)
    print(measured.row())
    assert not measured.faults(world.interval, BESIDE_OTHERS)


def test_a_routed_vip_is_not_claimed_on_the_segment(world: World) -> None:
    world.hops(*ENGINES)
    announced = {"arp": {"state": "withdrawn", "reason": ""}, "bgp": {"state": "announced", "reason": ""}}
    for engine in world.engines.values():  # which look at their sessions every second
        until(lambda e=engine: e.vip()["announcers"] == announced, engine.log)  # type: ignore[misc]
        vip = engine.vip()
        assert (vip["announced"], vip["answers_arp"], vip["routed"]) == (True, False, True)
    engine = world.engines["a"]
    assert all(service["packets"] > 0 for service in engine.status()["services"])
    shown, told = live.view(Engines(Configuration.in_memory(), engine.folder), "serviceengine", "se-1", None, "bgp")
    (peer,) = told["peers"]
    flaps = f"it flaps: lost {peer['lost']} times in 5 minutes" if peer["lost"] > 2 else ""  # by what befell it here
    assert (peer["state"], peer["prefixes"], peer["reason"]) == ("established", 2, flaps)
    assert shown[0] == f"AS 65001: routes to 2 VIPs; BIRD is process {told['bird']}"
    assert isinstance(shown[1], Table)
    assert shown[1].rows[0][:3] == ("10.9.0.254", "65000", "established")
    assert any(
        "BGP peer 10.9.0.254 (AS 65000) established, 2 prefixes" in str(p) for p in render([engine.status()], 160)
    )


def test_a_vip_on_the_segment_is_claimed_there_too(world: World) -> None:
    engine = world.engines["b"]
    world.spaces["b"].sh(f"ip addr add {VIP[:-1]}2/24 dev eth0")

    def claimed() -> bool:
        vip = engine.vip()
        return bool(vip["answers_arp"]) and bool(vip["routed"])

    until(claimed, engine.log)
    world.spaces["b"].sh(f"ip addr del {VIP[:-1]}2/24 dev eth0")
    until(lambda: not claimed(), engine.log)


def test_a_vip_that_is_down_everywhere_is_withdrawn_by_all(world: World) -> None:
    world.hops(*ENGINES)
    world.serve(vip=False)
    until(lambda: not world.next_hops(VIP), world.next_hops, 40)
    assert world.next_hops(FAR_VIP)
    world.serve(vip=True)
    world.hops(*ENGINES)
