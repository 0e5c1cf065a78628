"""Locks on files, folders (flock(2)) and names: held until the descriptor is closed or the process ends, however it
ends."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LEAVING = 2.0
"""Seconds for which a killed process may still have its locks. What it was about to start has them too, from fork(2)
until it is another program (execve(2)): on a busy machine that takes a while. They are counted by attempts, so that
a machine that stands still takes none of them away."""
_PAUSE = 0.02
"""Seconds between two attempts."""


def hold_after(path: Path, flags: int, former: Callable[[], int]) -> int | None:
    """As `hold`. A former holder that has ended has LEAVING seconds to let go. former: tells its process. Raises
    OSError."""
    left = round(LEAVING / _PAUSE)
    while (held := hold(path, flags)) is None and is_gone(former()) and left:
        time.sleep(_PAUSE)
        left -= 1
    return held


def hold(path: Path, flags: int) -> int | None:
    """Open a file or folder and lock it. Returns the descriptor, None where somebody has the lock. Raises OSError.

    The former holder may have removed the path before it let go. So the lock is taken on what the path names now.
    """
    while True:
        held = os.open(path, flags | os.O_NOFOLLOW, 0o600)
        if not take(held):
            os.close(held)
            return None
        if names(path, held):
            return held
        os.close(held)


def is_gone(process: int) -> bool:
    """Whether a process has ended; False where its number is 0, for one that is not to be seen from here."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def take(held: int) -> bool:
    """Lock an open file or folder. Returns whether it could be had."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether somebody has the lock on a path. What cannot be opened is held by nobody."""
    try:
        looking = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(looking, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(looking)
    return False


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


def claim(name: str) -> socket.socket | int:
    """Take a name in this network namespace (an abstract socket, unix(7)). Returns what holds it until it is closed, or
    the process that has it, 0 where that is not to be seen from here. One that has ended has LEAVING seconds to let
    go."""
    left = round(LEAVING / _PAUSE)
    while True:
        held = _claimed(name)
        if isinstance(held, socket.socket) or not is_gone(held) or not left:
            return held
        time.sleep(_PAUSE)
        left -= 1


def _claimed(name: str) -> socket.socket | int:
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind(f"\0{name}")
        held.listen(100)  # nobody accepts: who asks too often only hears no number
        return held
    except OSError:
        held.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as asking, suppress(OSError):
        asking.connect(f"\0{name}")
        return int(struct.unpack("iII", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
    return 0
