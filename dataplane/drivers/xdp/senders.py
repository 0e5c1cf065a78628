"""Finds senders that leave work to a device which does not do it. Checksums are not filled in, so servers drop the
packets; or the tag of a VLAN is not put in, so frames pass for untagged ones.

That happens on a veth: its frames come from this machine, whose kernel knows what is left undone. Such senders are
found by samples: a program at a tracepoint (`senders.c`) looks at some frames now and then, and is taken away again.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Collection, Iterable

from dataplane.bpf.maps import Map
from dataplane.bpf.objects import Object
from dataplane.drivers.xdp import farend
from dataplane.drivers.xdp.tracing import TracingLinks
from dataplane.forwarding.driver import OffloadingSender
from dataplane.forwarding.program import SENDERS
from dataplane.forwarding.values import Interface
from dataplane.network import ethtool

PROGRAM = "look"
ENOUGH = 64
"""Frames of a sample, at least."""
REST = 60.0
"""Seconds between a sample and the next."""
WATCHED = 5.0
"""Seconds between samples while a sender is reported: it may have been mended."""
_FORGOTTEN = 300.0
"""Seconds for which a sender is reported after it was last seen."""
_FIRST = bytes(4)
_SENDER = struct.Struct("=4s4s6sHI")  # struct sender of senders.c


class SenderSamples:
    """Looks at what comes to a program. tracing: its link is among those. Raises DriverError where the kernel does not
    let it."""

    def __init__(self, tracing: TracingLinks) -> None:
        self._tracing = tracing
        with Object(SENDERS) as loaded:
            loaded.load()
            self._program = loaded.program(PROGRAM)
            self._senders, self._mended = loaded.map("senders"), loaded.map("mended")
            self._looked_at, self._far_ends = loaded.map("looked_at"), loaded.map("far_ends")
        self._names: dict[int, str] = {}  # of far ends, by index
        self._due = 0.0
        self._seen: dict[OffloadingSender, float] = {}

    def look(self, interfaces: Iterable[Interface], vips: Collection[bytes]) -> list[OffloadingSender]:
        """The senders that are known, of packets that come to these interfaces for these VIPs. Begins a sample that is
        due, and ends one that has enough. Asked about once a second. Raises DriverError."""
        now = time.monotonic()
        if PROGRAM in self._tracing:
            self._take(now)
            if int.from_bytes(self._looked_at.lookup(_FIRST) or b"", "little") >= ENOUGH:
                self._end(now)
        elif now >= self._due:
            self._looked_at.update(_FIRST, bytes(8))
            _empty(self._senders)
            _empty(self._mended)
            if self._follow(interfaces):
                self._tracing.attach(PROGRAM, self._program)
        self._seen = {sender: at for sender, at in self._seen.items() if now - at < _FORGOTTEN}
        return sorted(sender for sender in self._seen if sender.vip in vips)

    def close(self) -> None:
        """Look no more."""
        self._end(0.0)
        for held in (self._program, self._senders, self._mended, self._looked_at, self._far_ends):
            held.close()

    def _follow(self, interfaces: Iterable[Interface]) -> bool:
        """Look at what enters these interfaces. Returns whether one of them is a veth."""
        veths = [i for i in interfaces if ethtool.network_driver(i.name) == "veth"]
        wanted = {far: i.mac for i in veths if (far := farend.of(i.index)) is not None}
        _empty(self._far_ends)
        for far, mac in wanted.items():
            self._far_ends.update(far.ifindex.to_bytes(4, "little"), mac + bytes(2))
        self._names = {far.ifindex: far.name for far in wanted}
        return bool(wanted)

    def _take(self, now: float) -> None:
        for key, _ in self._mended.items():
            self._seen.pop(self._sender(key), None)
        for key, _ in self._senders.items():
            self._seen[self._sender(key)] = now

    def _sender(self, key: bytes) -> OffloadingSender:
        address, vip, mac, vlan, far = _SENDER.unpack(key)
        return OffloadingSender(vip, address, mac, vlan, self._names.get(far, "") if vlan else "")

    def _end(self, now: float) -> None:
        self._tracing.detach(PROGRAM)
        self._due = now + (WATCHED if self._seen else REST)


def _empty(held: Map) -> None:
    for key, _ in list(held.items()):
        held.delete(key)
