"""A capture by the native decision: each worker writes what it captures into a ring of its own in the map `capture`
(struct capture_ring of native/decision/sharedmaps.h)."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from dataplane.drivers.maps import captureformat
from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.errors import DriverError
from dataplane.forwarding.capture import Captured, Wanted

_PAGE, _RING = 4096, 1 << 20
_ROOM = _PAGE + _RING
_BEGIN, _LOST, _HEADER = 64, 8, 8
_SKIP = 0xFFFFFFFF
_POSITION, _LENGTH = struct.Struct("=Q"), struct.Struct("=I")


class WorkersMaps(Protocol):
    """What is needed of the native decision's maps."""

    @property
    def workers(self) -> int:
        """How many workers there are rings for."""

    def __getitem__(self, name: str) -> HeldMap:
        """A map."""


class RingCapture:
    """A Capture. Raises DriverError where one runs."""

    def __init__(self, wanted: Wanted, maps: WorkersMaps) -> None:
        self._memory = maps["capture"].mapped()
        self._workers, self._lock = maps.workers, threading.Lock()
        (until,) = _POSITION.unpack_from(self._memory)
        if until > time.monotonic_ns():
            self._memory.close()
            raise DriverError("another capture runs on these maps", remedy="end it first")
        self._memory[: _POSITION.size] = captureformat.pack_until(0)
        for at in self._rings():  # what nobody took of a former one
            self._memory[at + _BEGIN : at + _BEGIN + 8] = self._memory[at : at + 8]
        self._before = self._counted()
        filled = captureformat.pack(wanted, 0)
        self._memory[8 : len(filled)] = filled[8:]
        self._renew()

    def take(self) -> list[Captured]:
        """Capture.take."""
        with self._lock:
            self._renew()
            taken = [record for at in self._rings() for record in self._taken(at)]
        taken.sort(key=lambda one: one.nanoseconds)
        return taken

    def lost(self) -> int:
        """Capture.lost."""
        return self._counted() - self._before

    def close(self) -> None:
        """Capture.close."""
        with self._lock:
            self._memory[: _POSITION.size] = captureformat.pack_until(0)
            self._memory.close()

    def _taken(self, ring: int) -> Iterator[Captured]:
        memory, bytes_ = self._memory, ring + _PAGE
        (end,), (at,) = _POSITION.unpack_from(memory, ring), _POSITION.unpack_from(memory, ring + _BEGIN)
        while at < end:
            begin = bytes_ + (at & (_RING - 1))
            (length,) = _LENGTH.unpack_from(memory, begin)
            if length == _SKIP:
                at += _RING - (at & (_RING - 1))
                continue
            yield captureformat.read(memory[begin + _HEADER : begin + _HEADER + length])
            at += _HEADER + (length + 7 & ~7)
        _POSITION.pack_into(memory, ring + _BEGIN, at)

    def _counted(self) -> int:
        return sum(_POSITION.unpack_from(self._memory, at + _LOST)[0] for at in self._rings())

    def _rings(self) -> Iterator[int]:
        return iter(range(_PAGE, _PAGE + self._workers * _ROOM, _ROOM))

    def _renew(self) -> None:
        self._memory[: _POSITION.size] = captureformat.pack_until(time.monotonic_ns() + captureformat.LEASE)
