"""A capture of frames that are decided on in Python: in front of and behind the cache of flows."""

from __future__ import annotations

from collections.abc import Callable

from dataplane.drivers.pcap.flowcache import FlowCache
from dataplane.errors import DriverError
from dataplane.forwarding.capture import Captured, Noted, Wanted
from dataplane.forwarding.decision import Verdict
from dataplane.forwarding.values import Interface


class CapturingCache(FlowCache):
    """Decides as the cache does, and notes each verdict. cache: the one that it replaces."""

    def __init__(self, cache: FlowCache, wanted: Wanted) -> None:
        super().__init__(cache.values, cache.flows)
        self.noted = Noted(wanted)

    def decide(self, frame: bytes, interface: Interface, now: int, segment: int = 0) -> Verdict:
        """As the cache does."""
        verdict = super().decide(frame, interface, now, segment)
        self.noted.note(frame, interface.index, verdict, now)
        return verdict


class PythonCapture:
    """A Capture. swap: has the driver's thread decide by another cache, None: by the one that it had before. Raises
    DriverError where one runs."""

    def __init__(self, wanted: Wanted, cache: FlowCache, swap: Callable[[FlowCache | None], None]) -> None:
        if isinstance(cache, CapturingCache):
            raise DriverError("another capture runs", remedy="end it first")
        self._cache, self._swap = CapturingCache(cache, wanted), swap
        swap(self._cache)

    def take(self) -> list[Captured]:
        """Capture.take."""
        return self._cache.noted.take()

    def lost(self) -> int:
        """Capture.lost."""
        return self._cache.noted.lost

    def close(self) -> None:
        """Capture.close."""
        self._swap(None)
