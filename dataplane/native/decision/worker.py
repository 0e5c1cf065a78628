"""A worker of this process: the native decision on single frames."""

from __future__ import annotations

import ctypes
import os
from ctypes import byref
from typing import NamedTuple

from dataplane.errors import DriverError
from dataplane.native.decision.library import Frame
from dataplane.native.decision.maps import SharedMaps

HOSTS, DROPPED, SENT, SLOW = range(4)
"""enum verdict of decision.h."""
SLOW_FRAME_SIZE = 32
HEADROOM = 28
"""Bytes that a frame may grow by in front."""


class Decided(NamedTuple):
    """What became of a frame."""

    verdict: int
    frame: bytes  # that leaves; of SLOW: what goes to user space, behind its struct slow_frame
    interface: int  # to send it by


class Worker:
    """Decides frame by frame. number: below maps.workers, and no other worker's; listens: SLOW frames are taken. Raises
    DriverError."""

    def __init__(self, maps: SharedMaps, number: int = 0, *, listens: bool = True) -> None:
        self._library = maps.library
        self.begun = self._library.worker_begin(maps.attached, number, listens)
        if not self.begun:
            raise DriverError(f"worker {number} cannot begin: {os.strerror(ctypes.get_errno())}")

    def online(self, now: int) -> None:
        """A burst begins; now: nanoseconds."""
        self._library.worker_online(self.begun, now)

    def offline(self) -> None:
        """It is over."""
        self._library.worker_offline(self.begun)

    def sample(self, below: int) -> None:
        """Look at the TCP flows whose hashes are below this one."""
        self._library.worker_sample(self.begun, below)

    def decide(self, frame: bytes, interface: int, now: int = 0, headroom: int = HEADROOM) -> Decided:
        """What becomes of a frame. interface: index of the one it came by; now: nanoseconds, 0: the clock's."""
        asked = Frame(None, len(frame), headroom, 0, interface, 0)
        result = ctypes.create_string_buffer(headroom + len(frame))
        verdict = self._library.decide_copy(self.begun, frame, now, byref(asked), result)
        left = result.raw[: asked.length]
        if verdict == SLOW:
            left = ctypes.string_at(self._library.slow_frame_of(self.begun), SLOW_FRAME_SIZE) + left
        return Decided(verdict, left, asked.interface)

    def not_sent(self) -> None:
        """The frame that was just decided to be SENT could not be: it is counted as that."""
        sent = self._library.sent_counters(self.begun)
        self._library.not_sent(self.begun, byref(sent))

    def end(self) -> None:
        """No frame is decided any more."""
        begun, self.begun = self.begun, None
        if begun:
            self._library.worker_end(begun)
