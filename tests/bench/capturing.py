"""What a capture costs, and that it loses nothing: XDP's rate while one runs, and frames at half the rate while
captures begin and end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from dataplane.forwarding.capture import Capture, Wanted
from dataplane.forwarding.driver import whole
from dataplane.plan import L2
from tests.packets.world import ip

from .measure import Effort, Samples, interleaved
from .rates import FRAMES, Balanced, balanced, pool, service
from .wire import FIRST_VIP

ALL = Wanted(vips=(FIRST_VIP,))
NOBODY = Wanted(vips=(FIRST_VIP,), clients=((ip("192.0.2.1"), ip("192.0.2.1")),))
"""A client that sends nothing."""
PIECE = 100_000
"""Frames between two rests as long as they took, at half the rate."""
LASTS = 0.05
"""Seconds of one capture of those that begin and end."""
LATEST = 2.0
"""Seconds for the last frames to arrive."""
EVERY = 0.05
"""Seconds between two looks at what was captured, as engines have it."""


def captures(effort: Effort) -> Iterator[Samples]:
    """Lines "all" and "none": the rate while all packets, or none of them, are captured, against that without a
    capture. "half the rate": frames lost of those sent at half the rate, while captures of all begin and end."""
    frames = effort.times(FRAMES // 2, 2000)
    with balanced() as there:
        there.put(pool(L2, there.wire.second.index), service(0))
        there.send()

        def rate(wanted: Wanted | None) -> Callable[[], float]:
            def measure() -> float:
                if wanted is None:
                    return there.own(frames)
                with _running(there, wanted):
                    return there.own(frames)

            return measure

        rates = interleaved(effort.rounds, all=rate(ALL), none=rate(NOBODY), without=rate(None))
        for name in ("all", "none"):
            yield Samples(name, "Mpps", rates[name], rates["without"], "no capture")
        lost, counted = _at_half_the_rate(there, effort.times(4_000_000, 4000))
        yield Samples("half the rate", "lost", [float(lost)], more=counted)


@contextmanager
def _running(there: Balanced, wanted: Wanted) -> Iterator[Capture]:
    """A capture that is taken from as an engine does."""
    running, over = there.driver.capture(wanted), Event()

    def take() -> None:
        while not over.wait(EVERY):
            running.take()

    taking = Thread(target=take)
    taking.start()
    try:
        yield running
    finally:
        over.set()
        taking.join()
        running.close()


def _at_half_the_rate(there: Balanced, frames: int) -> tuple[int, dict[str, object]]:
    """How many of so many frames the program did not see, or did not arrive; and how many captures there were. (What
    the kernel sends by itself arrives, too.)"""
    over, begun = Event(), [0, 0]

    def on_and_off() -> None:
        while not over.is_set():
            with _running(there, ALL) as running:
                over.wait(LASTS)
                begun[0] += 1
                begun[1] += running.lost()
            over.wait(LASTS)

    before, seen = sum(there.wire.arrived().values()), _seen(there)
    switching = Thread(target=on_and_off)
    switching.start()
    began, busy = time.monotonic(), 0.0
    try:
        for _ in range(max(1, frames // PIECE)):
            took = there.wire.push(PIECE)
            busy += took
            time.sleep(took)
    finally:
        over.set()
        switching.join()
    whole = max(1, frames // PIECE) * PIECE
    rate = whole / (time.monotonic() - began) / 1e6
    more: dict[str, object] = {"frames": whole, "Mpps": rate, "captures": begun[0], "not captured": begun[1]}
    until = time.monotonic() + LATEST
    while (lost := whole - _seen(there) + seen + max(0, whole - sum(there.wire.arrived().values()) + before)) > 0:
        if time.monotonic() > until:  # a busy machine has some still in flight
            break
    return lost, more


def _seen(there: Balanced) -> int:
    """Packets that the program forwarded."""
    return sum(tally.packets for tally in whole(there.driver.counters_in_pieces()).services.values())
