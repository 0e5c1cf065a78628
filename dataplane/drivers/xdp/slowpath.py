"""What the XDP program cannot do itself: cutting a packet up in front of a tunnel.

The program decides, remembers and hands over the frame with what it decided; here the reference decision makes the
frames of it, on the same values. When nobody listens the program counts `encap_failed`.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections.abc import Callable

from dataplane.bpf.maps import Map
from dataplane.bpf.perfbuffer import Samples
from dataplane.drivers.maps import layout
from dataplane.drivers.maps.layout import SlowFrame
from dataplane.drivers.maps.tables import MapTables
from dataplane.forwarding import decision
from dataplane.forwarding.tracking import Flow, Flows, Fragment, FragmentKey, MemberId, find_member
from dataplane.forwarding.values import Pool, Service, Target
from dataplane.runtime.worker import Worker

log = logging.getLogger("avi-se")

Send = Callable[[int, bytes], None]
"""Sends a frame by the interface of an index. Raises OSError."""


_NOT_MADE, _NOT_SENT = "encap_failed", "transmit_failed"


class Sender:
    """Send by packet sockets of the calling thread's namespace. Raises OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)

    def __call__(self, interface: int, frame: bytes) -> None:
        """Send a frame. Raises OSError."""
        self._socket.sendto(frame, (socket.if_indextoname(interface), 0))

    def close(self) -> None:
        """End."""
        self._socket.close()


class SlowPath:
    """Takes what the program hands over. samples: the program's map `slow`, which is closed with this."""

    def __init__(self, samples: Map, tables: MapTables, send: Send) -> None:
        self._samples = Samples(samples)
        self._tables, self._send = tables, send
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._worker = Worker("the XDP driver's slow path", self._turn)

    def start(self) -> None:
        """Take in a thread, until `close`."""
        self._poll.register(self._wake, select.POLLIN)
        self._poll.register(self._samples.fd, select.POLLIN)
        self._worker.start()

    def take(self) -> int:
        """Forward what has come. Returns how many frames that were."""
        taken = self._samples.take()
        for sample in taken:
            handed = layout.read_slow(sample)
            try:
                self._forward(handed)
            except Exception as exc:  # the others are forwarded
                self._worker.fault(exc)
                self._tables.count(decision.dropped(_NOT_MADE, handed.service))
        return len(taken)

    def faults(self) -> list[str]:
        """What was gone round. Raises DriverError when the thread has ended."""
        return self._worker.faults()

    def close(self) -> None:
        """End: from now on the program counts `encap_failed`."""
        if self._wake >= 0:
            self._worker.end(lambda: os.eventfd_write(self._wake, 1))
        self._samples.close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _turn(self) -> None:
        if self._samples.fd in (fd for fd, _ in self._poll.poll()):
            self.take()

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
        self._tables.count(verdict)


class Decided(Flows):
    """What the program decided of one frame, for the reference decision: it looks nothing up and remembers nothing."""

    def __init__(self, handed: SlowFrame, pool: str) -> None:
        super().__init__(0, 0)
        self._member = MemberId(pool, handed.address, handed.generation)
        self._service = handed.service
        self._next = handed.id

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

    def identification(self, member_id: MemberId) -> int:
        """One of those that the program took for this packet."""
        number, self._next = self._next, (self._next + 1) & 0xFFFF
        return number
