"""What the network drivers do with frames after the program's verdict: losses counted, and test frames sent.

The kernel tells of losses at its XDP tracepoints alone; `losses.c` counts them there. The one at `xdp_devmap_xmit`
hears of every batch that is redirected. Nothing else tells of a full ring: network drivers that count it have each a
name of their own for it, and some do not count it.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from typing import NamedTuple

from dataplane.bpf import maps, programs
from dataplane.bpf.objects import Object
from dataplane.drivers.xdp.tracing import TracingLinks
from dataplane.forwarding.program import LOSSES

PROGRAMS = "bulk_tx", "exception", "redirect_err", "devmap_xmit"
"""One a tracepoint."""

_SENDING = struct.Struct("=QQq")  # struct sending of losses.c
_WATCHED = struct.Struct("=II")  # struct watched
_FIRST = bytes(4)
_ETH_P_LOCAL = b"\x88\xb5"  # IEEE 802: for local experiments
_LEAST_FRAME = 60
_NETNS = "/proc/thread-self/ns/net"


class Sent(NamedTuple):
    """Frames that were to leave by an interface."""

    lost: int = 0  # by the network driver, after the verdict
    sent: int = 0  # test frames that left
    error: int = 0  # errno of the last loss; 0: none was told


def test_frame(mac: bytes) -> bytes:
    """A frame that does no harm: from an interface to itself, of a type that nobody takes."""
    return (mac + mac + _ETH_P_LOCAL).ljust(_LEAST_FRAME, b"\0")


class Losses:
    """Counts for the interfaces of the calling thread's namespace, from now until `close`. tracing: its links are among
    those. Raises DriverError."""

    def __init__(self, tracing: TracingLinks) -> None:
        self._tracing = tracing
        self._tests: Counter[int] = Counter()  # test frames that were lost, by interface
        self._held = ExitStack()
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self._netns = os.stat(_NETNS).st_ino
        with Object(LOSSES) as loaded:
            loaded.load()
            self._sendings = self._held.enter_context(loaded.map("sendings"))
            self._watching = self._held.enter_context(loaded.map("watching"))
            self._watch(testing=False)
            for name in PROGRAMS:
                self._tracing.attach(name, self._held.enter_context(loaded.program(name)))

    def follow(self, interfaces: Iterable[int]) -> None:
        """Count for these interfaces, by index, and no others; those that were counted for go on."""
        wanted = set(interfaces)
        there = {int.from_bytes(key, "little") for key, _ in self._sendings.items()}
        for index in there - wanted:
            self._sendings.delete(_key(index))
            self._tests.pop(index, None)
        for index in wanted - there:
            self._sendings.update(_key(index), bytes(_SENDING.size * maps.possible_cpus()))

    def read(self, index: int) -> Sent:
        """What became of the frames of an interface that is followed."""
        found = self._read(index)
        return found._replace(lost=max(0, found.lost - self._tests[index]))

    def _read(self, index: int) -> Sent:
        value = self._sendings.lookup(_key(index))
        if value is None:
            return Sent()
        of_all = list(_SENDING.iter_unpack(value))
        error = next((-error for _, _, error in of_all if error), 0)
        return Sent(sum(lost for lost, _, _ in of_all), sum(sent for _, sent, _ in of_all), error)

    def send_test(self, index: int, mac: bytes) -> int | None:
        """Send a test frame as the program redirects frames. Returns None where it was seen to leave, else the error,
        0 where none was told. Its loss is not counted. Raises DriverError."""
        before = self._read(index)
        self._watch(testing=True)
        try:
            with programs.redirect_program(index) as program:
                program.run_live(test_frame(mac), 1)
        finally:
            self._watch(testing=False)
        now = self._read(index)
        if now.sent > before.sent:
            return None
        self._tests[index] += now.lost > before.lost
        return now.error if now.lost > before.lost else 0

    def close(self) -> None:
        """Count no more."""
        for name in PROGRAMS:
            self._tracing.detach(name)
        self._held.close()

    def _watch(self, *, testing: bool) -> None:
        self._watching.update(_FIRST, _WATCHED.pack(self._netns, testing))


def _key(index: int) -> bytes:
    return index.to_bytes(4, "little")
