"""Heartbeats that really travel: who is not heard, whose process has ended, whose clock is wrong."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dataplane.membership import heartbeat
from dataplane.membership.heartbeat import Heartbeat
from dataplane.membership.heartbeats import Heard, Heartbeats, Peer, Told
from dataplane.placement.hearing import Timing
from tests.netns import Namespace
from tests.polling import until

pytestmark = pytest.mark.root
OWN, OTHER = "127.0.0.1", "127.0.0.2"
SECRET = bytes(heartbeat.SECRET)
TIMING = Timing(0.05, 10)
VIP = bytes([10, 0, 0, 100])


def told(**fields: object) -> Told:
    values = {"secret": SECRET, "peers": {"b": (Peer(OWN, OTHER, forwards_on=True),)}, "timing": TIMING}
    return Told("a", **values | fields)  # type: ignore[arg-type]


class Other:
    """Engine b, as far as its heartbeats go; its clock is behind by some seconds."""

    def __init__(self, behind: float = 0.0) -> None:
        self.wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.wire.bind((OTHER, heartbeat.PORT))
        self.wire.settimeout(45)
        self.behind = behind
        self.beaten = 0.0  # when it beat last (time.monotonic())
        self.answers: list[int] = []  # until when ARP is answered for engine a's VIPs

    def beat(self, secret: bytes = SECRET) -> None:
        self.beaten = time.monotonic()
        datagram = heartbeat.write(secret, Heartbeat("b", time.time() - self.behind, {VIP: 7}))
        self.wire.sendto(datagram, (OWN, heartbeat.PORT))

    def hears(self) -> Heartbeat | None:
        return heartbeat.read(SECRET, self.wire.recv(heartbeat.LARGEST))


@pytest.fixture
def run() -> Iterator[Callable[[Callable[[Heartbeats, list[Heard], Other], None]], None]]:
    """Runs a test in a namespace, with engine a's heartbeats."""
    with Namespace() as there:

        def inside(body: Callable[[Heartbeats, list[Heard], Other], None]) -> None:
            def work() -> None:
                with ExitStack() as stack:
                    other, heard = Other(), [Heard()]
                    stack.callback(other.wire.close)
                    beats = Heartbeats(told(), heard.append, other.answers.append)
                    beats.start()
                    stack.callback(beats.close)
                    body(beats, heard, other)

            there.run(work)

        yield inside


Run = Callable[[Callable[[Heartbeats, list[Heard], Other], None]], None]


def _beating(other: Other, condition: Callable[[], object], **options: bytes) -> None:
    def one() -> object:
        other.beat(**options)
        return condition()

    until(one)


def test_who_does_not_beat_is_silent_and_heard_again_when_he_does(run: Run) -> None:
    def body(beats: Heartbeats, heard: list[Heard], other: Other) -> None:
        hears = other.hears()
        assert hears is not None
        assert hears.name == "a"
        _beating(other, lambda: heard[-1].epochs == {"b": {VIP: 7}})
        until(lambda: heard[-1].silent == {"b"})
        assert time.monotonic() - other.beaten > TIMING.silence * 0.8
        assert heard[-1].epochs == {}, "what a silent engine said counts no more"
        _beating(other, lambda: not heard[-1].silent)

    run(body)


def test_a_beat_of_another_cluster_is_none(run: Run) -> None:
    def body(beats: Heartbeats, heard: list[Heard], other: Other) -> None:
        _beating(other, lambda: heard[-1].silent == {"b"}, secret=SECRET[:-1] + b"x")

    run(body)


def test_a_process_that_has_ended_is_not_silent_while_its_kernel_forwards_on(run: Run) -> None:
    def body(beats: Heartbeats, heard: list[Heard], other: Other) -> None:
        _beating(other, lambda: heard[-1].epochs)
        other.wire.close()  # the kernel refuses from now on
        until(lambda: heard[-1].ended == {"b"})
        time.sleep(TIMING.silence * 2)
        assert not heard[-1].silent
        beats.tell(told(peers={"b": (Peer(OWN, OTHER),)}))
        until(lambda: heard[-1].silent == {"b"} and not heard[-1].ended, lambda: heard[-1])

    run(body)


def test_arp_is_answered_for_as_long_as_others_wait_for_a_process_that_has_ended(run: Run) -> None:
    def body(beats: Heartbeats, heard: list[Heard], other: Other) -> None:
        until(lambda: other.answers)
        assert set(other.answers) == {0}, "nobody else would"
        beats.tell(told(heirs=True))
        begun = time.monotonic_ns()
        until(lambda: other.answers[-1])
        assert begun + 30e9 < other.answers[-1] <= time.monotonic_ns() + 30e9
        until(lambda: other.answers[-1] > begun + 30e9 + 2e9 * TIMING.period)

    run(body)


def test_an_engine_without_carrier_says_nothing_of_others(run: Run) -> None:
    def body(beats: Heartbeats, heard: list[Heard], other: Other) -> None:
        beats.tell(told(carrier=False))
        time.sleep(TIMING.silence * 2)
        assert not heard[-1].silent

    run(body)


def test_a_clock_that_is_behind_is_seen(run: Run) -> None:
    def body(beats: Heartbeats, heard: list[Heard], other: Other) -> None:
        other.behind = 5.0
        _beating(other, lambda: 4.9 < beats.skews().get("b", 0.0) < 5.5)

    run(body)


def _hears(other: Other) -> bool:
    try:
        return other.hears() is not None
    except TimeoutError:
        return False


def test_an_engine_whose_loop_stands_still_beats_no_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplane.membership.heartbeats.HANGS", 0.3)

    def body(beats: Heartbeats, heard: list[Heard], other: Other) -> None:
        other.wire.settimeout(0.5)
        beats.tell(told(heirs=True))
        # Silence alone may also be a busy machine's. Others have its VIPs soon.
        until(lambda: not _hears(other) and other.answers[-1] <= time.monotonic_ns())

        def goes_round() -> bool:
            beats.tell(told(heirs=True))
            return _hears(other) and other.answers[-1] > time.monotonic_ns()

        until(goes_round)

    run(body)


def test_a_port_that_is_taken_is_told() -> None:
    with Namespace() as there:

        def work() -> None:
            heard = [Heard()]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
                taken.bind((OWN, heartbeat.PORT))
                beats = Heartbeats(told(), heard.append)
                beats.start()
                try:
                    until(lambda: "UDP port 1550: Address already in use" in heard[-1].fault)
                finally:
                    beats.close()

        there.run(work)
