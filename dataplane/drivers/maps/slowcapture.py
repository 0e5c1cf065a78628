"""A capture that also records the frames that user space decides on in the compiled decision's stead."""

from __future__ import annotations

from dataplane.drivers.maps.slowframes import SlowFrames
from dataplane.forwarding.capture import SLOW, Capture, Captured, Noted, Wanted


class SlowCapture:
    """A Capture. compiled: that of the compiled decision; slow: what user space decides on."""

    def __init__(self, wanted: Wanted, compiled: Capture, slow: SlowFrames) -> None:
        self._compiled, self._slow, self._noted = compiled, slow, Noted(wanted)
        slow.watch(self._noted)

    def take(self) -> list[Captured]:
        """Capture.take. What user space decided on stands at the time when it did."""
        return [one for one in self._compiled.take() if one.action != SLOW] + self._noted.take()

    def lost(self) -> int:
        """Capture.lost."""
        return self._compiled.lost() + self._noted.lost

    def close(self) -> None:
        """Capture.close."""
        self._slow.watch(None)
        self._compiled.close()
