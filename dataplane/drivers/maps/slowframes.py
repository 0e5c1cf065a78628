"""What the compiled decision leaves to user space: cutting a packet up in front of a tunnel.

It decides, remembers and hands over the frame with what it decided; here the reference decision makes the frames of it,
on the same values.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dataplane.drivers.maps.layout import SlowFrame
from dataplane.drivers.maps.tables import MapTables
from dataplane.forwarding import decision
from dataplane.forwarding.capture import Noted
from dataplane.forwarding.tracking import Flow, Flows, Fragment, FragmentKey, MemberId, find_member
from dataplane.forwarding.values import Pool, Service, Target

log = logging.getLogger("avi-se")

Send = Callable[[int, bytes], None]
"""Sends a frame by the interface of an index. Raises OSError."""

_NOT_MADE, _NOT_SENT = "encap_failed", "transmit_failed"


class SlowFrames:
    """Sends what is handed over, and counts it."""

    def __init__(self, tables: MapTables, send: Send) -> None:
        self._tables, self._send = tables, send
        self._noted: Noted | None = None

    def watch(self, noted: Noted | None) -> None:
        """Note what is decided from now on. None: nobody wants to know any more."""
        self._noted = noted

    def forward(self, handed: SlowFrame) -> None:
        """Cut a frame up and send the pieces. The frame is counted, whatever is raised."""
        try:
            self._forward(handed)
        except Exception:
            self._count(handed, decision.dropped(_NOT_MADE, handed.service))
            raise

    def _forward(self, handed: SlowFrame) -> None:
        values = self._tables.values
        interface, service = values.interfaces.get(handed.interface), values.services.get(handed.service)
        verdict = decision.dropped(_NOT_MADE, handed.service)  # what was handed over is not there any more
        if interface is not None and service is not None:
            flows = Decided(handed, service.pool)
            decided = decision.decide(handed.frame, interface, values, flows, time.monotonic_ns())
            verdict = verdict if decided.action == decision.HOST else decided
        try:
            for frame in verdict.frames:
                self._send(verdict.interface, frame)
        except OSError as exc:
            log.debug("sending on interface %d: %s", verdict.interface, exc)
            verdict = decision.dropped(_NOT_SENT, handed.service)
        self._count(handed, verdict)

    def _count(self, handed: SlowFrame, verdict: decision.Verdict) -> None:
        self._tables.count(verdict)
        noted = self._noted
        if noted is not None:
            noted.note(handed.frame, handed.interface, verdict, time.monotonic_ns())


class Decided(Flows):
    """What the program decided of one frame, for the reference decision: it looks nothing up and remembers nothing."""

    def __init__(self, handed: SlowFrame, pool: str) -> None:
        super().__init__(0, 0)
        self._member = MemberId(pool, handed.address, handed.generation)
        self._service = handed.service
        self._first = handed.id

    def server(self, flow: Flow, service: Service, pool: Pool, now: int, *, syn: bool) -> Target | None:
        """The server that the program chose."""
        return find_member(pool, self._member)

    def owner(self, flow: Flow, service: Service, pool: Pool, now: int) -> Target | None:
        """The server that the program chose."""
        return find_member(pool, self._member)

    def remember_fragments(self, key: FragmentKey, service: Service, pool: Pool, target: Target, now: int) -> None:
        """The program did."""

    def fragment(self, key: FragmentKey, now: int) -> Fragment | None:
        """What the program remembered."""
        return Fragment(self._service, self._member, now)

    def identification(self, server: bytes) -> int:
        """The first of those that the program took for this packet."""
        return self._first

    def identifications(self, server: bytes, number: int) -> int:
        """The same: it took as many as there are pieces."""
        return self._first
