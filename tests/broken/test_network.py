"""The network around the engine broken for real: what is missing is named, and the printed command mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataplane.drivers import selection
from tests.broken.world import VIP, World, built
from tests.drivers import common_drivers, every_driver
from tests.netns import Namespace
from tests.polling import until

pytestmark = pytest.mark.root


def service(world: World) -> dict[str, Any]:
    """What the engine reports of its service."""
    told = world.status()
    return told["services"][0] if told and told["services"] else {"state": "", "reason": ""}


@common_drivers
def test_the_egress_link_is_switched_off(driver: str, tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver) as world:
        world.sh("engine", "ip link set dev eth0 down")
        world.reports("down", "egress interface eth0 is down")
        until(lambda: service(world)["state"] == "down", lambda: service(world))
        assert "egress interface eth0 is down" in service(world)["reason"]
        world.sh("engine", world.server()["remedy"])
        world.is_well()


def test_a_route_is_gone(tmp_path: Path) -> None:
    with built(tmp_path, "l3") as world:
        world.sh("engine", "ip route add 10.8.0.12/32 via 10.9.0.254; ip route del 10.8.0.0/24")
        world.reports("down", "no route to 10.8.0.11: 10.8.0.0/24 via 10.9.0.254 dev eth0 is gone")
        assert world.server("healthy")["state"] == "up"
        world.sh("engine", world.server()["remedy"])
        world.is_well()


def test_a_server_of_layer_2_is_in_another_segment(tmp_path: Path) -> None:
    with built(tmp_path, "l2") as world:
        world.sh("broken", "ip addr add 10.8.0.11/24 dev eth0")
        world.addresses["broken"] = "10.8.0.11"
        world.publish()
        world.reports(
            "down", "server is on no network attached to eth0 (10.9.0.1/24): layer-2 DSR needs its servers on"
        )
        assert (
            "give the engine an interface and an address there, or reach its pool by layer 3"
            in world.server()["reason"]
        )
        assert world.server("healthy")["state"] == "up"
        assert not world.server()["remedy"]  # which of the two is right only an operator knows
        world.sh("engine", "ip addr add 10.8.0.1/24 dev eth0")
        world.is_well()


@common_drivers
def test_somebody_else_claims_the_vip(driver: str, tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver) as world:
        mac = world.spaces["client"].link("eth0")[1].hex(":")
        world.sh("client", f"ip addr add {VIP}/32 dev eth0")
        claimed = f"{mac} also announces VIP {VIP}"
        until(lambda: claimed in service(world)["reason"], lambda: (service(world), world.log()))
        assert service(world)["state"] == "up"
        told = world.status()
        assert told is not None
        assert claimed in [event["text"] for event in told["events"]]
        world.sh("client", f"ip addr del {VIP}/32 dev eth0")
        until(lambda: not service(world)["reason"], lambda: service(world))


@common_drivers
def test_the_serving_interface_is_deleted_and_made_again(driver: str, tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver) as world:
        world.sh("engine", "ip link del eth0")
        world.reports("down", "egress interface eth0 is gone")
        world.sh("engine", f"ip link add eth0 type veth peer name again netns {world.spaces['switch'].path}")
        world.sh("switch", "ip link set again master br0 up")
        world.spaces["switch"].run(lambda: selection.prepare_peer(driver, "again"))
        world.sh("engine", "ip link set eth0 up; ip addr add 10.9.0.1/24 dev eth0")
        world.is_well()
        until(lambda: service(world)["state"] == "up", lambda: service(world))


@every_driver
def test_a_serving_interface_that_gets_another_name_is_served_on(driver: str, tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver) as world:
        world.sh("engine", "ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up")

        def served() -> list[str]:
            return [interface["name"] for interface in (world.status() or {"interfaces": []})["interfaces"]]

        until(lambda: served() == ["lan0"], lambda: (served(), world.log()))
        world.is_well()
        told = world.status()
        assert told is not None
        assert list(told["driver"]["interfaces"]) == ["lan0"]
        texts = [event["text"] for event in told["events"]]
        assert "interface eth0 is called lan0 now" in texts
        assert "interface eth0 is gone" not in texts


@common_drivers
def test_two_serving_interfaces_vanish_together(driver: str, tmp_path: Path) -> None:
    """By one command: the kernel takes both away before anybody hears of either."""
    with Namespace() as far, built(tmp_path, "l2", driver) as world:
        world.end_engine()
        world.sh("engine", f"ip link add eth1 type veth peer name far1 netns {far.path}; ip link set eth1 up")
        world.sh("engine", f"ip link add eth2 type veth peer name far2 netns {far.path}; ip link set eth2 up")
        world.sh("engine", "ip addr add 10.6.0.1/24 dev eth1; ip addr add 10.7.0.1/24 dev eth2")
        far.sh("ip link set dev far1 group 7 up; ip link set dev far2 group 7 up")
        for name in ("far1", "far2"):
            far.run(lambda name=name: selection.prepare_peer(driver, name))  # type: ignore[misc]
        world.serves += ["eth1", "eth2"]
        world.start_engine()
        world.is_well()
        far.sh("ip link del group 7")

        def served() -> list[str]:
            return [interface["name"] for interface in (world.status() or {"interfaces": []})["interfaces"]]

        until(lambda: served() == ["eth0"], lambda: (served(), world.log()))
        world.is_well()
        assert "not served" not in world.log()
        world.sh("engine", f"ip link add eth2 type veth peer name far2 netns {far.path}; ip link set eth2 up")
        far.sh("ip link set far2 up")
        far.run(lambda: selection.prepare_peer(driver, "far2"))
        until(lambda: served() == ["eth0", "eth2"], lambda: (served(), world.log()))


@pytest.mark.parametrize("mode", ["l2", "l3"])
def test_somebody_else_takes_the_rules_and_routes_of_probes_away(mode: str, tmp_path: Path) -> None:
    """As systemd-networkd does to all that it did not make, when it starts."""
    with built(tmp_path, mode) as world:

        def paths() -> tuple[list[str], list[str]]:
            rules = [line.partition(":")[2].split() for line in world.sh("engine", "ip rule").splitlines()]
            tables = sorted(words[-1] for words in rules if words[-1].isdigit() and "lookup" in words)
            routes = [world.sh("engine", f"ip route show table {table}") for table in tables]
            return sorted(" ".join(words) for words in rules), routes

        before = paths()
        assert any(before[1])
        world.sh("engine", "ip rule flush; ip rule add lookup main pref 32766; ip rule add lookup default pref 32767")
        until(lambda: paths() == before, lambda: (paths(), world.log()))
        world.is_well()
        tables = [words[-1] for rule in before[0] if "lookup" in (words := rule.split()) and words[-1].isdigit()]
        for table in tables:
            world.sh("engine", f"ip route flush table {table}")
        until(lambda: paths() == before, lambda: (paths(), world.log()))
        world.is_well()


def test_the_engines_own_next_hop_is_dead(tmp_path: Path) -> None:
    """The engine's kernel reports its server unreachable then: neither the tunnel nor the server is to blame."""
    with built(tmp_path, "l3") as world:
        world.sh("router", "ip link set dev eth0 arp off")
        world.sh("engine", "ip neigh flush dev eth0")
        silent = "the engine's next hop to it, 10.9.0.254 on eth0, does not answer ARP ("
        world.reports("down", silent)
        told = world.diagnose()
        assert silent in told["verdict"]
        assert silent in told["probes"]["route"]
        assert told["findings"][0]["on"] == "10.9.0.1"
        world.sh("router", "ip link set dev eth0 arp on")
        world.is_well()
