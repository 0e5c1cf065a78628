"""The forwarder's process by itself: its ports on veth interfaces, its control socket, and its end."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.drivers.dpdk import process, program
from dataplane.drivers.dpdk.process import Forwarder, Port
from dataplane.drivers.dpdk.program import Options
from dataplane.drivers.dpdk.steering import Steering
from dataplane.drivers.xdp import pins
from dataplane.drivers.xdp.pins import Pins
from dataplane.errors import DriverError
from dataplane.forwarding.values import Vip
from dataplane.lab import ping
from dataplane.lab.standstill import Witness
from tests.dpdk.conftest import BACK
from tests.packets.world import VIP, ip
from tests.polling import until
from tests.xdp.wire import Wire, instance, wire

pytestmark = pytest.mark.root
PATIENCE = 45.0
"""Seconds in which a forwarder is there again, whatever the machine does beside it."""


@pytest.fixture
def two() -> Iterator[Wire]:
    with wire() as made:
        yield made


def started(there: Wire, folder: Path) -> Forwarder:
    """A forwarder in the balancer's namespace that exchanges MAC addresses."""
    options = Options(instance(), decides=False)
    return there.balancer.run(lambda: Forwarder(folder, options, lambda frame: None, lambda index, up: None))


@contextmanager
def running(there: Wire, folder: Path) -> Iterator[Forwarder]:
    """The same, and its end."""
    made = started(there, folder)
    try:
        yield made
    finally:
        made.close(keep=False)


def on_packets(there: Wire, at: int = 0) -> Port:
    """A port on packet sockets."""
    interface = there.interfaces[at]
    more = "qpairs=1,blocksz=65536,framesz=2048,framecnt=512"
    return Port(interface.index, interface.name, f"net_af_packet{interface.index}", interface.name, more)


def comes_back(there: Wire, sport: int = 1000, at: int = 0) -> bool:
    """Whether a frame comes back with its MAC addresses exchanged."""
    sent = there.query(sport)
    wanted = sent[6:12] + sent[:6] + sent[12:]
    heard = there.sockets[at]
    heard.settimeout(0.2)
    heard.send(sent)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            if heard.recv(2048) == wanted:
                return True
        except TimeoutError:
            return False
    return False


def test_frames_come_and_go_by_packet_sockets(two: Wire, tmp_path: Path) -> None:
    with running(two, tmp_path) as forwarder:
        told = forwarder.add(on_packets(two))
        assert (told["pmd"], told["up"]) == ("net_af_packet", True)
        assert bytes.fromhex(told["mac"].replace(":", "")) == two.interfaces[0].mac
        until(lambda: comes_back(two))
        (counted,) = forwarder.statistics()["ports"]
        assert counted["received"] >= 1
        assert (counted["missed"], counted["failed"]) == (0, 0)
        forwarder.remove(two.interfaces[0].index)
        assert not comes_back(two)
        assert forwarder.statistics()["ports"] == []


def test_two_threads_share_the_queues_of_a_port(two: Wire, tmp_path: Path) -> None:
    options = Options(instance(), workers=2, decides=False)
    made = two.balancer.run(lambda: Forwarder(tmp_path, options, lambda frame: None, lambda index, up: None))
    try:
        for at in (0, 1):
            one = on_packets(two, at)
            told = made.add(replace(one, queues=2, more=one.more.replace("qpairs=1", "qpairs=2")))
            assert told["queues"] == 2
        until(lambda: comes_back(two))
        assert all(comes_back(two, sport) for sport in range(1000, 1050))
        (first, _) = made.statistics()["ports"]
        assert (first["missed"], first["failed"]) == (0, 0)
    finally:
        made.close(keep=False)


def test_what_the_host_sends_is_not_received(two: Wire, tmp_path: Path) -> None:
    with running(two, tmp_path) as forwarder:
        forwarder.add(on_packets(two))
        until(lambda: comes_back(two))
        before = forwarder.statistics()["ports"][0]["received"]
        mine = two.balancer.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        with mine:
            mine.bind((two.interfaces[0].name, 0))
            for sport in range(20):
                mine.send(two.query(sport))
        until(lambda: comes_back(two))
        assert forwarder.statistics()["ports"][0]["received"] - before < 20


def test_refusals_say_why(two: Wire, tmp_path: Path) -> None:
    with running(two, tmp_path) as forwarder:
        with pytest.raises(DriverError, match="DPDK has no device net_af_packet7"):
            forwarder.add(Port(7, "nowhere", "net_af_packet7", "nowhere"))
        with pytest.raises(DriverError, match="an MTU of 9000 needs larger frames than 2048 bytes"):
            forwarder.add(Port(7, "v0", "net_af_packet7", "v0", mtu=9000))
        assert forwarder.statistics()["ports"] == []
        forwarder.add(on_packets(two))
        until(lambda: comes_back(two))


def test_a_device_that_loses_its_link_is_told(two: Wire, tmp_path: Path) -> None:
    heard: list[tuple[int, bool]] = []
    options = Options(instance(), decides=False)
    made = two.balancer.run(
        lambda: Forwarder(tmp_path, options, lambda frame: None, lambda index, up: heard.append((index, up)))
    )
    try:
        assert made.add(Port(7, "card", "net_tap7", more="iface=tap7"))["up"]
        two.balancer.sh("ip link set tap7 down")
        until(lambda: heard == [(7, False)])
        two.balancer.sh("ip link set tap7 up")
        until(lambda: heard == [(7, False), (7, True)])
    finally:
        made.close(keep=False)


def test_a_killed_forwarder_is_there_again_with_its_ports(two: Wire, tmp_path: Path) -> None:
    begun = time.monotonic()
    with running(two, tmp_path) as forwarder:
        forwarder.add(on_packets(two))
        until(lambda: comes_back(two))
        start = time.monotonic() - begun
        former = forwarder.process
        with Witness() as machine:
            lost, began = 0, time.monotonic()
            os.kill(former, signal.SIGKILL)
            while not comes_back(two, sport=lost):
                lost += 1
                assert time.monotonic() - began < PATIENCE
            took = time.monotonic() - began - machine.stood(began)
        print(f"{lost} frames, sent one after the other, were lost in {took:.2f} s without a forwarder")
        assert took < max(BACK, 4 * start)
        assert forwarder.process != former
        told: list[str] = []

        def hears() -> bool:
            told.extend(forwarder.faults())
            return bool(told)

        until(hears)
        assert f"process {former}, ended; another one took over" in told[0]


def test_huge_pages_that_others_took_meanwhile_are_done_without(
    two: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = program.free_pages() >= program.ENOUGH_PAGES
    told = tmp_path / "free"
    told.write_text("1000000")
    monkeypatch.setattr(program, "FREE_PAGES", told)
    with running(two, tmp_path) as forwarder:
        assert forwarder.hello["huge"] == there


def test_a_forwarder_that_dies_again_and_again_is_given_up(two: Wire, tmp_path: Path) -> None:
    with running(two, tmp_path) as forwarder:
        for _ in range(process.STARTS):
            former = forwarder.process
            os.kill(former, signal.SIGKILL)
            until(lambda former=former: forwarder.process != former, seconds=PATIENCE)  # type: ignore[misc]
        os.kill(forwarder.process, signal.SIGKILL)

        def given_up() -> bool:
            try:
                forwarder.faults()
            except DriverError as exc:
                return "there is no other: it died 3 times in 10 seconds" in exc.what
            return False

        until(given_up)


def test_the_next_engine_takes_a_forwarder_over(two: Wire, tmp_path: Path) -> None:
    first = started(two, tmp_path)
    first.add(on_packets(two))
    until(lambda: comes_back(two))
    first.close(keep=True)
    assert comes_back(two)
    with running(two, tmp_path) as second:
        assert second.adopted
        assert second.process == first.process
        assert second.ports().keys() == {two.interfaces[0].index}
        assert comes_back(two)
    assert not process.stop(tmp_path), "none listens any more"


@pytest.fixture
def held(two: Wire) -> Iterator[Pins]:
    made = Pins(instance())
    yield made
    made.close()
    pins.remove(made.root.name)


def on_steered(two: Wire, steering: Steering) -> Port:
    """A port on AF_XDP sockets."""
    interface = two.interfaces[0]
    place = two.balancer.run(lambda: steering.put_interface(interface))
    device = f"net_af_xdp{interface.index}"
    return Port(interface.index, interface.name, device, interface.name, xsks=str(steering.sockets), first=place)


def test_steering_takes_vips_alone(two: Wire, held: Pins, tmp_path: Path) -> None:
    two.balancer.sh("ip addr add 10.0.0.1/24 dev v0")
    two.segment.sh("ip addr add 10.0.0.9/24 dev p0")
    steering = Steering(held)
    with running(two, tmp_path) as forwarder:
        told = forwarder.add(on_steered(two, steering))
        assert told["pmd"] == "net_af_xdp"
        assert not comes_back(two)
        steering.put_vip(Vip(ip(VIP), True, True))
        until(lambda: comes_back(two))
        assert two.segment.run(lambda: ping.answered("10.0.0.1", 10))
        steering.remove_vip(ip(VIP))
        assert not comes_back(two)
    steering.close(keep=False)
    assert not (held.root).exists()


def host_hears(two: Wire) -> bool:
    """Whether a frame for the VIP gets as far as the host's packet sockets."""
    heard = two.balancer.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    with heard:
        heard.bind((two.interfaces[0].name, 3))
        two.send(two.query(2000))
        two.send(b"\xff" * 12 + b"\x88\xb5" + bytes(46))  # another protocol's: the host's in any case
        heard.settimeout(10)
        for _ in range(100):
            received = heard.recv(2048)
            if received[12:14] == b"\x88\xb5":
                return False
            if received == two.query(2000):
                return True
    return False


def test_without_a_socket_vips_are_dropped_and_the_rest_is_the_hosts(two: Wire, held: Pins, tmp_path: Path) -> None:
    steering = Steering(held)
    two.balancer.run(lambda: steering.put_interface(two.interfaces[0]))
    assert host_hears(two)
    steering.put_vip(Vip(ip(VIP), True, True))
    assert not host_hears(two)
    with running(two, tmp_path) as forwarder:
        forwarder.add(on_steered(two, steering))
        until(lambda: comes_back(two))
        steering.close(keep=True)
        again = Steering(Pins(held.root.name))
        assert comes_back(two), "an adopted program steers on"
        again.close(keep=True)
    last = Steering(Pins(held.root.name))
    assert two.interfaces[0].index in last.attachments
    assert not host_hears(two)
    last.close(keep=False)
