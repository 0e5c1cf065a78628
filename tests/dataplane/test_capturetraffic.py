"""Captures begin and end under traffic: no frame is lost, and each one of a capture's time is told of once. Here on the
pcap driver; XDP's and DPDK's tests bring wires of their own. (At half the rate: `tests/bench/test_capturing.py`.)"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from dataplane.forwarding.capture import MOST, Captured, Wanted
from dataplane.forwarding.driver import whole
from dataplane.forwarding.values import UDP, ServiceKey
from tests.dataplane.test_pcap import OnWires, bench
from tests.packets.cases import frame, udp
from tests.packets.world import ETH0, VIP, ip
from tests.polling import until

__all__ = ["bench"]
pytestmark = pytest.mark.root
WANTED = Wanted(vips=(ip(VIP),), protocol=UDP, most=MOST)
CAPTURES = 8
BURST = 40
"""Frames on the wire at a time; the smallest of the drivers' rings has room for many more."""
QUERY = frame(udp(data=bytes(4)), dst=ETH0.mac)
DNS = ServiceKey(ip(VIP), UDP, 53, 53)


def query(number: int) -> bytes:
    """A frame that tells its number."""
    return QUERY[:-4] + number.to_bytes(4, "big")


def number(query: bytes) -> int:
    """Of a frame, in front of the decision or behind it."""
    return int.from_bytes(query[-4:], "big")


def test_no_frame_is_lost_while_captures_begin_and_end(bench: OnWires) -> None:
    over, crossed = Event(), [0]

    def cross() -> None:
        while not over.is_set():
            burst = range(crossed[0], crossed[0] + BURST)
            for one in burst:
                bench.wires[ETH0.index].send(query(one))
            assert [number(bench.arrives(ETH0.index)) for _ in burst] == list(burst)
            crossed[0] += BURST

    def more(traffic: Future[None], look: Callable[[], object] = lambda: None) -> None:
        """Until two more bursts have crossed."""
        before = crossed[0]

        def enough() -> bool:
            look()
            if traffic.done():
                traffic.result()
            return crossed[0] >= before + 2 * BURST

        until(enough)

    def packets() -> int:
        counted = whole(bench.driver.counters_in_pieces()).services.get(DNS)
        return counted.packets if counted else 0

    bench.drain()
    counted = packets()
    with ThreadPoolExecutor(1) as threads:
        traffic = threads.submit(cross)
        try:
            for _ in range(CAPTURES):
                more(traffic)
                capture, taken = bench.driver.capture(WANTED), list[Captured]()
                before = crossed[0] + BURST  # of the burst that is on the wire some may have come before
                more(traffic, lambda: taken.extend(capture.take()))  # noqa: B023
                after = crossed[0]
                taken += capture.take()
                assert capture.lost() == 0
                capture.close()
                told = [number(one.frame) for one in taken]
                assert told == list(range(told[0], told[0] + len(told))), "each once, in their order"
                assert told[0] <= before
                assert told[-1] >= after - 1
                assert all(number(one.left[0].frame) == number(one.frame) for one in taken)
        finally:
            over.set()
        traffic.result()
    bench.wait(lambda _: packets() - counted == crossed[0])
