"""What the engine's own host does to the answers of servers: it is named, no server is, and the printed command mends
it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dataplane import plan
from tests.broken.world import ENGINE, HOSTS, PORT, VIP, World, built
from tests.field.world import TCP, UDP, field
from tests.polling import until

pytestmark = pytest.mark.root

ROUTED = "192.0.2.100"
"""A VIP outside of the segment."""


@dataclass(frozen=True, slots=True)
class Case:
    """Something wrong with the host. breaks: does it; says: the reason in part; restores: the command that mends it
    where the engine knows none, "" where it prints one."""

    title: str
    breaks: Callable[[World], None]
    says: str
    restores: str = ""
    vip: str = VIP


def answers_by_a_strict_interface(world: World) -> None:
    """They come by a second interface on the segment, which is not served."""
    world.sh("engine", f"ip link add eth1 type veth peer name engine1 netns {world.spaces['switch'].path}")
    world.sh("switch", "ip link set engine1 master br0 up")
    world.sh(
        "engine", "ip link set eth1 up; ip addr add 10.9.0.2/24 dev eth1; sysctl -qw net.ipv4.conf.eth1.rp_filter=1"
    )
    mac = world.spaces["engine"].link("eth1")[1].hex(":")
    for name in HOSTS:
        world.sh(name, f"ip neigh replace {ENGINE} lladdr {mac} nud permanent dev eth0")


def no_route_to_the_vip(world: World) -> None:
    """A loose filter wants a route too; distributions set it for all interfaces."""
    world.sh("engine", "sysctl -qw net.ipv4.conf.all.rp_filter=2")
    for name in HOSTS:
        world.sh(name, f"avi-server apply --vip {ROUTED} --mode l2 --interface eth0")


def firewall(hook: str, rule: str) -> Callable[[World], None]:
    """A rule of nftables on the engine's host."""

    def put(world: World) -> None:
        world.sh("engine", f"nft 'table ip own {{ chain c {{ type filter hook {hook} priority 0; {rule}; }}; }}'")

    return put


def vip_on_the_host(world: World) -> None:
    """As other balancers want it; and a program of the host listens there, so that every probe is answered."""
    world.sh("engine", f"ip address add {VIP}/32 dev lo")
    world.serve("engine", "tests.broken.listener", PORT)


CASES = [
    Case("VIP", vip_on_the_host, f"the engine's own host has the VIP {VIP} on lo"),
    Case("strict", answers_by_a_strict_interface, "rp_filter of eth1 is strict, and the route to"),
    Case("no route", no_route_to_the_vip, "no route to that address, and rp_filter=2 of eth0 wants one", vip=ROUTED),
    Case(
        "firewall, in", firewall("input", "ip protocol icmp accept; drop"), f"drops the answers of {VIP}, which come "
        "by eth0: its firewall?", "nft delete table ip own",
    ),
    Case(
        "firewall, out", firewall("output", f"ip daddr {VIP} drop"), "the engine's own host lets no probe out: its "
        "firewall?", "nft delete table ip own",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_the_engines_own_host_is_named_and_no_server(case: Case, tmp_path: Path) -> None:
    with built(tmp_path, "l2", runs=False, vip=case.vip) as world:
        case.breaks(world)
        world.start_engine()
        for name in HOSTS:
            world.reports("down", case.says, name)
        until(lambda: not world.server()["reason"].startswith("server "), lambda: world.server()["reason"])
        told = world.diagnose()
        assert case.says in told["verdict"], told
        first = told["findings"][0]
        assert (first["host"], first["on"]) == ("engine", ENGINE)
        assert not [finding for finding in told["findings"] if finding["grave"] and finding["host"] != "engine"]
        assert first["commands"] == ([] if case.restores else [world.server()["remedy"]])
        assert first["commands"] or first["advice"]
        if case.title == "strict":
            assert "IPReversePathFilter grew by" in told["verdict"]
        world.sh("engine", case.restores or world.server()["remedy"])
        world.is_well()


def test_settings_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    """As in a container: /proc/sys is for reading alone."""
    with built(tmp_path, "l2", runs=False) as world:
        world.around = ["unshare", "--mount", "sh", "-ec", 'mount --bind /proc/sys /proc/sys; '
                        'mount -o remount,ro,bind /proc/sys; exec "$@"', "sh"]  # fmt: skip
        world.start_engine()
        world.is_well()


def test_a_firewall_that_keeps_datagrams_out_alone(tmp_path: Path) -> None:
    asks = plan.Monitor(
        "m1", plan.MONITOR_UDP, send_interval=1, receive_timeout=1, successful_checks=1, failed_checks=1, request="?",
        response="?", port=UDP,
    )  # fmt: skip
    with field(tmp_path, "pcap", runs=False) as world:
        world.publish(monitors=(asks,), port=TCP, port_end=TCP)
        world.publish(monitors=(asks,), protocol="udp", port=UDP, port_end=UDP, uuid="virtualservice-2")
        firewall("input", "udp sport != 0 drop")(world)
        world.start_engine()
        world.reports("down", f"drops the answers of {VIP}, which come by eth0: its firewall?")
        world.sh("engine", "nft delete table ip own")
        world.is_well()
