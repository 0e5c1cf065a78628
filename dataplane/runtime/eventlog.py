"""What happened to an engine, for its log and for `status`."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import NamedTuple

log = logging.getLogger("avi-se")

KEPT = 50


class Event(NamedTuple):
    """Something that happened."""

    at: float  # seconds since the epoch
    text: str  # in words for an operator


class Events:
    """What happened last, for `status`: newest last, bounded."""

    def __init__(self) -> None:
        self.last: deque[Event] = deque(maxlen=KEPT)

    def add(self, text: str) -> None:
        """Log an event and remember it."""
        log.info("%s", text)
        self.last.append(Event(time.time(), text))
