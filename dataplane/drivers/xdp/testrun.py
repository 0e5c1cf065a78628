"""The XDP program on frames in memory, by BPF_PROG_TEST_RUN: maps of its own, no packet on any wire.

A trial receives on the loopback interface, index 1: values are put with that index for the receiving interface. The
others need not exist.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from dataplane.bpf.maps import Map
from dataplane.bpf.objects import Object
from dataplane.bpf.programs import XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX
from dataplane.drivers.maps.layout import NAMES
from dataplane.drivers.maps.tables import MapTables
from dataplane.drivers.xdp import driver
from dataplane.drivers.xdp.slowpath import SlowPath
from dataplane.errors import DriverError
from dataplane.forwarding import decision
from dataplane.forwarding.handshakes import SAMPLED_BELOW

LOOPBACK = 1
LARGEST = 70_000
"""Bytes of a frame that surely fit the pieces that the kernel makes of it: a page, and 17 more."""
_ACTIONS = {XDP_PASS: decision.HOST, XDP_DROP: decision.DROPPED, XDP_TX: "sent", XDP_REDIRECT: "sent"}


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Run on one processor alone: another one gives outer headers other identifications."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


class LoopbackEgress(Map):
    """`egress` with the loopback interface in every place: the interfaces need not exist."""

    def update(self, key: bytes, value: bytes) -> None:
        """Set a place. Raises DriverError."""
        super().update(key, LOOPBACK.to_bytes(4, "little"))


class Ran(NamedTuple):
    """What became of a frame."""

    action: str  # as decision.Verdict's, with "sent" for what leaves
    frames: tuple[bytes, ...] = ()  # what leaves
    redirected: bool = False  # by another interface than it came from
    slow: bool = False  # user space did it


class Trial:
    """A program and its maps. Close it. flows: entries of `elder` and `young`; sampled_below: as in
    `forwarding.handshakes`. Raises DriverError.

    tables: where values are put, with the counters.
    """

    room = 0
    """Services and servers together that can be counted; 0: as many as an engine's."""

    def __init__(self, flows: int = 1 << 12, sampled_below: int = SAMPLED_BELOW) -> None:
        with Object(driver.OBJECT) as loaded:
            for name in ("elder", "young"):
                loaded.resize(name, flows)
            for name in ("counters", "slow_counters", "handshakes") if self.room else ():
                loaded.resize(name, self.room)
            loaded.begin_with("rodata", sampled_below.to_bytes(4, "little"))
            loaded.load()
            self._maps = {name: loaded.map(name) for name in NAMES}
            self._state, self._handed_over = loaded.map("data"), loaded.map(driver.SLOW)
            self._program = loaded.program(driver.PROGRAM)
        self._maps["egress"] = LoopbackEgress(os.dup(self._maps["egress"].fd))
        self._sent: list[tuple[int, bytes]] = []
        self._start()

    def _start(self) -> None:
        self.tables = MapTables(self._maps)
        self._slow = SlowPath(Map(os.dup(self._handed_over.fd)), self.tables, lambda *sent: self._sent.append(sent))

    def set_clock(self, now: int) -> None:
        """Nanoseconds, more than 0."""
        held = self._state.lookup(bytes(4)) or b""
        self._state.update(bytes(4), now.to_bytes(8, "little") + held[8:])

    def run(self, frame: bytes, first: int = 0) -> Ran:
        """What the program does with a frame of at least 14 bytes. first: bytes of it in its first piece, as in
        `Program.test_run`. Raises DriverError for one above LARGEST."""
        if len(frame) > LARGEST:
            what = f"a frame of {len(frame)} bytes is larger than the XDP program can be tried on ({LARGEST})"
            raise DriverError(what, remedy="--driver pcap decides it")
        with _on_one_processor():
            ran = self._program.test_run(frame, first=first)
        action = _ACTIONS[ran.result]
        if action == "sent":
            return Ran(action, (ran.data,), ran.result == XDP_REDIRECT)
        if action != decision.DROPPED or self._handed_over.fd < 0 or not self._slow.take():
            return Ran(action)
        sent, self._sent[:] = list(self._sent), []
        if not sent:
            return Ran(decision.DROPPED, slow=True)
        return Ran("sent", tuple(frame for _, frame in sent), sent[0][0] != LOOPBACK, slow=True)

    def close(self) -> None:
        """End."""
        for one in (self._slow, self.tables, self._program, self._state, self._handed_over):
            one.close()
