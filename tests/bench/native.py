"""What the native decision takes for a frame, beside the XDP program in BPF_PROG_TEST_RUN: the same pool, service and
frame, and the time of a loop that decides nothing taken off each."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_char_p, c_uint32, c_uint64, c_void_p

from dataplane.drivers.maps.tables import MapTables
from dataplane.forwarding.values import Interface
from dataplane.native.decision.maps import SharedMaps
from dataplane.native.decision.worker import Worker
from dataplane.plan import L2
from tests.packets.world import mac

from . import rates, wire
from .cloops import built
from .measure import Effort, Samples

FRAMES = 20_000
"""Of one repetition: short, so that most are not interrupted."""
FIRST, SECOND = Interface(1, "lo", mac(1), 1500), Interface(2, "other", mac(2), 1500)


class Timed:
    """The native decision of a pool and a service."""

    def __init__(self, loops: ctypes.CDLL) -> None:
        self._maps = SharedMaps()
        self._worker = Worker(self._maps)
        self.tables = MapTables(self._maps)
        self.tables.put_interface(FIRST)
        self.tables.put_interface(SECOND)
        self._took = loops.took
        self._took.restype = c_uint64
        self._took.argtypes = (c_void_p, c_void_p, c_char_p, c_uint32, c_uint32, c_uint32, c_uint32)
        self._decide = ctypes.cast(self._maps.library.decide, c_void_p)

    def least(self, runs: int, flows: int = 1) -> float:
        """Nanoseconds of a frame, the least of so many runs, over a loop that decides nothing."""
        sent = wire.frame(FIRST.mac)
        self._worker.online(time.monotonic_ns())
        whole, bare = (
            min(
                self._took(decide, self._worker.begun, sent, len(sent), FIRST.index, FRAMES, flows) for _ in range(runs)
            )
            for decide in (self._decide, None)
        )
        self._worker.offline()
        return float(whole - bare) / FRAMES

    def close(self) -> None:
        """End."""
        self._worker.end()
        self.tables.close()
        self._maps.close()


@contextmanager
def timed() -> Iterator[Timed]:
    with built("decideloop.c") as loops:
        there = Timed(loops)
        try:
            yield there
        finally:
            there.close()


def frame_cost(effort: Effort) -> Iterator[Samples]:
    """Lines "L2" and "L3": the native decision's nanoseconds against the XDP program's, one flow, measured in the same
    rounds. Beside them, not judged: many flows; all slots in transition."""
    each = Effort(1, effort.scale / 3)
    runs = each.times(100, 3)
    ours: dict[str, list[float]] = {name: [] for name in rates.LINES}
    theirs: dict[str, list[float]] = {name: [] for name in rates.LINES}
    many: list[float] = []
    moving: list[float] = []
    with timed() as there:
        for _ in range(effort.rounds):
            for samples in rates.frame_cost(each):
                if samples.name in theirs:
                    theirs[samples.name].append(samples.values[0])
            for name, mode in rates.LINES.items():
                rates.put(there.tables, rates.pool(mode, SECOND.index), rates.service(0))
                ours[name].append(there.least(runs))
            stable = rates.pool(L2, SECOND.index)
            there.tables.put_pool(stable)
            many.append(there.least(runs, 1000))
            there.tables.put_pool(rates.moving(stable, 1))
            moving.append(there.least(runs, 1000))
            there.tables.put_pool(stable)
    for name in rates.LINES:
        yield Samples(name, "ns", ours[name], theirs[name], "the XDP program", "over a loop that decides nothing")
    yield Samples("L2, 1,000 flows", "ns", many)
    yield Samples("L2, 1,000 flows, all slots in transition", "ns", moving)
