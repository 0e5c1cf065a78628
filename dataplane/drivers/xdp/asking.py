"""Asks the XDP program itself what it would do with a frame, without any effect on what runs.

The same program is loaded once more. It reads the maps of the one that runs; what it would write (counters, flows,
fragments) goes into maps of its own. Of the frame's flow it knows what the running one remembers.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from dataplane.bpf.maps import Map
from dataplane.bpf.objects import Object
from dataplane.bpf.programs import XDP_PASS, Program
from dataplane.drivers.maps import flowentries
from dataplane.drivers.maps.layout import NAMES
from dataplane.forwarding.decision import ANSWERED, DROPPED, FORWARDED, HOST
from dataplane.forwarding.dropreasons import DROP_REASONS
from dataplane.forwarding.program import DSR
from dataplane.forwarding.tracking import Flow

READ = ("egress", "addresses", "services", "ranges", "slabs", "details", "lives", "source_macs", "bss")
"""Maps that the program reads alone."""
FLOWS = ("elder", "young")
SMALL = (*FLOWS, "openings", "fragments")
"""Maps whose entries the program finds by a key: few are enough here."""
ROOM = 64
"""Entries of these: an LRU map of fewer gives up entries too early."""


class Asking:
    """The program, loaded once more. maps: of the one that runs. Close it. Raises DriverError."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._running = {name: maps[name] for name in FLOWS}
        self._lock = threading.Lock()
        with Object(DSR) as loaded:
            for name in READ:
                loaded.reuse(name, maps[name])
            for name in SMALL:
                loaded.resize(name, ROOM)
            loaded.begin_with("rodata", bytes(4))  # no flow is sampled
            loaded.load()
            self._own = {name: loaded.map(name) for name in NAMES if name not in READ}
            self._program: Program = loaded.program("dsr")

    def ask(self, frame: bytes, interface: int, flow: Flow) -> tuple[str, str, tuple[bytes, ...]]:
        """Action, reason of a drop, and what would leave. interface: the index of the one that the frame comes by."""
        with self._lock:
            key = flowentries.key_of(flow)
            for name in FLOWS:
                known = self._running[name].lookup(key)
                if known is None:
                    self._own[name].delete(key)
                else:
                    self._own[name].update(key, known)
            before = self._events()
            ran = self._program.test_run(frame, interface=interface)
            if ran.result == XDP_PASS:
                return HOST, "", ()
            new = [name for name, old, now in zip(DROP_REASONS, before, self._events(), strict=False) if now > old]
            if new:
                return DROPPED, new[0], ()
            return (ANSWERED if ran.data[26:30] == flow.vip else FORWARDED), "", (ran.data,)

    def _events(self) -> list[int]:
        events = self._own["events"]
        copies = events.copies
        read = memoryview(events.read(len(DROP_REASONS))).cast("Q")
        return [sum(read[n * copies : (n + 1) * copies]) for n in range(len(DROP_REASONS))]

    def close(self) -> None:
        """End."""
        for one in (self._program, *self._own.values()):
            one.close()
