"""The native decision as a decider: the same tests as of the XDP program, without the kernel."""

from __future__ import annotations

import ctypes
from itertools import starmap
from pathlib import Path
from typing import Protocol

from dataplane.drivers.maps import flowentries, layout
from dataplane.drivers.maps.flowentries import FlowEntry
from dataplane.drivers.maps.slowframes import SlowFrames
from dataplane.drivers.maps.tables import MapTables
from dataplane.drivers.xdp.testrun import LOOPBACK, Ran
from dataplane.forwarding import decision
from dataplane.forwarding.handshakes import SAMPLED_BELOW, Opening, TcpFlow
from dataplane.forwarding.tracking import Flow
from dataplane.forwarding.values import Counters
from dataplane.native.decision import worker
from dataplane.native.decision.maps import SharedMaps
from dataplane.native.decision.worker import Decided, Worker

from .decider import difference, forget_identifications, is_tunnelled

_ACTIONS = {worker.HOSTS: decision.HOST, worker.DROPPED: decision.DROPPED}
_TABLES = "elder", "young", "fragments", "openings"


class Deciding(Protocol):
    """What the tests ask of a worker."""

    def sample(self, below: int) -> None:
        """Worker.sample."""

    def decide(self, frame: bytes, interface: int, now: int = 0) -> Decided:
        """Worker.decide."""

    def end(self) -> None:
        """Worker.end."""


class NativeDecider:
    """A worker with maps of its own. As `KernelDecider`; flows: more for the same number in sets; folder: of maps that
    stay, or that are adopted."""

    def __init__(
        self,
        flows: int = 1 << 12,
        sampled_below: int = SAMPLED_BELOW,
        library: ctypes.CDLL | None = None,
        folder: Path | None = None,
    ) -> None:
        self._library, self._folder = library, folder
        self._maps = self._made_maps(flows)
        self._worker = self._made_worker()
        self._sampled_below = sampled_below
        self._worker.sample(sampled_below)
        self._now = 0
        self._identified = False  # an outer header was since the last `forget`
        self._sent: list[tuple[int, bytes]] = []
        self._start()

    def _made_maps(self, flows: int) -> SharedMaps:
        return SharedMaps(self._folder, flows, library=self._library)

    def _made_worker(self, *, listens: bool = True) -> Deciding:
        return Worker(self._maps, listens=listens)

    def _start(self) -> None:
        self.tables = MapTables(self._maps)
        self._slow = SlowFrames(self.tables, lambda *sent: self._sent.append(sent))

    def set_clock(self, now: int) -> None:
        """Nanoseconds, more than 0."""
        self._now = now

    def run(self, frame: bytes, first: int = 0) -> Ran:
        """What it does with a frame, which is in one piece here, whatever its first one is elsewhere."""
        ran = self._run(frame)
        self._identified |= any(map(is_tunnelled, ran.frames))
        return ran

    def _run(self, frame: bytes) -> Ran:
        decided = self._worker.decide(frame, LOOPBACK, self._now)
        if decided.verdict == worker.SENT:
            return Ran("sent", (decided.frame,), decided.interface != LOOPBACK)
        if decided.verdict != worker.SLOW:
            return Ran(_ACTIONS[decided.verdict])
        self._slow.forward(layout.read_slow(decided.frame))
        sent, self._sent[:] = list(self._sent), []
        if not sent:
            return Ran(decision.DROPPED, slow=True)
        return Ran("sent", tuple(frame for _, frame in sent), sent[0][0] != LOOPBACK, slow=True)

    def readopt(self) -> None:
        """Forget all that the engine knows and read it from the maps."""
        self.tables.close()
        self._start()

    def forget(self) -> None:
        """Forget all that was remembered of packets."""
        for name in _TABLES:
            for key, _ in list(self._maps[name].items()):
                self._maps[name].delete(key)
        if self._identified:
            forget_identifications(self._maps)
            self._identified = False
        self._maps["data"].write(bytes(self._maps["data"].value_size))
        self._now = 0

    def remembered(self) -> tuple[dict[Flow, FlowEntry], dict[Flow, FlowEntry]]:
        """What `elder` and `young` hold."""
        elder, young = (
            {(entry := flowentries.read(*item)).flow: entry for item in self._maps[name].items()}
            for name in ("elder", "young")
        )
        return elder, young

    def openings(self) -> dict[TcpFlow, Opening]:
        """The sampled flows that were not answered yet."""
        return dict(starmap(flowentries.read_opening, self._maps["openings"].items()))

    def deafen(self) -> None:
        """Have nobody listen to what is handed over."""
        self._worker.end()
        self._worker = self._made_worker(listens=False)
        self._worker.sample(self._sampled_below)

    def counted(self, frame: bytes, first: int = 0) -> tuple[Ran, Counters]:
        """A frame's run, and what it added to the counters. first: as of `run`."""
        before = self.tables.counters()
        ran = self.run(frame, first)
        return ran, difference(self.tables.counters(), before)

    def close(self) -> None:
        """End."""
        self._worker.end()
        self.tables.close()
        self._maps.close()
