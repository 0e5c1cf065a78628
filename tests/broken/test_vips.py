"""A VIP that is somebody's address is not announced: whose it is, is told, and the VIP follows when the other goes."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from dataplane.vip import arp
from tests.broken.world import World, built, inet
from tests.drivers import common_drivers
from tests.polling import until

pytestmark = pytest.mark.root

NEW = "10.9.0.200"


def vip(world: World) -> dict[str, Any]:
    """What the engine reports of its VIP, with the reason of the service on it."""
    told = world.status() or {"vips": [], "services": []}
    reasons = [service["reason"] for service in told["services"] if service["vip"] == NEW]
    found = [one | {"reason": reasons[0]} for one in told["vips"] if one["address"] == NEW and reasons]
    return dict(found[0]) if found else {"announced": None, "reason": ""}


def events(world: World) -> list[str]:
    return [event["text"] for event in (world.status() or {"events": []})["events"]]


class Wire:
    """The ARP frames about the VIP that a host on the segment hears."""

    def __init__(self, world: World) -> None:
        open_ = lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(arp.ETH_P_ARP))  # noqa: E731
        self._wire = world.spaces["healthy"].run(open_)
        self._wire.setblocking(False)

    def heard(self) -> list[str]:
        """Probes and announcements since the last call, in order."""
        found: list[str] = []
        while True:
            try:
                packet = arp.parse(self._wire.recv(2048))
            except BlockingIOError:
                return found
            if packet is not None and packet.target == inet(NEW):
                kinds = {arp.NOBODY: "probe", packet.target: "announcement"}
                found += [kinds[packet.sender]] if packet.sender in kinds else []

    def close(self) -> None:
        self._wire.close()


@common_drivers
def test_a_vip_that_somebody_else_answers_for_is_not_announced_until_he_goes(driver: str, tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver) as world:
        mac = world.spaces["client"].link("eth0")[1].hex(":")
        world.sh("client", f"ip addr add {NEW}/32 dev eth0")
        wire = Wire(world)
        world.publish(vip=NEW, advertise_down=True)
        whose = f"VIP {NEW} is not announced: {mac} answers ARP for it"
        until(lambda: whose in vip(world)["reason"], lambda: (vip(world), world.log()))
        assert whose in events(world)
        assert not vip(world)["announced"]
        assert vip(world)["announcers"]["arp"] == {"state": "withdrawn", "reason": f"{mac} answers ARP for it"}
        assert "announcement" not in wire.heard()
        world.sh("client", f"ip addr del {NEW}/32 dev eth0")
        until(lambda: vip(world)["announced"], lambda: (vip(world), world.log()))
        wire.close()


@common_drivers
def test_a_vip_that_is_a_next_hop_of_the_host_is_not_announced(driver: str, tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver) as world:
        world.sh("engine", f"ip route add 10.66.0.0/24 via {NEW}")
        world.publish(vip=NEW, advertise_down=True)
        whose = f"VIP {NEW} is not announced: it is a next hop of this host's own routes"
        until(lambda: whose in vip(world)["reason"], lambda: (vip(world), world.log()))
        assert not vip(world)["announced"]
        world.sh("engine", "ip route del 10.66.0.0/24")
        until(lambda: vip(world)["announced"], lambda: (vip(world), world.log()))
        world.sh("engine", f"ip route add 10.66.0.0/24 nexthop via {NEW} nexthop via 10.9.0.201")
        until(lambda: not vip(world)["announced"], lambda: (vip(world), world.log()))


@common_drivers
def test_a_new_vip_is_asked_for_twice_and_never_again_at_a_restart(driver: str, tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver) as world:
        wire, heard = Wire(world), list[str]()
        world.publish(vip=NEW, advertise_down=True)

        def announced() -> bool:
            heard.extend(wire.heard())
            return "announcement" in heard

        until(announced, lambda: (heard, world.log()))
        assert heard[:3] == ["probe", "probe", "announcement"]
        for signum in (signal.SIGHUP, signal.SIGTERM, signal.SIGKILL):
            world.end_engine(signum)
            wire.heard()
            heard.clear()
            world.start_engine()
            until(announced, lambda: (heard, world.log()))
            assert "probe" not in heard
        wire.close()


def test_of_several_vips_the_reason_names_the_one_that_is_missing(tmp_path: Path) -> None:
    with built(tmp_path, "l2") as world:
        world.publish(vip=NEW)
        world.reports("up", f"down for VIP {NEW}: server answers, VIP does not: VIP missing on its loopback?")
