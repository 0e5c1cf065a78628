"""The packet socket on a veth of its own: ring, batches, what is lost, a link that goes down."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from dataplane.drivers.pcap import packetsocket
from dataplane.drivers.pcap.packetsocket import BATCH, NOTHING_UNDONE, RING, ROOM, PacketSocket
from dataplane.forwarding.values import Interface

from ..netns import Namespace

pytestmark = pytest.mark.root

SLOTS = RING // ROOM


@dataclass
class Pair:
    """The socket, and a plain one at the other end of its wire."""

    there: Namespace
    ring: PacketSocket
    far: socket.socket

    def take(self, got: list[bytes]) -> int:
        """Add the frames that are there; how many that makes."""
        got += [frame for frame, _, _ in self.ring.received(BATCH)]
        return len(got)

    def arrived(self, number: int) -> list[bytes]:
        """So many frames from the ring."""
        got: list[bytes] = []
        until(lambda: self.take(got) >= number)
        return got


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 45
    while not condition():
        assert time.monotonic() < deadline


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Namespace() as there:
        there.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
        there.sh("ip link add near type veth peer name far; ip link set near up; ip link set far mtu 9000 up")
        index, mac = there.link("near")
        ring = there.run(lambda: PacketSocket(Interface(index, "near", mac, 1500)))

        def plain() -> socket.socket:
            far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            far.setsockopt(packetsocket.SOL_PACKET, packetsocket.PACKET_IGNORE_OUTGOING, 1)
            far.bind(("far", packetsocket.ETH_P_ALL))
            far.settimeout(45)
            return far

        with there.run(plain) as far:
            yield Pair(there, ring, far)
        ring.close()


def sample(number: int, size: int = 60) -> bytes:
    return bytes((2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xB5)) + number.to_bytes(4, "big") + bytes(size - 18)


def test_frames_come_in_order_round_the_ring(pair: Pair) -> None:
    sent = [sample(n) for n in range(SLOTS + SLOTS // 2)]
    got = []
    for start in range(0, len(sent), 512):
        for frame in sent[start : start + 512]:
            pair.far.send(frame)
        got += pair.arrived(len(sent[start : start + 512]))
    assert got == sent
    assert pair.ring.lost() == 0


@pytest.mark.parametrize("size", [60, 1514, ROOM - packetsocket.HEADROOM + 14, ROOM, 9014])
def test_frames_larger_than_a_slot_come_whole_and_in_their_place(pair: Pair, size: int) -> None:
    sent = [sample(1), sample(2, size), sample(3), sample(4, size)]
    pair.there.sh("ip link set near mtu 9000")
    for frame in sent:
        pair.far.send(frame)
    assert pair.arrived(len(sent)) == sent


def test_what_finds_no_room_is_counted(pair: Pair) -> None:
    number = SLOTS + 1000
    for n in range(number):
        pair.far.send(sample(n))
    until(lambda: pair.ring.lost() == 1000)
    assert pair.arrived(SLOTS) == [sample(n) for n in range(SLOTS)]
    pair.far.send(sample(number))
    assert pair.arrived(1) == [sample(number)]
    assert pair.ring.lost() == 1000


def test_large_frames_that_find_no_room_are_counted(pair: Pair) -> None:
    pair.there.sh("ip link set near mtu 9000")
    number = 1500
    for n in range(number):
        pair.far.send(sample(n, 9014))
    got: list[bytes] = []
    until(lambda: pair.take(got) + pair.ring.lost() == number)
    assert len(got) > 100
    assert pair.ring.lost() > 100
    assert got == [sample(int.from_bytes(f[14:18], "big"), 9014) for f in got]


def test_a_batch_leaves_in_order(pair: Pair) -> None:
    for start in (0, BATCH):
        for n in range(BATCH):
            pair.ring.put(NOTHING_UNDONE + sample(start + n, 60 + 20 * n))
        assert pair.ring.flush() == []
        assert [pair.far.recv(ROOM) for _ in range(BATCH)] == [sample(start + n, 60 + 20 * n) for n in range(BATCH)]
    assert pair.ring.flush() == []


def test_frames_that_cannot_be_sent_are_named_and_the_others_leave(pair: Pair) -> None:
    broken = (b"\x01" + bytes(5) + b"\xff\xff\xff\xff").ljust(10, b"\0")  # a checksum to fill in far behind the frame
    for n in range(5):
        pair.ring.put((broken if n in (1, 2, 4) else NOTHING_UNDONE) + sample(n))
    assert pair.ring.flush() == [1, 2, 4]
    assert [pair.far.recv(ROOM) for _ in range(2)] == [sample(0), sample(3)]


def test_a_link_that_goes_down_is_told_once_and_comes_back(pair: Pair) -> None:
    poll = select.epoll()
    poll.register(pair.ring, select.EPOLLIN)
    pair.there.sh("ip link set near down")
    (told,) = poll.poll(5)
    assert told[1] & select.EPOLLERR
    assert pair.ring.fault() == errno.ENETDOWN
    assert poll.poll(0) == []
    pair.ring.put(NOTHING_UNDONE + sample(1))
    assert pair.ring.flush() == [0]
    pair.there.sh("ip link set near up")
    until(lambda: "LOWER_UP" in pair.there.sh("ip link show dev far"))
    pair.far.send(sample(2))
    assert pair.arrived(1) == [sample(2)]
    poll.close()


def test_the_counter_of_what_was_lost_outlives_the_socket(pair: Pair) -> None:
    for n in range(SLOTS + 10):
        pair.far.send(sample(n))
    until(lambda: pair.ring.lost() == 10)
    pair.ring.close()
    assert pair.ring.lost() == 10


def test_large_frames_are_taken_in_their_place_after_the_link_went_down(pair: Pair) -> None:
    pair.there.sh("ip link set near mtu 9000")
    sent = [sample(1, 9014), sample(2), sample(3, 9014)]
    for frame in sent:
        pair.far.send(frame)
    pair.there.sh("ip link set near down")
    assert pair.arrived(len(sent)) == sent
