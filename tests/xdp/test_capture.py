"""What a capture tells of frames, and that it changes nothing of what becomes of them: the packet table on the compiled
decision with a capture, in the kernel and natively; filters, against their definition."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from dataplane.bpf.maps import Map
from dataplane.bpf.programs import Program
from dataplane.drivers.maps.ringcapture import RingCapture
from dataplane.drivers.maps.slowcapture import SlowCapture
from dataplane.drivers.xdp.capture import XdpCapture
from dataplane.drivers.xdp.driver import SLOW
from dataplane.errors import DriverError
from dataplane.forwarding import capture, decision
from dataplane.forwarding.capture import MOST, Capture, Captured, Left, Ports, Wanted
from dataplane.forwarding.values import TCP, UDP
from tests.packets.cases import CASES, Case, frame, tcp, udp
from tests.packets.world import ETH0, WORLD
from tests.xdp.frames import random_frame
from tests.xdp.worlds import random_world

from .decider import KernelDecider, received_on
from .nativedecider import NativeDecider
from .test_packets import holds

EVERYTHING = Wanted(most=MOST)


class CapturingKernel(KernelDecider):
    """The program of a capture in the place of the other."""

    def capture(self, wanted: Wanted) -> Capture:
        """Begin one."""
        plain = self._program
        maps: dict[str, Map] = {**self._maps, SLOW: self._handed_over}

        def swap(program: Program | None) -> None:
            self._program = program or plain

        return SlowCapture(wanted, XdpCapture(wanted, maps, swap), self._slow.frames)


class CapturingNative(NativeDecider):
    """A worker that captures."""

    def capture(self, wanted: Wanted) -> Capture:
        """Begin one."""
        return SlowCapture(wanted, RingCapture(wanted, self._maps), self._slow)


Capturing = CapturingKernel | CapturingNative
BOTH = [pytest.param(CapturingKernel, id="xdp", marks=pytest.mark.root), pytest.param(CapturingNative, id="native")]


@pytest.fixture(scope="module", params=BOTH)
def decider(request: pytest.FixtureRequest) -> Iterator[Capturing]:
    """Of the frames of one interface."""
    made: Capturing = request.param()
    received_on(WORLD, ETH0).put(made.tables)
    yield made
    made.close()


def told(row: Case) -> Captured:
    """What a capture of everything tells of a case, but for the time."""
    want = row.expected
    left = tuple(Left(one[:MOST], len(one)) for one in want.frames)
    return Captured(0, 1, row.frame[:MOST], len(row.frame), want.action, want.reason, left)


def test_every_case_becomes_what_it_was_and_is_told_of(decider: Capturing) -> None:
    rows = [row for row in CASES if row.interface == ETH0]
    if isinstance(decider, CapturingKernel):  # a look at all its counters takes a while: one of each kind
        rows = list({(one := row.expected).action + one.reason + str(len(one.frames)): row for row in rows}.values())
    running = decider.capture(EVERYTHING)
    try:
        for row in rows:
            before = time.monotonic_ns()
            holds(row, {ETH0.index: decider})
            taken = running.take()
            if not capture.is_wanted(row.frame, EVERYTHING):
                assert [one for one in taken if one.frame == row.frame[:MOST]] == [], row.what
                continue
            assert taken[-1]._replace(nanoseconds=0) == told(row), row.what
            assert before <= taken[-1].nanoseconds <= time.monotonic_ns()
            assert len(taken) == 1 + sum(capture.is_wanted(earlier, EVERYTHING) for earlier in row.before)
        assert running.lost() == 0
    finally:
        running.close()
    holds(rows[0], {ETH0.index: decider})


def random_wanted(rnd: random.Random) -> Wanted:
    """Few values, so that frames meet them."""

    def span(first: int, last: int) -> tuple[int, int]:
        low, high = sorted(rnd.randint(first, last) for _ in range(2))
        return low, high

    def few(most: int) -> range:
        return range(rnd.choice((0, 0, 1, 2, most)))

    return Wanted(
        vips=tuple(bytes((10, 0, rnd.randrange(2), rnd.randrange(1, 20))) for _ in few(capture.MOST_VIPS)),
        ports=tuple(Ports(rnd.choice((TCP, UDP)), *span(0, 120)) for _ in few(capture.MOST_PORTS)),
        clients=tuple(
            (low.to_bytes(4, "big"), high.to_bytes(4, "big"))
            for low, high in (span(0x0A000000, 0x0A000120) for _ in few(capture.MOST_CLIENTS))
        ),
        other_clients=rnd.random() < 0.3,
        protocol=rnd.choice((0, 0, 0, 1, TCP, UDP)),
        source=rnd.choice((capture.ANY_PORT, span(0, 0xFFFF))),
        destination=rnd.choice((capture.ANY_PORT, span(0, 120))),
        tcp_flags=rnd.choice((0, 0, 0x02, 0x10, 0x12)),
        drops=rnd.random() < 0.2,
        most=rnd.choice((64, 128, 1514, MOST)),
    )


@pytest.mark.parametrize("make", BOTH)
def test_filters_take_what_their_definition_takes(make: type[Capturing]) -> None:
    rnd = random.Random(7)
    made, taken_at_all = make(), 0
    try:
        world = random_world(rnd)
        world.put(made.tables)
        for _ in range(9 if make is CapturingKernel else 20):
            wanted = random_wanted(rnd)
            frames = [random_frame(rnd, world) for _ in range(60)]
            running = made.capture(wanted)
            ran = [made.run(one).action for one in frames]
            taken = [one.frame for one in running.take()]
            running.close()
            hit = [
                one[: wanted.most]
                for one, action in zip(frames, ran, strict=True)
                if capture.is_wanted(one, wanted) and (action == decision.DROPPED or not wanted.drops)
            ]
            assert sorted(taken) == sorted(hit), wanted  # what user space decides on comes later
            taken_at_all += len(taken)
    finally:
        made.close()
    assert taken_at_all > 20, "the filters meet frames"


def test_what_finds_no_room_is_counted_and_what_comes_later_is_told_of(
    decider: Capturing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplane.drivers.maps.captureformat.LEASE", 10**12)  # an emulated processor takes seconds
    running = decider.capture(EVERYTHING)
    try:
        large = frame(udp(sport=1000, data=bytes(1400)), dst=ETH0.mac)
        number = 2000
        for _ in range(number):
            decider.run(large)
        taken, lost = running.take(), running.lost()
        assert lost
        assert len(taken) + lost == number
        decider.run(frame(tcp(sport=5), dst=ETH0.mac))
        (last,) = running.take()
        assert last.frame == frame(tcp(sport=5), dst=ETH0.mac)
        for _ in range(3):  # round the ring
            for _ in range(200):
                decider.run(large)
            assert {one.frame for one in running.take()} == {large}
        assert running.lost() == lost
    finally:
        running.close()


def test_what_user_space_decides_on_stands_at_its_time_and_is_counted_where_there_is_no_room(
    decider: Capturing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "ROOM", 2)
    cut_up = [frame(udp(90, sport=1000 + n, data=bytes(1470)), dst=ETH0.mac) for n in range(5)]
    running = decider.capture(EVERYTHING)
    try:
        for one in cut_up:
            assert decider.run(one).slow
        decided = time.monotonic_ns()
        taken = running.take()
        assert [one.frame for one in taken] == cut_up[:2]
        assert all(len(one.left) == 2 and one.nanoseconds <= decided for one in taken)
        assert running.lost() == 3
        decider.run(cut_up[0])
        assert [one.frame for one in running.take()] == cut_up[:1]
        assert running.lost() == 3
    finally:
        running.close()


def test_a_capture_that_nobody_takes_ends_by_itself(decider: Capturing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplane.drivers.maps.captureformat.LEASE", 1)
    running = decider.capture(EVERYTHING)
    try:
        decider.run(frame(udp(), dst=ETH0.mac))
        assert running.take() == []
    finally:
        running.close()


def test_one_capture_at_a_time_runs_natively() -> None:
    made = CapturingNative()
    try:
        running = made.capture(EVERYTHING)
        with pytest.raises(DriverError, match="another capture runs"):
            made.capture(EVERYTHING)
        running.close()
        made.capture(EVERYTHING).close()
    finally:
        made.close()
