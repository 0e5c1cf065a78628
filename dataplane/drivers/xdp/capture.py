"""A capture under XDP: the program of `capture.c` in the place of the other, for as long as the capture runs.

It is the same decision on the same maps. A capture whose process was killed takes nothing any more; the next driver of
the instance puts its own program there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from dataplane.bpf.maps import Map
from dataplane.bpf.objects import Object
from dataplane.bpf.programs import Program
from dataplane.bpf.ringbuffer import RingBuffer
from dataplane.drivers.maps import captureformat
from dataplane.forwarding.capture import Captured, Wanted
from dataplane.forwarding.program import CAPTURE

PROGRAM = "capture"
_FIRST = bytes(4)


class XdpCapture:
    """A Capture. maps: all that the program that runs has, by name; swap: has the interfaces run a program, None: the
    one that ran before. Raises DriverError."""

    def __init__(self, wanted: Wanted, maps: Mapping[str, Map], swap: Callable[[Program | None], None]) -> None:
        self._wanted = wanted
        self._lock = threading.Lock()
        with ExitStack() as held:
            loaded = held.enter_context(Object(CAPTURE))
            for name, one in maps.items():
                loaded.reuse(name, one)
            loaded.load()
            self._filters = held.enter_context(loaded.map("filters"))
            self._lost = held.enter_context(loaded.map("lost"))
            self._ring = RingBuffer(loaded.map("records"))
            held.callback(self._ring.close)
            self.program = held.enter_context(loaded.program(PROGRAM))
            self._renew()
            held.callback(swap, None)
            swap(self.program)
            loaded.close()
            self._held = held.pop_all()

    def take(self) -> list[Captured]:
        """Capture.take."""
        with self._lock:
            self._renew()
            return [captureformat.read(record) for record in self._ring.take()]

    def lost(self) -> int:
        """Capture.lost."""
        value = self._lost.lookup(_FIRST) or b""
        return sum(memoryview(value).cast("Q"))

    def close(self) -> None:
        """Capture.close."""
        with self._lock:
            self._held.close()

    def _renew(self) -> None:
        until = time.monotonic_ns() + captureformat.LEASE
        self._filters.update(_FIRST, captureformat.pack(self._wanted, until))
