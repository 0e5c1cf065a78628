"""How long one frame takes while the XDP program has 0.6 of the frames that it can take, on the wire of
`tests.bench.wire`.

A frame comes alone when it is due, and bears the time that it was made at; the sink counts how long it took. A bare
redirect stands in the same place at the same pace. Shown beside it: frames in batches of 64, as a card that waits
between two interrupts brings them. There a frame's time is that of its whole batch, so that it says little more than
the rate does, and whatever interrupts the processor for a moment makes 64 frames late.

The generator's thread, in which all happens to a frame, runs before other programs (SCHED_FIFO, sched(7)). Rounds are
many and short: what disturbs one of a pair disturbs the other.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

from dataplane.bpf import maps
from dataplane.bpf.maps import Map
from dataplane.bpf.programs import Program

from . import rates
from .measure import Effort, Samples, paired
from .rates import Balanced

FRAMES = 64_000
"""Of one repetition at full effort."""
BATCHES = {"": 1, ", batches of 64": 64}
"""Frames that come together, by what is added to a line's name."""
STEP = 32
"""Nanoseconds of a step of the delays, in generator.c."""
ROUNDS = 5
"""For each round of the effort."""
SHARE = 0.6
"""Of the rate that the program reaches."""
_PACE = struct.Struct("=QQQQ")


def latency(effort: Effort) -> Iterator[Samples]:
    """Lines "L2, p99", "L3, p99" and the same in batches, against the bare redirect's; p50 of both is in `more`."""
    frames = effort.times(FRAMES, 1280)
    with rates.balanced() as there:
        loaded = there.wire.loaded
        with loaded.program("paced") as paced, loaded.program("timed") as timed:
            there.wire.sink_end.update(timed)
            for (added, batch), (name, mode) in product(BATCHES.items(), rates.LINES.items()):
                there.put(rates.pool(mode, there.wire.second.index), rates.service(0))
                there.send()
                peak = max(frames / _sent(there, paced, frames, batch, 0) for _ in range(3))
                offer = partial(_sent, there, paced, frames, batch, round(batch / (SHARE * peak)))
                medians: dict[str, list[float]] = {"program": [], "bare": []}
                ours, theirs = paired(
                    ROUNDS * effort.rounds,
                    partial(_measured, there, there.driver._program, offer, medians["program"]),
                    partial(_measured, there, there.wire.bare, offer, medians["bare"]),
                )
                note = f"{SHARE * peak * 1000:.2f} Mpps, {SHARE:g} of the program's peak"
                yield Samples(f"{name}, p99{added}", "µs", ours, theirs, rates.BARE, note, dict(medians))


def quantile(counts: list[int], part: float) -> float:
    """Of delays counted in steps, in microseconds."""
    left = sum(counts) * part
    for step, number in enumerate(counts):
        left -= number
        if left <= 0:
            return (step + 1) * STEP / 1000
    raise ValueError("no frame arrived")


def _sent(there: Balanced, program: Program, frames: int, batch: int, interval: int) -> float:
    """Send so many frames, so many together, so many nanoseconds from batch to batch. Returns nanoseconds of the
    generator's processor time."""

    def run() -> float:
        os.sched_setaffinity(0, {0})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        there.wire.loaded.map("pace").update(bytes(4), _PACE.pack(0, interval, 0, batch))
        began = time.thread_time_ns()
        program.run_live(there.wire.traffic.frame, frames, batch)
        return time.thread_time_ns() - began

    return there.wire.client.run(run)


def _measured(there: Balanced, use: Program, offer: Callable[[], float], medians: list[float]) -> float:
    """Microseconds in which 99 % of the frames arrive that are offered meanwhile; the median is added to others."""
    there.use(use)
    held = there.wire.loaded.map("delays")
    before = _read(held)
    offer()
    took = [now - then for now, then in zip(_read(held), before, strict=True)]
    medians.append(quantile(took, 0.5))
    return quantile(took, 0.99)


def _read(held: Map) -> list[int]:
    numbers, cpus = memoryview(held.read(held.max_entries)).cast("Q"), maps.possible_cpus()
    return [sum(numbers[at : at + cpus]) for at in range(0, len(numbers), cpus)]
