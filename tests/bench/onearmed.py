"""How fast the XDP program is with one arm: frames leave by the interface they came by, on the wire of
`tests.bench.wire`; the client's end counts them.

A program that sends every frame back as it came stands in the same place and sees the same frames.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import rates
from .measure import Effort, Samples, best_of

BARE = "bare XDP_TX"


def forwarding(effort: Effort) -> Iterator[Samples]:
    """Lines "L2" and "L3" against the bare XDP_TX: 1,000 flows, one core."""
    frames = effort.times(rates.SLICE, 2000)
    with rates.balanced() as there:

        def bare() -> float:
            there.use(there.wire.bare_transmit)
            rate = there.own(frames)
            there.use(there.driver._program)
            return rate

        for name, mode in rates.LINES.items():
            there.put(rates.pool(mode, there.wire.first.index), rates.service(0))
            there.send()
            ours, theirs = best_of(rates.SLICES, effort.rounds, lambda: there.own(frames), bare)
            yield Samples(name, "Mpps", ours, theirs, BARE)
