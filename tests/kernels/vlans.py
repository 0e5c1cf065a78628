"""VLAN interfaces, and cards that take tags off frames, in the guest of `make test-kernel`: its kernel and its machine
have them. No other run takes this module, whose name pytest does not look for."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dataplane.drivers.xdp.senders import SenderSamples
from dataplane.drivers.xdp.tracing import TracingLinks
from dataplane.forwarding.driver import OffloadingSender
from dataplane.forwarding.values import Interface
from dataplane.network import ethtool, features
from dataplane.network.settings import KernelSettings
from tests.broken.world import CLIENT, ENGINE, VIP, World, inet
from tests.field import raw
from tests.field.world import TCP, UDP, counted, field, forwards, rejects_nothing
from tests.netns import Namespace
from tests.polling import until

pytestmark = pytest.mark.root


def test_a_vlan_interface_is_served_by_the_pcap_driver(tmp_path: Path) -> None:
    """Beside the interface under it, whose packet socket sees the same frames, with their tags."""
    with field(tmp_path, "xdp", kind="vlan", runs=False) as world:
        wrong, remedy = world.refused()
        assert "eth0.10 is a VLAN interface" in wrong
        assert remedy.startswith("--driver pcap")

        world.sh("engine", "ip addr add 10.7.0.1/24 dev eth0")
        world.driver, world.serves = "auto", ["eth0", "eth0.10"]
        _move_server_behind_a_vlan_interface(world, "broken")
        world.start_engine()
        world.is_well()
        told = world.status()
        assert told is not None
        assert told["driver"]["name"] == "pcap"
        assert "eth0.10 is a VLAN interface" in told["driver"]["reason"]
        forwards(world)
        rejects_nothing(world)
        assert _answered(world, _datagram(world, b"one"), b"one") == 1


def test_a_card_keeps_tags_in_frames_while_xdp_forwards(tmp_path: Path) -> None:
    with field(tmp_path, "xdp", runs=False) as world:
        world.sh("engine", "ip link del eth0")
        near, far = _taken(world.spaces["engine"], world.spaces["switch"])
        world.sh("switch", f"ip link set {far} name engine0; ip link set engine0 master br0 up")
        world.sh("engine", f"ip link set {near} name eth0; ip link set eth0 up; ip addr add {ENGINE}/24 dev eth0")
        until(lambda: "LOWER_UP" in world.sh("engine", "ip link show eth0"))
        wrong, remedy = world.refused()
        assert "puts segments together (GRO)" in wrong
        world.sh("engine", remedy)
        assert _strips(world)
        world.start_engine()
        world.is_well()
        assert not _strips(world)
        forwards(world)
        rejects_nothing(world)
        tagged = raw.tagged(_datagram(world, b"of VLAN 99"), 99)
        assert _answered(world, tagged, _datagram(world, b"untagged"), b"untagged") == 1
        for name, address in (("engine", "10.6.0.1"), ("client", "10.6.0.50")):
            world.sh(name, "ip link add eth0.10 link eth0 type vlan id 10; ip link set eth0.10 up")
            world.sh(name, f"ip addr add {address}/24 dev eth0.10")
        world.serve("engine", "tests.field.server", TCP, UDP)
        assert world.sh("client", f"curl -s -m 15 http://10.6.0.1:{TCP}/") == "0"  # the host takes the tag off

        world.end_engine(signal.SIGHUP)
        assert not _strips(world)
        words = ("--state", str(tmp_path), "--name", world.name)
        argv = ["nsenter", f"--net={world.spaces['engine'].path}", sys.executable, "-m", "dataplane", "clean", *words]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        assert "rxvlan of eth0" in done.stdout
        assert _strips(world)


def test_every_card_of_a_bond_keeps_them(tmp_path: Path) -> None:
    with Namespace() as there:
        cards = _taken(there, there)
        there.sh("ip link add bond0 type bond mode active-backup")
        for card in cards:
            there.sh(f"ip link set {card} down; ip link set {card} master bond0")
        keys = {features.key(card, "rxvlan") for card in cards}

        def kept() -> None:
            made = KernelSettings()
            assert set(features.untagging("bond0")) == keys
            made.prepare("bond0", tags=True)
            assert not features.untagging("bond0")
            assert {one.name for one in made.objects()} >= keys
            made.close()
            assert set(features.untagging("bond0")) == keys

        there.run(kept)


def test_samples_of_senders_see_the_tags_beside_their_frames() -> None:
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name far0; ip link set eth0 up; ip link set far0 up")
        there.sh("ip link add far0.99 link far0 type vlan id 99; ip link set far0.99 up")
        index, mac = there.link("eth0")
        sender, client, vip = there.link("far0.99")[1], inet(CLIENT), inet(VIP)
        frame = raw.datagram(mac, sender, client, vip, UDP, b"of VLAN 99")

        def seen() -> list[OffloadingSender]:
            tracing = TracingLinks()
            samples = SenderSamples(tracing)
            try:
                samples.look([Interface(index, "eth0", mac, 1500)], {vip})
                for name in ("far0", "far0.99"):
                    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
                        wire.bind((name, 0))
                        wire.send(frame)
                return samples.look([], {vip})
            finally:
                samples.close()
                tracing.close()

        assert there.run(seen) == [OffloadingSender(vip, client, sender, 99, "far0")]


def _move_server_behind_a_vlan_interface(world: World, server: str) -> None:
    words = f"--vip {VIP} --mode l2 --interface"
    world.sh("switch", f"bridge vlan add dev {server}0 vid 10; bridge vlan del dev {server}1 vid 10")
    world.sh(server, f"avi-server undo {words} eth0; ip addr flush dev eth0; ip link set eth1 down")
    world.sh(server, "ip link add eth0.10 link eth0 type vlan id 10; ip link set eth0.10 up")
    world.sh(server, f"ip addr add {world.addresses[server]}/24 dev eth0.10")
    world.sh(server, f"avi-server apply {words} eth0.10; avi-server check {words} eth0.10")


def _datagram(world: World, data: bytes) -> bytes:
    client, engine = world.spaces["client"].link("eth0")[1], world.spaces["engine"].link(world.serves[-1])[1]
    return raw.datagram(engine, client, inet(CLIENT), inet(VIP), UDP, data)


def _answered(world: World, *frames: bytes) -> int:
    """Send frames, and wait for an answer that holds the last of these. Returns how many packets were forwarded."""
    *sent, wanted = frames
    before = counted(world)
    world.spaces["client"].run(lambda: raw.exchanged("eth0", sent, wanted))
    until(lambda: counted(world) > before)
    return counted(world) - before


def _strips(world: World) -> bool:
    """Whether the engine's card takes tags off."""
    return "rx-vlan-offload: on" in world.sh("engine", "ethtool -k eth0")


def _taken(*spaces: Namespace) -> list[str]:
    """Move the guest's cards into namespaces, and return their names. They come back when the namespaces go."""
    until(lambda: len(_cards()) == len(spaces), lambda: f"cards: {_cards()}")
    names = _cards()
    for name, space in zip(names, spaces, strict=True):
        subprocess.run(["ip", "link", "set", name, "netns", space.path], check=True)
    return names


def _cards() -> list[str]:
    return [name for _, name in socket.if_nameindex() if ethtool.network_driver(name) == "e1000e"]
