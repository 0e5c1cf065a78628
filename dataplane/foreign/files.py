"""Files that people name: read whole, up to a limit; written whole, or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from dataplane.foreign.errors import ForeignError

LARGEST = 256 << 20
"""The most bytes of a file to read. An export of 1,000 services of 100 servers has 23 MB."""


def read(path: Path, *, largest: int = LARGEST) -> bytes:
    """A regular file's bytes. Raises ForeignError for one that is no regular file or too large, OSError."""
    with opened(path) as stream:
        found = stream.read(largest + 1)
    if len(found) > largest:
        raise ForeignError(f"it is larger than {largest >> 20} MiB")
    return found


def opened(path: Path) -> BinaryIO:
    """A regular file, to be read piece by piece. Raises ForeignError for one that is no regular file, OSError."""
    held = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer would wait for ever
    try:
        told = os.fstat(held)
        if stat.S_ISDIR(told.st_mode):
            raise ForeignError("it is a directory, where a file is expected")
        if not stat.S_ISREG(told.st_mode):
            raise ForeignError("it is no regular file")
        return open(held, "rb")
    except BaseException:
        os.close(held)
        raise


def read_text(path: Path, *, largest: int = LARGEST) -> str:
    """A regular file's text, UTF-8, without a byte order mark. Raises as `read` does."""
    try:
        return read(path, largest=largest).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ForeignError("it is not UTF-8", f"byte {exc.start}") from None


def write(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file and put it in the old one's place once all of it is on the disk; on a full disk the old one stays. A
    terminal or pipe is written to directly. mode: of a new file, less the umask. Raises OSError."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        there = None
    if there is not None and not stat.S_ISREG(there.st_mode):
        with open(path, "wb") as stream:
            stream.write(data)
        return
    place = Path(os.path.realpath(path))  # a link goes on pointing to it
    part = place.with_name(f".{place.name}.{os.urandom(4).hex()}")
    held = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(held, "wb") as stream:
            stream.write(data)
            stream.flush()
            if there is not None:
                os.fchmod(stream.fileno(), stat.S_IMODE(there.st_mode) if mode == 0o666 else mode)
            os.fsync(stream.fileno())
        os.replace(part, place)
    except BaseException:
        os.unlink(part)
        raise
    _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk once its folder is (fsync(2))."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
