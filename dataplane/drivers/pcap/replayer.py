"""The pcap driver's decision on frames in memory, for replay: the reference decision."""

from __future__ import annotations

from dataplane.forwarding import decision
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flows
from dataplane.forwarding.values import Counters

FIRST = 1
"""Index of the interface that frames arrive on."""
LARGEST = 1 << 30
"""Bytes of a frame: any."""


class ReferenceReplayer:
    """The reference decision. Frames arrive on the interface of index 1."""

    def __init__(self) -> None:
        self._values = LookupTables()
        self._flows = Flows()
        self._counters = Counters()
        self.largest = LARGEST

    @property
    def tables(self) -> LookupTables:
        """Where the values are put that it decides by."""
        return self._values

    def decide(self, frame: bytes, now: int) -> tuple[bytes, ...]:
        """The frames that leave because of a frame."""
        verdict = decision.decide(frame, self._values.interfaces[FIRST], self._values, self._flows, now)
        decision.count(verdict, self._counters)
        return verdict.frames

    def counters(self) -> Counters:
        """What became of the frames so far."""
        return self._counters

    def close(self) -> None:
        """Nothing is held."""
