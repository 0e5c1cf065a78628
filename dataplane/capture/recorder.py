"""Records a capture in a file until it has the wanted packets, its time is over, or the file is full."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from dataplane import statedir
from dataplane.capture.kept import IN_FRONT, Kept, Surroundings, kept_of
from dataplane.capture.pcapng import PcapngWriter
from dataplane.errors import EngineError
from dataplane.foreign.capture import Writer
from dataplane.forwarding.capture import Captured
from dataplane.forwarding.decision import DROPPED

FOLDER = "captures"
"""The folder of captures in the state directory."""
LARGEST = 64 << 20
"""The most bytes in a file."""
DROPS = "drops"
"""What a capture of an engine's drops is called in the names of files."""


class Order(NamedTuple):
    """What is to be recorded."""

    of: str  # the virtual service's name; "": all drops of the engine
    packets: int = 0  # packets in front of the decision; 0: no limit
    seconds: float = 0.0  # 0: for ever
    most: int = 128  # bytes that are kept of a frame
    pcapng: bool = True  # pcapng; else pcap, which has no comments
    files: int = 2  # how many files of this virtual service are kept


class Recorder:
    """Writes one file. folder: where, made if it is not there. Raises EngineError."""

    def __init__(self, folder: Path, order: Order) -> None:
        self.order = order
        self._begun = time.time()
        self._until = time.monotonic() + order.seconds if order.seconds else float("inf")
        self.verdicts: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.left = self.packets = self.lost = 0
        self.ended = ""  # why it ended, once it has
        try:
            self.path, self._stream = _opened(folder, order, self._begun)
            comment = f"virtual service {order.of}" if order.of else "all that is dropped"
            self._pcapng = PcapngWriter(self._stream, comment, order.most) if order.pcapng else None
            self._pcap = None if order.pcapng else Writer(self._stream)
        except OSError as exc:
            raise EngineError(f"no capture can be written into {folder}: {exc.strerror}") from exc

    def add(self, taken: Iterable[Captured], lost: int, around: Surroundings) -> None:
        """Write captured frames until there are enough. lost: frames so far that found no room."""
        if self.ended:
            return
        try:
            for one in taken:
                self._write(one, around)
                if self.order.packets and self.packets >= self.order.packets:
                    self.ended = f"{self.packets} packet{'s' * (self.packets != 1)}"
                elif self._stream.tell() >= LARGEST:
                    self.ended = f"the file holds {LARGEST >> 20} MB"
                if self.ended:
                    break
            else:
                self.lost = lost
            self._stream.flush()
        except OSError as exc:
            self.ended = f"the file cannot be written: {exc.strerror}"
        if not self.ended and time.monotonic() >= self._until:
            self.ended = f"{self.order.seconds:g} s are over"

    def end(self, why: str) -> None:
        """Stop writing."""
        self.ended = self.ended or why
        with suppress(OSError):  # that it cannot be written was told before
            self._stream.close()

    def report(self) -> dict[str, Any]:
        """The capture's state, for the engine's report.

        {"of": the virtual service's name, "" of drops, "file", "running", "ended": why, "begun": seconds since the
         epoch, "packets": in front of the decision, "verdicts": {verdict: packets}, "dropped": {reason: packets},
         "left": frames behind it, "lost": that found no room, "bytes": of the file}
        """
        try:
            size = self.path.stat().st_size
        except OSError:
            size = 0
        return {
            "of": self.order.of,
            "file": str(self.path),
            "running": not self.ended,
            "ended": self.ended,
            "begun": self._begun,
            "packets": self.packets,
            "verdicts": dict(self.verdicts),
            "dropped": dict(self.dropped),
            "left": self.left,
            "lost": self.lost,
            "bytes": size,
        }

    def _write(self, captured: Captured, around: Surroundings) -> None:
        self.packets += 1
        self.verdicts[captured.action] += 1
        if captured.action == DROPPED:
            self.dropped[captured.reason] += 1
        for one in kept_of(self.packets, captured, around):
            self.left += one.where != IN_FRONT
            self._append(one)

    def _append(self, one: Kept) -> None:
        if self._pcapng is not None:
            self._pcapng.write(one)
        if self._pcap is not None:
            self._pcap.write(one.frame, one.nanoseconds, one.size)


def files(folder: Path, of: str) -> list[Path]:
    """The files of captures of a virtual service, or of drops, the oldest first."""
    found = folder.glob(f"{_called(of)}@*.pcap*") if folder.is_dir() else ()
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def _opened(folder: Path, order: Order, now: float) -> tuple[Path, BinaryIO]:
    """A new file, and room for it. Raises OSError."""
    for one in (folder.parent, folder):
        one.mkdir(mode=0o700, exist_ok=True)
        if one.is_symlink():
            raise NotADirectoryError(20, "it is a link")
    for path in files(folder, order.of)[: -(order.files - 1) or None]:
        path.unlink(missing_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03}"
    path = folder / f"{_called(order.of)}@{stamp}.{'pcapng' if order.pcapng else 'pcap'}"
    return path, os.fdopen(statedir.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb")


def _called(of: str) -> str:
    """A name as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", of) or DROPS
