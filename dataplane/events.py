"""What happened to an engine, for its log and for `status`."""

from __future__ import annotations

import logging
from dataclasses import dataclass

log = logging.getLogger("avi-se")


@dataclass(frozen=True, slots=True)
class Events:
    """What happened last, for `status`: newest last, bounded."""

    lines: list[str]

    def add(self, line: str) -> None:
        """Log an event and remember it."""
        log.info("%s", line)
        self.lines.append(line)
        del self.lines[:-50]
