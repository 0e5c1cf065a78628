"""Networks as operators have them, each with everything that a client does through the VIP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.broken.world import CLIENT, HOSTS, VIP, World, inet
from tests.drivers import REFERENCE, common_drivers
from tests.field import raw
from tests.field.world import TCP, UDP, counted, field, forwards, rejects_nothing
from tests.polling import until

pytestmark = pytest.mark.root

ROUTED = "192.0.2.100"
"""A VIP outside of the segment."""


@contextmanager
def well(folder: Path, driver: str) -> Iterator[World]:
    """The network before anything about it is special."""
    with field(folder, driver, napi=True) as world:
        world.sh("client", "ethtool -K eth0 tx off")
        world.is_well()
        yield world


def strict(world: World) -> None:
    """The engine's host takes packets only from where it would send to."""
    world.sh("engine", "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1")


def another_interface(world: World, address: str) -> None:
    """The engine's host has a second interface, on the same switch."""
    world.sh("engine", f"ip link add eth1 type veth peer name engine1 netns {world.spaces['switch'].path}")
    world.sh("switch", "ip link set engine1 master br0 up")
    world.sh("engine", f"ip link set eth1 up; ip addr add {address}/24 dev eth1")


def twice_on_the_segment(world: World) -> None:
    """Two interfaces are on one network, as where a card for backups was added; ARP answers come from either."""
    another_interface(world, "10.9.0.2")


@common_drivers
@pytest.mark.parametrize("change", [strict, twice_on_the_segment])
def test_traffic_flows(change: Callable[[World], None], driver: str, tmp_path: Path) -> None:
    with well(tmp_path, driver) as world:
        world.end_engine()
        change(world)
        world.start_engine()
        world.is_well()
        forwards(world)


@common_drivers
def test_a_vip_outside_of_the_segment_beside_another_default_route(
    driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with well(tmp_path, driver) as world:
        another_interface(world, "10.7.0.1")
        world.sh("engine", "ip route add default via 10.7.0.254; sysctl -qw net.ipv4.conf.all.rp_filter=2")
        world.sh("client", f"ip route add {ROUTED} via 10.9.0.1")
        for name in HOSTS:
            world.sh(name, f"avi-server apply --vip {ROUTED} --mode l2 --interface eth0")
        world.publish(vip=ROUTED, port=TCP, port_end=TCP)
        world.publish(vip=ROUTED, protocol="udp", port=UDP, port_end=UDP, uuid="virtualservice-2")
        world.is_well()
        monkeypatch.setattr("tests.field.world.VIP", ROUTED)
        forwards(world)
        keys = [f"net.ipv4.conf.{name}.rp_filter" for name in ("all", "eth0", "eth1")]
        world.sh("engine", f"sysctl -qw {' '.join(f'{key}=1' for key in keys)}")  # as sysctl --system does
        until(lambda: world.sh("engine", f"sysctl -n {keys[1]}").strip() == "2", world.log)
        forwards(world)
        world.is_well()


@common_drivers
def test_frames_with_a_tag(driver: str, tmp_path: Path) -> None:
    """Tag 0 is a priority; a frame of VLAN 99 on a port without VLANs is nobody's, its ARP too. A veth carries tags
    beside the frame, where packet sockets look and XDP does not."""
    with well(tmp_path, driver) as world:
        if driver != REFERENCE:
            world.sh("switch", "ethtool -K engine0 txvlan off")
        mac, engine = world.spaces["client"].link("eth0")[1], world.spaces["engine"].link("eth0")[1]
        asked = [
            raw.tagged(raw.arp_request(mac, inet(who), inet(VIP)), identifier)
            for identifier, who in ((99, "10.9.0.99"), (0, CLIENT))
        ]
        came = world.spaces["client"].run(lambda: raw.exchanged("eth0", asked, inet(VIP) + mac + inet(CLIENT)))
        assert [frame[6:12] for frame in came if inet(VIP) + mac in frame] == [engine]

        def sent(identifier: int, data: bytes) -> bytes:
            return raw.tagged(raw.datagram(engine, mac, inet(CLIENT), inet(VIP), UDP, data), identifier)

        rejects_nothing(world)
        before = counted(world)
        came = world.spaces["client"].run(
            lambda: raw.exchanged("eth0", [sent(99, b"of VLAN 99"), sent(0, b"urgent")], b"urgent")
        )
        assert not [frame for frame in came if b"VLAN" in frame]
        until(lambda: counted(world) > before)
        assert counted(world) == before + 1


DEBIAN = """\
#!/usr/sbin/nft -f

flush ruleset

table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		iif lo accept
		ct state established,related accept
		tcp dport 22 accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
	chain output {
		type filter hook output priority filter;
	}
}
"""
"""/etc/nftables.conf as Debian ships it, with the rules of a host that lets nobody in but by SSH."""


@common_drivers
def test_the_firewall_of_the_host_is_reloaded(driver: str, tmp_path: Path) -> None:
    with well(tmp_path, driver) as world:
        guarded = world.sh("engine", "nft -s list ruleset")
        (tmp_path / "nftables.conf").write_text(DEBIAN)
        for _ in range(2):
            world.sh("engine", f"nft -f {tmp_path / 'nftables.conf'}")
            until(lambda: guarded in world.sh("engine", "nft -s list ruleset"), lambda: world.log())
            forwards(world)
        world.is_well()


def test_a_segment_of_9000_bytes(tmp_path: Path) -> None:
    with well(tmp_path, "xdp") as world:
        world.end_engine()
        for name in ("client", "engine", *HOSTS):
            world.sh("switch", f"ip link set {name[:9]}0 mtu 9000")
            world.sh(name, "ip link set eth0 mtu 9000")
        world.start_engine()
        world.is_well()
        told = world.status()
        assert told is not None
        assert told["driver"]["interfaces"] == {"eth0": "native"}
        forwards(world)
