"""Whose marks are whose: of every network namespace each engine has a range of its own.

Marks, tables and rules are the network namespace's. So is a name as `locks.claim` takes it, and it goes with its
process: what is found in a range whose name nobody has was left by a killed engine.
"""

from __future__ import annotations

import socket

from dataplane.errors import NetworkError
from dataplane.runtime import locks

FIRST = 0x41560000
"""Where the first range begins."""
SIZE = 0x20000
"""Numbers of a range: the first half is layer 2's, the other one that of tunnels."""
HALF = SIZE // 2
MOST = 16
"""Ranges, and hence engines that probe from one network namespace."""


def beginning(number: int) -> int | None:
    """Where the range begins that a number lies in; None: it is nobody's."""
    return number - (number - FIRST) % SIZE if FIRST <= number < FIRST + MOST * SIZE else None


def hold(first: int) -> socket.socket | None:
    """Take the range that begins there, in this thread's namespace, until the socket is closed. None where a process
    has it."""
    held = locks.claim(f"avi-se/marks/{first:#x}")
    return held if isinstance(held, socket.socket) else None


def take() -> tuple[int, socket.socket]:
    """Take a range: where it begins, and what holds it. Raises NetworkError."""
    for first in range(FIRST, FIRST + MOST * SIZE, SIZE):
        held = hold(first)
        if held is not None:
            return first, held
    raise NetworkError(f"{MOST} service engines probe from here already")
