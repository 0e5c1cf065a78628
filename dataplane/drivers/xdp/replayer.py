"""The XDP program's decision on frames in memory, for replay."""

from __future__ import annotations

from dataplane.drivers.maps.tables import MapTables
from dataplane.drivers.xdp.testrun import LARGEST, Trial
from dataplane.forwarding.decision import ETH_HLEN
from dataplane.forwarding.tracking import FLOWS
from dataplane.forwarding.values import Counters


class ProgramReplayer:
    """The XDP program, tried in the kernel. Frames arrive on the interface of index 1. Raises DriverError."""

    def __init__(self) -> None:
        self._trial = Trial(FLOWS)
        self._now = 0
        self.largest = LARGEST

    @property
    def tables(self) -> MapTables:
        """Where the values are put that the program decides by."""
        return self._trial.tables

    def decide(self, frame: bytes, now: int) -> tuple[bytes, ...]:
        """The frames that leave because of a frame. Raises DriverError where it is too large to be tried."""
        if len(frame) < ETH_HLEN:
            return ()
        if now != self._now:
            self._now = now
            self._trial.set_clock(max(1, now))
        return self._trial.run(frame).frames

    def counters(self) -> Counters:
        """What became of the frames so far."""
        return self._trial.tables.counters()

    def close(self) -> None:
        """End."""
        self._trial.close()
