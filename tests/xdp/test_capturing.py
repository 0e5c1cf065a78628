"""A capture on veth interfaces: its program takes the other's place without a frame lost, and nothing of it stays."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from dataplane.bpf import links
from dataplane.bpf.objects import Object
from dataplane.bpf.programs import Program
from dataplane.drivers.pcap.packetsocket import ETH_P_ALL
from dataplane.drivers.xdp import attachment, pins
from dataplane.drivers.xdp.driver import XdpDriver
from dataplane.forwarding.capture import MOST, Capture, Left, Wanted
from dataplane.forwarding.driver import whole
from dataplane.forwarding.program import CAPTURE, DSR
from dataplane.forwarding.values import UDP, ServiceKey
from tests.dataplane.test_capturetraffic import test_no_frame_is_lost_while_captures_begin_and_end
from tests.dataplane.test_pcap import OnWires, put, wired
from tests.netns import Namespace
from tests.packets.world import ETH0, VIP, WORLD, ip

from .wire import SERVERS, Wire, instance, pin_folder, wire

__all__ = ["test_no_frame_is_lost_while_captures_begin_and_end"]
pytestmark = pytest.mark.root
FIRST, _ = SERVERS
WANTED = Wanted(vips=(ip(VIP),), most=MOST)
BURST = 50


@pytest.fixture
def two() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture
def name() -> Iterator[str]:
    made = instance()
    yield made
    left = pin_folder(made).exists()
    pins.remove(made)
    assert not left, "pins are left over"


@pytest.fixture
def bench(name: str) -> Iterator[OnWires]:
    """The XDP driver in the place of the pcap driver; traffic comes and goes by the first interface."""
    with Namespace() as engine, Namespace() as far:
        real = {i.index: wired(engine, far, i) for i in WORLD.interfaces}
        for where in (engine, far):  # larger frames are not for native XDP on a veth
            where.sh("; ".join(f"ip link set {one.name} mtu 1500" for one in real.values()))
        far.run(lambda: attachment.attach_pass(ETH0.name))
        with far.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)) as heard:
            heard.bind((ETH0.name, ETH_P_ALL))
            driver = engine.run(lambda: XdpDriver(name))
            try:
                engine.run(lambda: put(driver, real))
                assert driver.modes()[ETH0.name].startswith("native")
                yield OnWires(engine, driver, {ETH0.index: heard}, real)
            finally:
                driver.close(keep=False)


def running(two: Wire) -> set[str]:
    """The names of the programs on both interfaces."""
    found = set()
    for interface in two.interfaces:
        there = two.balancer.run(lambda index=interface.index: links.attached(index))  # type: ignore[misc]
        assert there is not None
        with Program.by_id(there.program) as program:
            found.add(program.name)
    return found


def test_no_frame_is_lost_when_it_begins_and_ends_and_every_one_of_its_time_is_told_of(two: Wire, name: str) -> None:
    driver = two.start(name)
    try:
        two.put(driver)
        sent = 0
        for _ in range(3):
            assert running(two) == {"dsr"}
            capture = driver.capture(WANTED)
            assert running(two) == {"capture"}
            queries = [two.query(1000 + n) for n in range(BURST)]
            for query in queries:
                two.send(query)
            received = two.receive(BURST)
            taken = capture.take()
            assert [one.frame for one in taken] == queries
            assert sorted(one.left[0].frame for one in taken) == sorted(received)
            assert {one.left for one in taken if one.left[0].frame[:6] == SERVERS[FIRST][1]} == {
                (Left(frame, len(frame)),) for frame in received if frame[:6] == SERVERS[FIRST][1]
            }
            assert {one.interface for one in taken} == {two.interfaces[0].index}
            assert capture.lost() == 0
            capture.close()
            two.send(two.query(7))
            two.receive(1)
            sent += BURST + 1
        assert whole(driver.counters_in_pieces()).services[ServiceKey(ip(VIP), UDP, 53, 53)].packets == sent
    finally:
        driver.close(keep=False)


def test_the_program_of_a_capture_has_every_map_of_the_other(two: Wire, name: str) -> None:
    driver = two.start(name)
    try:
        with Object(DSR) as plain, Object(CAPTURE) as capturing:
            assert set(driver._of_program) == set(plain.names) - {"rodata"}
            assert set(plain.names) < set(capturing.names)
    finally:
        driver.close(keep=False)


def test_an_interface_that_comes_meanwhile_is_captured_too(two: Wire, name: str) -> None:
    driver = two.start(name)
    try:
        two.put(driver)
        capture = driver.capture(WANTED)
        driver.remove_interface(two.interfaces[1].index)
        two.balancer.run(lambda: driver.put_interface(two.interfaces[1]))
        assert running(two) == {"capture"}
        capture.close()
        assert running(two) == {"dsr"}
    finally:
        driver.close(keep=False)


def test_the_next_driver_ends_what_a_killed_one_captured(two: Wire, name: str) -> None:
    driver = two.start(name)
    two.put(driver)
    abandoned: Capture = driver.capture(WANTED)
    driver.close(keep=True)  # as a kill does: nobody ends the capture
    assert running(two) == {"capture"}
    two.send(two.query(1))
    two.receive(1)
    successor = two.start(name)
    try:
        assert running(two) == {"dsr"}
        two.put(successor)
        two.send(two.query(2))
        two.receive(1)
        again = successor.capture(WANTED)
        two.send(two.query(3))
        two.receive(1)
        assert [one.frame for one in again.take()] == [two.query(3)]
        again.close()
    finally:
        successor.close(keep=False)
    del abandoned
