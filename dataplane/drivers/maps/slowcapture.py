"""A capture that also records the frames that user space decides on in the compiled decision's stead."""

from __future__ import annotations

import time

from dataplane.drivers.maps.slowframes import SlowFrames
from dataplane.forwarding import capture
from dataplane.forwarding.capture import SLOW, Capture, Captured, Wanted
from dataplane.forwarding.decision import DROPPED


class SlowCapture:
    """A Capture. compiled: that of the compiled decision; slow: what user space decides on."""

    def __init__(self, wanted: Wanted, compiled: Capture, slow: SlowFrames) -> None:
        self._wanted, self._compiled, self._slow = wanted, compiled, slow
        self._decided = slow.watch()

    def take(self) -> list[Captured]:
        """Capture.take. What user space decided on stands at the time when it did."""
        taken = [one for one in self._compiled.take() if one.action != SLOW]
        wanted = self._wanted
        while self._decided:
            interface, frame, verdict = self._decided.popleft()
            if capture.is_wanted(frame, wanted) and (verdict.action == DROPPED or not wanted.drops):
                taken.append(capture.told(frame, interface, verdict, wanted, time.monotonic_ns()))
        return taken

    def lost(self) -> int:
        """Capture.lost."""
        return self._compiled.lost()

    def close(self) -> None:
        """Capture.close."""
        self._slow.unwatch()
        self._compiled.close()
