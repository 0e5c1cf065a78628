"""The native decision on frames in memory, for replay: what the forwarder decides by."""

from __future__ import annotations

from dataplane.drivers.maps import layout
from dataplane.drivers.maps.slowframes import SlowFrames
from dataplane.drivers.maps.tables import MapTables
from dataplane.forwarding.tracking import FLOWS
from dataplane.forwarding.values import Counters
from dataplane.native.decision.maps import SharedMaps
from dataplane.native.decision.worker import SENT, SLOW, Worker

FIRST = 1
"""Index of the interface that frames arrive on."""


class NativeReplayer:
    """Frames arrive on the interface FIRST. Raises DriverError where there is no native decision."""

    def __init__(self) -> None:
        self._maps = SharedMaps(flows=FLOWS)
        self._tables = MapTables(self._maps)
        self._worker = Worker(self._maps)
        self._sent: list[bytes] = []
        self._slow = SlowFrames(self._tables, lambda interface, frame: self._sent.append(frame))
        self.largest = 14 + 0xFFFF

    @property
    def tables(self) -> MapTables:
        """Where the values are put that it decides by."""
        return self._tables

    def decide(self, frame: bytes, now: int) -> tuple[bytes, ...]:
        """The frames that leave because of a frame."""
        decided = self._worker.decide(frame, FIRST, now)
        if decided.verdict == SENT:
            return (decided.frame,)
        self._sent.clear()
        if decided.verdict == SLOW:
            self._slow.forward(layout.read_slow(decided.frame))
        return tuple(self._sent)

    def counters(self) -> Counters:
        """What became of the frames so far."""
        return self._tables.counters()

    def close(self) -> None:
        """End."""
        self._worker.end()
        self._tables.close()
        self._maps.close()
