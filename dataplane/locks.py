"""Locks on files and folders (flock(2)): held until the descriptor is closed or the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def hold(path: Path, flags: int) -> int | None:
    """Open a file or folder and lock it. Returns the descriptor, None where somebody has the lock. Raises OSError.

    Whoever had the lock may have removed the path before it let go: what is locked is what the path names.
    """
    while True:
        held = os.open(path, flags, 0o600)
        if not take(held):
            os.close(held)
            return None
        if names(path, held):
            return held
        os.close(held)


def take(held: int) -> bool:
    """Lock an open file or folder. Returns whether it could be had."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def names(path: Path, held: int) -> bool:
    """Whether a path still names what a descriptor was opened by it for."""
    try:
        return os.path.samestat(path.stat(), os.fstat(held))
    except OSError:
        return False


def holder(path: Path) -> int:
    """The process that has the lock (proc_locks(5)); 0 for none, or one that is not to be seen from here."""
    with suppress(OSError):
        there = path.stat()
        device = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5] == device:
                return max(0, int(words[4]))
    return 0
