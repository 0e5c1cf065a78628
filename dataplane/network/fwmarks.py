"""The socket marks of probes: each engine in a network namespace has a range of its own.

Marks, tables and rules belong to the network namespace. So do the names that `locks.claim` takes, and a name ends with
its process: rules in a range whose name nobody holds were left behind by an engine that was killed.
"""

from __future__ import annotations

import socket

from dataplane.errors import NetworkError
from dataplane.runtime import locks

FIRST = 0x41560000
"""The first mark of the first range."""
SIZE = 0x20000
"""Marks in a range: the first half is for layer 2, the second for tunnels."""
HALF = SIZE // 2
MOST = 16
"""Ranges, and so the engines that can probe from one network namespace."""


def range_start(number: int) -> int | None:
    """The first mark of the range that a number lies in; None if it lies in none."""
    return number - (number - FIRST) % SIZE if FIRST <= number < FIRST + MOST * SIZE else None


def hold(first: int) -> socket.socket | None:
    """Take the range that begins at `first`, in this thread's namespace, until the returned socket is closed. None if
    another process has it."""
    held = locks.claim(f"avi-se/marks/{first:#x}")
    return held if isinstance(held, socket.socket) else None


def take() -> tuple[int, socket.socket]:
    """Take a free range. Returns its first mark, and the socket that holds it. Raises NetworkError."""
    for first in range(FIRST, FIRST + MOST * SIZE, SIZE):
        held = hold(first)
        if held is not None:
            return first, held
    raise NetworkError(f"{MOST} service engines probe from here already")
