"""Looks at an engine for those who browse its page."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from dataplane.daemon import status
from dataplane.engine.engine import Engine
from dataplane.metrics import page
from dataplane.ratehistory import RateHistory

LEAST = 1.0
"""Seconds between two looks."""
SHARE = 10
"""A look is the last one for this many times as long as it took."""


class Looks:
    """One look serves all who browse for a while. So browsing costs at most a tenth of the processor's time, however
    many browse, and however many servers there are."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._one = asyncio.Lock()
        self._report: dict[str, Any] = {}
        self._rates = RateHistory(page.BARS)
        self._until = 0.0

    async def look(self) -> tuple[dict[str, Any], RateHistory]:
        """The report, and the rates of its counters. Neither changes afterwards."""
        async with self._one:
            began = time.monotonic()
            if began >= self._until:
                report = self._report = await status.report(self._engine)
                before = self._rates
                self._rates = await asyncio.to_thread(lambda: before.added(began, dict(page.counters(report))))
                self._until = began + max(LEAST, SHARE * (time.monotonic() - began))
            return self._report, self._rates
