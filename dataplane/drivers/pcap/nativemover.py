"""Frames moved natively: the loop of `packetloop.c` over the rings of packet sockets, around the native decision.

Python does what is rare: it cuts packets up in front of a tunnel, and does in front of one what segmentation offload
left undone. The maps are this process's own, and end with it.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import platform
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from ctypes import byref, c_int, c_int32, c_uint8, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path

from dataplane.drivers.maps import layout
from dataplane.drivers.maps.ringcapture import RingCapture
from dataplane.drivers.maps.slowcapture import SlowCapture
from dataplane.drivers.maps.slowframes import SlowFrames
from dataplane.drivers.maps.tables import MapTables
from dataplane.drivers.pcap import offload
from dataplane.drivers.pcap.packetsocket import NOTHING_UNDONE, RING, VNET_LEN, PacketSocket
from dataplane.errors import DriverError
from dataplane.forwarding.capture import Capture, Wanted
from dataplane.forwarding.driver import Asked, FlowRoom, HandshakeCounts
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flow, Remembered
from dataplane.forwarding.values import Counters, Lingering
from dataplane.native import library
from dataplane.native.decision import worker
from dataplane.native.decision.maps import SharedMaps
from dataplane.native.decision.worker import Worker

log = logging.getLogger("avi-se")

_MOST = 1024
"""Ports."""
_NOTHING, _WOKEN, _CUT_UP, _UNFINISHED, _FAULT = range(5)
"""enum event of packetloop.h."""


class _Port(ctypes.Structure):
    """The beginning of struct port of packetloop.h."""

    _fields_ = (
        ("file", c_int32),
        ("interface", c_uint32),
        ("ring", c_void_p),
        ("size", c_uint32),
        ("slot", c_uint32),
        ("at", c_uint32),
        ("waiting", c_uint32),
        ("cut", c_uint64),
    )


class _Loop(ctypes.Structure):
    """The beginning of struct loop of packetloop.h."""

    _fields_ = (
        ("worker", c_void_p),
        ("decide", c_void_p),
        ("worker_online", c_void_p),
        ("worker_offline", c_void_p),
        ("sent_counters", c_void_p),
        ("not_sent", c_void_p),
        ("slow_frame_of", c_void_p),
        ("wake", c_int32),
        ("number", c_uint32),
        ("tunnels", c_uint32),
        ("next", c_uint32),
        ("faulty", c_uint32),
        ("interface", c_uint32),
        ("length", c_uint32),
        ("undone", c_uint8 * VNET_LEN),
        ("handed", c_void_p),
        ("held", c_void_p),
        ("ports", c_void_p * _MOST),
    )


_CALLED = "decide", "worker_online", "worker_offline", "sent_counters", "not_sent", "slow_frame_of"
"""Functions of the native decision that the loop calls."""


@cache
def _loops() -> ctypes.CDLL:
    """The library of packetloop.c. Raises DriverError."""
    try:
        loaded = ctypes.CDLL(str(Path(__file__).with_name(f"packetloop.{platform.machine()}.so")))
    except OSError as exc:
        raise DriverError(f"no loop over packet sockets for this processor: {exc}") from exc
    loaded.loop_run.argtypes = (c_void_p, c_int)
    return loaded


class NativeMover:
    """A Mover. wake: an eventfd that ends a turn; fault: told of mistakes. Raises DriverError where there is none for
    this processor."""

    note = ""

    def __init__(self, wake: int, fault: Callable[[Exception], None]) -> None:
        self._library, self._fault = _loops(), fault
        self.mistaken = self._cut = 0
        self._maps = SharedMaps()
        self._worker = Worker(self._maps)
        self.tables = MapTables(self._maps)
        self._slow = SlowFrames(self.tables, self._send)
        self._ports: dict[int, tuple[PacketSocket, _Port]] = {}
        self._memory = ctypes.create_string_buffer(self._library.size_of_loop())
        self._loop = _Loop.from_buffer(self._memory)
        self._loop.worker, self._loop.wake = self._worker.begun, wake
        for name in _CALLED:
            setattr(self._loop, name, ctypes.cast(getattr(self._maps.library, name), c_void_p).value)

    @property
    def values(self) -> LookupTables:
        """Mover.values."""
        return self.tables.values

    def expect_tunnels(self, tunnels: bool) -> None:
        """Mover.expect_tunnels."""
        self._loop.tunnels = tunnels

    def add(self, index: int, port: PacketSocket) -> None:
        """Mover.add. Raises DriverError."""
        if len(self._ports) == _MOST:
            raise DriverError(f"there is room for no more than {_MOST} interfaces")
        made = _Port.from_buffer(ctypes.create_string_buffer(self._library.size_of_port()))
        made.file, made.interface, made.ring = port.fileno(), index, library.address(port.ring)
        made.size, made.slot = RING, port.slot
        self._ports[index] = port, made
        self._name_ports()

    def drop(self, index: int) -> None:
        """Mover.drop."""
        _, gone = self._ports.pop(index)
        self._cut += gone.cut
        self._name_ports()

    def run(self, patience: float) -> bool:
        """Mover.run."""
        event = self._library.loop_run(byref(self._loop), math.ceil(patience * 1000))
        if event == _FAULT:
            self._tell_fault()
        elif event in (_CUT_UP, _UNFINISHED):
            handed = ctypes.string_at(self._loop.handed, self._loop.length)
            try:
                if event == _CUT_UP:
                    self._slow.forward(layout.read_slow(handed))
                else:
                    self._finish(handed, bytes(self._loop.undone))
            except Exception as exc:  # those that follow are forwarded
                self.mistaken += event == _UNFINISHED  # others are counted
                self._fault(exc)
        return bool(event == _WOKEN)

    def lost(self) -> int:
        """Mover.lost."""
        return self._cut + sum(int(made.cut) for _, made in list(self._ports.values()))

    def counters_in_pieces(self, asked: Asked | None) -> Iterator[Counters]:
        """Mover.counters_in_pieces."""
        return self.tables.counters_in_pieces(asked)

    def handshakes(self) -> HandshakeCounts:
        """Mover.handshakes."""
        return self.tables.handshakes()

    def unanswered_clients(self) -> Mapping[tuple[str, bytes], set[bytes]]:
        """Mover.unanswered_clients."""
        return self.tables.unanswered_clients()

    @property
    def flow_room(self) -> FlowRoom:
        """Mover.flow_room."""
        return self.tables.flow_room

    def lingering(self, pools: Collection[str]) -> Lingering:
        """Mover.lingering."""
        return self.tables.lingering(pools, time.monotonic_ns())

    def remembered(self, flow: Flow) -> Remembered:
        """Mover.remembered."""
        return self.tables.remembered(flow)

    def capture(self, wanted: Wanted) -> Capture:
        """Mover.capture. Raises DriverError."""
        return SlowCapture(wanted, RingCapture(wanted, self._maps), self._slow)

    def close(self) -> None:
        """Mover.close."""
        self._worker.end()
        self.tables.close()
        self._maps.close()

    def _name_ports(self) -> None:
        for at, (_, made) in enumerate(self._ports.values()):
            self._loop.ports[at] = ctypes.addressof(made)
        self._loop.number, self._loop.next = len(self._ports), 0

    def _tell_fault(self) -> None:
        """A link went down or away; the engine hears it from rtnetlink."""
        index, (port, _) = list(self._ports.items())[self._loop.faulty]
        log.debug("receiving on interface %d: %s", index, os.strerror(port.fault()))

    def _finish(self, frame: bytes, undone: bytes) -> None:
        """Forward the frames that one stands for."""
        for finished in offload.finished(frame, offload.read(undone)):
            decided = self._worker.decide(finished, self._loop.interface)
            if decided.verdict == worker.SLOW:
                self._slow.forward(layout.read_slow(decided.frame))
            elif decided.verdict == worker.SENT:
                try:
                    self._send(decided.interface, decided.frame)
                except OSError as exc:
                    log.debug("sending on interface %d: %s", decided.interface, exc)
                    self._worker.not_sent()

    def _send(self, interface: int, frame: bytes) -> None:
        """Send a whole frame. Raises OSError."""
        if interface not in self._ports:
            raise OSError(f"no packet socket on interface {interface}")
        self._ports[interface][0].send(NOTHING_UNDONE + frame)
