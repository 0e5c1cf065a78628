"""Counters in the maps, one number a service and a server, and of what user space does in its stead.

The program's are per processor; user space has its own beside them, so that neither waits for the other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from dataplane.bpf import maps
from dataplane.bpf.maps import Map
from dataplane.drivers.maps import layout
from dataplane.drivers.maps.allocators import Numbers
from dataplane.drivers.maps.layout import u32
from dataplane.forwarding.values import Tally


class Counted:
    """All counters at one moment."""

    def __init__(self, counters: bytes, slow: bytes, events: bytes, slow_events: bytes) -> None:
        self._cpus = maps.possible_cpus()
        self._counters, self._slow = memoryview(counters).cast("Q"), memoryview(slow).cast("Q")
        self._events, self._slow_events = memoryview(events).cast("Q"), memoryview(slow_events).cast("Q")

    def tally(self, number: int) -> Tally:
        """A service's or a server's."""
        of_all = self._counters[number * 2 * self._cpus : (number + 1) * 2 * self._cpus]
        packets, size = self._slow[number * 2 : number * 2 + 2]
        return Tally(sum(of_all[::2]) + packets, sum(of_all[1::2]) + size)

    def event(self, number: int) -> int:
        """A drop reason's, or of another event."""
        return sum(self._events[number * self._cpus : (number + 1) * self._cpus]) + self._slow_events[number]


class Counting:
    """Counters given out and taken back. lock: held while user space counts, and while a counter begins anew."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._maps = maps
        self._numbers = Numbers(maps["counters"].max_entries, "services and servers together")
        self.lock = threading.Lock()

    def start(self, used: Iterable[int]) -> None:
        """Go on where these are given out."""
        self._numbers.start(used)

    def new(self, wanted: int) -> list[int]:
        """So many counters, from zero. Raises DriverError."""
        if not wanted:
            return []
        with self.lock:
            numbers = [self._numbers.take() for _ in range(wanted)]
            keys = b"".join(map(u32, numbers))
            for name, size in (("counters", 16 * maps.possible_cpus()), ("slow_counters", 16), ("identifications", 4)):
                self._maps[name].update_all(keys, bytes(size * wanted))
            return numbers

    def give(self, number: int) -> None:
        """Take a counter back."""
        self._numbers.give(number)

    def number_anew(self, number: int) -> None:
        """A server begins another life: so do the identifications of the outer headers to it."""
        self._maps["identifications"].update(u32(number), u32(0))

    def read(self) -> Counted:
        """All of them: processors are read one after the other."""
        end, events = self._numbers.end, layout.ANSWERED + 1
        return Counted(
            self._maps["counters"].read(end),
            self._maps["slow_counters"].read(end),
            self._maps["events"].read(events),
            self._maps["slow_events"].read(events),
        )

    def add(self, number: int, size: int) -> None:
        """Count a packet of `size` bytes that user space forwarded."""
        self._add("slow_counters", number, 1, size)

    def add_event(self, number: int) -> None:
        """Count an event of user space."""
        self._add("slow_events", number, 1)

    def _add(self, name: str, number: int, *numbers: int) -> None:
        held = self._maps[name].lookup(u32(number)) or bytes(8 * len(numbers))
        sums = (old + new for old, new in zip(memoryview(held).cast("Q"), numbers, strict=True))
        self._maps[name].update(u32(number), b"".join(n.to_bytes(8, "little") for n in sums))
