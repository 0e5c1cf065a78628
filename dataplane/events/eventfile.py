"""An engine's events on disk: `NAME.events` in the state directory, a JSON object a line, each written at once.

A line with a number that stood before is the same event, which happened again. A reader skips a line that a crash cut
off. When a file grows beyond `LARGEST`, a new one with the remembered events is written beside it and renamed, so there
is always one whole file. A thread writes, so that a slow disk holds nobody up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from dataplane.events import model
from dataplane.events.model import Event
from dataplane.foreign import jsontext
from dataplane.foreign.errors import ForeignError

SUFFIX = ".events"
LARGEST = 1 << 20
"""Bytes beyond which a file is written anew: about twice what `journal.MOST` events take. If they take more, the limit
is twice their size."""
_READ = 8 * LARGEST
"""The most bytes that are read from the end of a file."""
PATIENCE = 5.0
"""Seconds for which `close` waits for the disk."""
_WAITING = 10_000
"""Lines that may wait for the disk."""


def read(path: Path) -> list[Event]:
    """The events in a file, in the order in which they happened last; none if there is no file. Raises OSError."""
    try:
        held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    with open(held, "rb") as file:
        file.seek(max(0, os.fstat(held).st_size - _READ))
        lines = file.read(_READ).split(b"\n")
    found: dict[int, Event] = {}
    for line in lines:
        with suppress(ForeignError):  # cut off by a crash, or by somebody else's hand
            event = model.read(jsontext.loads(line)) if line else None
            if event is not None:
                found[event.number] = event
    return sorted(found.values(), key=lambda event: (event.last, event.number))


class EventFile:
    """Writes one engine's events; only one process may write the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.fault = ""
        """Why events cannot be written now; "" if they can."""
        self._queue: SimpleQueue[bytes | Collection[Event] | None] = SimpleQueue()
        self._file, self._whole, self._least = -1, False, 0
        self._size = path.stat().st_size if path.exists() else 0
        self._thread = Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether it is time to write everything anew."""
        return self._size > max(LARGEST, 2 * self._least)

    def put(self, event: Event) -> None:
        """Write an event, soon."""
        if self._queue.qsize() < _WAITING:
            line = _line(event)
            self._size += len(line)
            self._queue.put(line)
        else:
            self.fault = "the disk is too slow"

    def renew(self, events: Collection[Event]) -> None:
        """Replace all events in the file by these, soon."""
        self._size = self._least = sum(map(len, map(_line, events)))
        self._queue.put(events)

    def close(self) -> None:
        """End when everything is written. If the disk hangs, end after `PATIENCE` seconds."""
        self._queue.put(None)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        ended, lines = False, bytearray()
        while not ended:
            taken = [self._queue.get()]
            with suppress(Empty):
                while True:
                    taken.append(self._queue.get_nowait())
            ended = None in taken
            try:
                for one in taken:
                    if isinstance(one, bytes):
                        lines += one
                    elif one is not None:
                        lines.clear()
                        self._replace(one)
                self._append(lines)
                lines.clear()
                self.fault = ""
            except OSError as exc:
                self.fault, self._whole = f"{exc.filename or self._path}: {exc.strerror}", False
                if len(lines) > LARGEST:  # what is not written is written with what comes next
                    lines.clear()
        if self._file >= 0:
            os.close(self._file)

    def _append(self, lines: bytearray) -> None:
        if self._file < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
            size = os.fstat(self._file).st_size
            self._whole = not size or os.pread(self._file, 1, size - 1) == b"\n"
        left = memoryview(bytes(lines) if self._whole or not lines else b"\n" + lines)
        while left:
            self._whole = False
            left = left[os.write(self._file, left) :]
            self._whole = not left

    def _replace(self, events: Collection[Event]) -> None:
        beside = self._path.with_name(f"{self._path.name}.new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(b"".join(map(_line, events)))
            file.flush()
            os.fsync(file.fileno())
        beside.rename(self._path)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _line(event: Event) -> bytes:
    return json.dumps(event.data(), separators=(",", ":")).encode() + b"\n"
