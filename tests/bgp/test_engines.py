"""Two engines of two hosts behind a router, one a driver: what each event does to the router's route and to traffic."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from avi_shell.output.result import Table
from avi_shell.views import live
from dataplane.bgp import birdcontrol
from dataplane.bgp.keeper import LOCK
from dataplane.daemon.statustext import render
from dataplane.runtime import locks
from tests.polling import until

from .world import ENGINES, VIP, World

pytestmark = pytest.mark.root
DRIVERS = {"a": "xdp", "b": "pcap"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack, tmp_path_factory.mktemp("routed"), DRIVERS)


@pytest.fixture
def world(built: World) -> World:
    """The network, well: the router knows both engines."""
    built.hops(*ENGINES)
    return built


def test_a_routed_vip_is_not_claimed_on_the_segment(world: World) -> None:
    announced = {"arp": {"state": "withdrawn", "reason": ""}, "bgp": {"state": "announced", "reason": ""}}
    for engine in world.engines.values():  # which look at their sessions every second
        until(lambda e=engine: e.status()["vips"][0]["announcers"] == announced, engine.log)  # type: ignore[misc]
        (vip,) = engine.status()["vips"]
        assert (vip["announced"], vip["answers_arp"], vip["routed"]) == (True, False, True)
    with world.traffic() as traffic:
        traffic.flows()
    assert traffic.lost == 0
    engine = world.engines["a"]
    assert engine.status()["services"][0]["packets"] > 0
    shown, told = live.view(engine.folder, "serviceengine", "se-1", None, "bgp")
    (peer,) = told["peers"]
    assert (peer["state"], peer["prefixes"], peer["reason"]) == ("established", 1, "")
    assert shown[0] == f"AS 65001: routes to 1 VIPs; BIRD is process {told['bird']}"
    assert isinstance(shown[1], Table)
    assert shown[1].rows[0][:3] == ("10.9.0.254", "65000", "established")
    assert any(
        "BGP peer 10.9.0.254 (AS 65000) established, 1 prefixes" in str(p) for p in render([engine.status()], 160)
    )


def test_a_vip_that_is_down_is_withdrawn(world: World) -> None:
    world.serve(vip=False)
    world.hops()
    world.serve(vip=True)
    world.hops(*ENGINES)


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_that_is_told_to_end_loses_nothing(name: str, world: World) -> None:
    engine = world.engines[name]
    with world.traffic() as traffic:
        traffic.flows()
        engine.end()
        world.hops(*(ENGINES.keys() - {name}))
        traffic.flows()
    assert traffic.lost == 0
    assert not list((engine.folder / "run").glob("*.bgp/*.conf"))
    engine.start()


def test_an_engine_that_is_killed_is_forwarded_for_by_the_kernel(world: World) -> None:
    engine = world.engines["a"]
    bgp = engine.folder / "run" / "se-1.bgp"
    bird = birdcontrol.process(bgp)
    learned = world.router.ask(f"show route for {VIP}")  # with the time of each route
    with world.traffic() as traffic:
        traffic.flows()
        engine.end(signal.SIGKILL)
        traffic.flows()
        world.hops(*ENGINES)
        engine.start()
        until(lambda: engine.status().get("bgp"), engine.log)
        traffic.flows()
        world.hops(*ENGINES)
    assert traffic.lost == 0
    assert birdcontrol.process(bgp) == bird
    assert world.router.ask(f"show route for {VIP}") == learned


def test_what_an_engine_left_by_sighup_is_taken_away_after_its_routes(world: World) -> None:
    engine = world.engines["a"]
    with world.traffic() as traffic:
        traffic.flows()
        engine.end(signal.SIGHUP)
        traffic.flows()
        world.hops(*ENGINES)
        done = engine.clean()
        world.hops("b")
        traffic.flows()
    assert traffic.lost == 0
    assert done.startswith("ended the keeper of BIRD\nended BIRD, process ")
    engine.start()


def test_bird_and_keeper_of_an_engine_are_killed(world: World) -> None:
    engine = world.engines["a"]
    bgp = engine.folder / "run" / "se-1.bgp"
    with world.traffic() as traffic:
        traffic.flows()
        os.kill(locks.holder(bgp / LOCK), signal.SIGKILL)
        until(lambda: engine.tells("the keeper of BIRD ended, and was started again"), engine.log)
        traffic.flows()
        os.kill(birdcontrol.process(bgp), signal.SIGKILL)
        until(lambda: engine.tells("BIRD was started again"), engine.log)
        traffic.flows()
        world.hops(*ENGINES)
    assert traffic.lost == 0


def test_a_host_that_dies_is_left_out(world: World) -> None:
    world.spaces["switch"].sh("ip link set b0 nomaster")
    world.hops("a")
    world.spaces["switch"].sh("ip link set b0 master br0")
    world.hops(*ENGINES)


def test_an_engine_on_packet_sockets_that_is_killed_is_withdrawn_from(world: World) -> None:
    engine = world.engines["b"]
    engine.end(signal.SIGKILL)
    world.hops("a")
    engine.start()
    world.hops(*ENGINES)


def test_a_vip_on_the_segment_is_claimed_there_too(world: World) -> None:
    engine = world.engines["b"]
    world.spaces["b"].sh(f"ip addr add {VIP[:-1]}2/24 dev eth0")

    def claimed() -> bool:
        (vip,) = engine.status()["vips"]
        return bool(vip["answers_arp"]) and bool(vip["routed"])

    until(claimed, engine.log)
    world.spaces["b"].sh(f"ip addr del {VIP[:-1]}2/24 dev eth0")
    until(lambda: not claimed(), engine.log)
