"""What layer 3 leaves behind: nothing, neither on the engine's host nor on a server's."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from dataplane import plan
from dataplane.health.probetunnels import FIRST
from tests.l3.world import PREPARED, SERVERS, VIPS, World, built, service
from tests.polling import until
from tests.server.test_server import everything

pytestmark = pytest.mark.root


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The network, its plan, and no engine yet."""
    with built(tmp_path_factory.mktemp("l3")) as there:
        there.publish(service(plan.L3_IPIP), service(plan.L3_GRE))
        yield there


def probing(world: World) -> bool:
    return f"fwmark {FIRST:#x}" in world.spaces["engine"].sh("ip rule")


def states(world: World) -> set[tuple[str, str]]:
    return {(name, state) for name, (state, _) in world.servers(plan.L3_IPIP).items()}


def kernel(world: World) -> str:
    """Rules, routes and settings of the engine's host."""
    return world.spaces["engine"].sh(
        "ip -4 rule; ip -4 route show table all; nft list ruleset; grep -rH . /proc/sys/net/ipv4/conf | sort"
    )


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_an_engine_that_ends_takes_its_probes_routes_with_it(world: World, signum: int) -> None:
    before = kernel(world)
    world.start_engine()
    until(lambda: ("web1", "up") in states(world), world.log)
    assert probing(world)
    world.end_engine(signum)
    assert kernel(world) == before


def test_what_a_killed_engine_left_is_replaced_by_the_next(world: World) -> None:
    world.start_engine()
    until(lambda: ("web1", "up") in states(world), world.log)
    world.end_engine(signal.SIGKILL)
    assert probing(world)
    world.start_engine()
    until(lambda: ("web1", "up") in states(world), world.log)
    rules = world.spaces["engine"].sh("ip rule").splitlines()
    assert len([rule for rule in rules if f"{FIRST:#x}" in rule]) == 1
    world.end_engine()
    assert not probing(world)


def test_servers_come_and_go_with_their_preparation(world: World) -> None:
    """Undone, a server is down and says why; prepared, it is up."""
    world.start_engine()
    until(lambda: states(world) == {("web1", "up"), ("web2", "up"), ("unprepared", "down")}, world.log)
    world.avi_server("web1", "undo")
    until(lambda: ("web1", "down") in states(world), world.log)
    until(lambda: "does not decapsulate IP-in-IP" in world.servers(plan.L3_IPIP)["web1"][1], world.log)
    world.avi_server("unprepared", "apply")
    until(lambda: ("unprepared", "up") in states(world), world.log)
    world.avi_server("web1", "apply")
    until(lambda: ("web1", "up") in states(world), world.log)


def test_a_server_that_decapsulates_without_the_vip_is_down(world: World) -> None:
    world.start_engine()
    until(lambda: ("web1", "up") in states(world), world.log)
    world.spaces["web1"].sh(f"ip addr del {VIPS[plan.L3_IPIP]}/32 dev lo")
    until(lambda: ("web1", "down") in states(world), world.log)
    reason = "server answers, VIP does not: VIP missing on its loopback?"
    until(lambda: world.servers(plan.L3_IPIP)["web1"][1] == reason, world.log)
    assert world.servers(plan.L3_GRE)["web1"] == ("up", "")


def test_a_server_that_no_router_reaches_is_down_with_the_routers_word(world: World) -> None:
    world.start_engine()
    until(lambda: ("web1", "up") in states(world), world.log)
    world.spaces["far"].sh(f"ip route add prohibit {SERVERS['web1']}")
    until(lambda: "10.9.0.2 answers communication prohibited" in world.servers(plan.L3_IPIP)["web1"][1], world.log)


def test_undo_restores_a_server_exactly(world: World) -> None:
    world.avi_server(PREPARED[0], "undo")
    member = world.spaces[PREPARED[0]]
    before = everything(member)
    world.avi_server(PREPARED[0], "apply")
    assert everything(member) != before
    world.avi_server(PREPARED[0], "undo")
    assert everything(member) == before
