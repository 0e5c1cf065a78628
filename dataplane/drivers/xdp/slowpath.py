"""What the XDP program cannot do itself, taken from it in a thread. When nobody listens the program counts
`encap_failed`.
"""

from __future__ import annotations

import os
import select
import socket

from dataplane.bpf.maps import Map
from dataplane.bpf.perfbuffer import Samples
from dataplane.drivers.maps import layout
from dataplane.drivers.maps.slowframes import Send, SlowFrames
from dataplane.drivers.maps.tables import MapTables
from dataplane.runtime.worker import Worker


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
        self.frames = SlowFrames(tables, send)
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
            try:
                self.frames.forward(layout.read_slow(sample))
            except Exception as exc:  # the others are forwarded
                self._worker.fault(exc)
        return len(taken)

    def faults(self) -> list[str]:
        """Unexpected errors, each told once. Raises DriverError when the thread has ended."""
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
