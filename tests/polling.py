"""Polls with a deadline: no test sleeps for a time and hopes."""

from __future__ import annotations

import time
from collections.abc import Callable

_PAUSE = 0.005
"""Seconds between two looks."""


def until(
    condition: Callable[[], object], what: Callable[[], object] = lambda: "not in time", seconds: float = 20
) -> None:
    """Poll until a condition is true. what: returns what to say when it is not true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(_PAUSE)
