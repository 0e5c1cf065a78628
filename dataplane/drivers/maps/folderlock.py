"""The lock on the folder that holds one engine's maps: two engines that publish through the same maps would undo each
other's tables."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dataplane.errors import DriverError, command
from dataplane.runtime import locks

_PATIENCE = 0.2
"""Seconds for which a lock is tried: a process that looks whether an engine runs holds it for a moment."""


def held(folder: Path, check: Callable[[], object] = lambda: None) -> int:
    """Make a folder if need be, and lock it (flock(2)). Returns the descriptor that holds the lock.

    check: called each time before the lock is tried; it raises where the folder may not be used. Raises DriverError
    where another process has the lock.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):  # whoever had it has just removed it
            check()
            lock = locks.hold(folder, os.O_RDONLY | os.O_DIRECTORY)
            if lock is not None:
                return lock
            if time.monotonic() < until:
                time.sleep(_PATIENCE / 20)
                continue
            process = locks.holder(folder)
            who = f"process {process}" if process else "a process that is not to be seen from here"
            remedy = command("kill {}", process) if process else ""
            raise DriverError(f"{who} runs on {folder}: two engines cannot share it", remedy=remedy)
