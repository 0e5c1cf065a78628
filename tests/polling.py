"""Polls with a deadline: no test sleeps for a time and hopes."""

from __future__ import annotations

import time
from collections.abc import Callable

SHORTEST, _LONGEST = 0.005, 0.1
"""Seconds between two looks."""
_SHARE = 1 / 16
"""Of the time that was waited, how long the next pause is: a look costs processor time, mostly an engine's too."""


def until(
    condition: Callable[[], object],
    what: Callable[[], object] = lambda: "not in time",
    seconds: float = 45,
    *,
    longest: float = _LONGEST,
) -> None:
    """Poll until a condition is true. what: returns what to say when it is not true in time; longest: seconds between
    two looks, at most."""
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < seconds, what()
        time.sleep(min(longest, max(SHORTEST, waited * _SHARE)))
