"""A capture of frames that are decided on in Python: in front of and behind the cache of flows."""

from __future__ import annotations

import time
from collections.abc import Callable

from dataplane.drivers.pcap.flowcache import FlowCache
from dataplane.errors import DriverError
from dataplane.forwarding import capture
from dataplane.forwarding.capture import Captured, Wanted
from dataplane.forwarding.decision import DROPPED, Verdict
from dataplane.forwarding.values import Interface

ROOM = 1 << 16
"""Frames that nobody has taken yet, at most."""


class CapturingCache(FlowCache):
    """Decides as the cache does, and records each verdict. cache: the one that it replaces."""

    def __init__(self, cache: FlowCache, wanted: Wanted) -> None:
        super().__init__(cache.values, cache.flows)
        self._wanted = wanted
        self.told: list[Captured] = []
        self.lost = 0

    def decide(self, frame: bytes, interface: Interface, now: int, segment: int = 0) -> Verdict:
        """As the cache does."""
        verdict = super().decide(frame, interface, now, segment)
        wanted = self._wanted
        if capture.is_wanted(frame, wanted) and (verdict.action == DROPPED or not wanted.drops):
            if len(self.told) < ROOM:
                self.told.append(capture.told(frame, interface.index, verdict, wanted, time.monotonic_ns()))
            else:
                self.lost += 1
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
        taken = self._cache.told[:]
        del self._cache.told[: len(taken)]
        return taken

    def lost(self) -> int:
        """Capture.lost."""
        return self._cache.lost

    def close(self) -> None:
        """Capture.close."""
        self._swap(None)
