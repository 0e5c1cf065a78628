"""The signals that end a process, noted from its first moment on: what makes things is told to stop, never cut off."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_noted: list[int] = []


def note() -> None:
    """Note the signals from now on, instead of ending by them."""
    _noted.clear()
    for signum in ENDING:
        signal.signal(signum, _note)


def take_over(end: Callable[[int], None]) -> None:
    """Have the running loop call a function with each of the signals, those that were noted first."""
    loop = asyncio.get_running_loop()
    for signum in ENDING:
        loop.add_signal_handler(signum, end, signum)
    for noted in _noted:
        end(noted)
    _noted.clear()


def _note(signum: int, _frame: FrameType | None) -> None:
    _noted.append(signum)
