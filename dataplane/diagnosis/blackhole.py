"""Finds servers that full-size packets do not reach. Monitors' probes are small: they pass where a client's large
request hangs for ever.

Now and then a ping with DF, as large as the path should carry, is sent on the data's path to each server that is up.
When two in a row are lost and small ones are not, the largest size that arrives is searched for. A server that answers
no ping is not judged. The result is reported and the server stays up. Into tunnels the engine then sends no more than
arrives, and tells clients so. A path is no black hole where a router reports what fits. So a tunnel is judged only when
it has been measured since the first loss and no router has reported anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from dataplane.diagnosis.examiner import Examiner
from dataplane.diagnosis.findings import lost_on_the_path
from dataplane.errors import NetworkError
from dataplane.health.probes.check import Check
from dataplane.plan import L2
from dataplane.runtime import tasks

RATE = 20
"""Packets a second, to all servers together: the more servers there are, the less often each is asked."""
TOGETHER = 0.5
"""Seconds. Packets that are due within it are sent together: waking up for each costs more than sending it."""
_LOST = 2
"""Full-size packets lost in a row before the largest size that arrives is searched for."""

Key = tuple[bytes, bytes, str]
"""Server, VIP, mode."""


class _Losses(NamedTuple):
    """Full-size packets lost in a row."""

    number: int  # of them
    since: float  # time.monotonic() of the first


class BlackholeDetector:
    """Pings servers with full-size packets.

    wanted: returns one check for each server and VIP that is up; changed: called with a check whose `words` are new;
    learned: called with a check and the bytes of the largest packet that its tunnel carries; 0: that is over.
    """

    def __init__(
        self,
        examiner: Examiner,
        wanted: Callable[[], Collection[Check]],
        changed: Callable[[Check], None],
        learned: Callable[[Check, int], None],
    ) -> None:
        self._examiner, self._wanted, self._changed, self._learned = examiner, wanted, changed, learned
        self._lost: dict[Key, _Losses] = {}
        self._short: dict[Key, tuple[int, int]] = {}

    def words(self, server: bytes, vip: bytes, mode: str) -> str:
        """What an operator must know of a server; "" if full-size packets arrive or nobody can tell."""
        full, fits = self._short.get((server, vip, mode), (0, 0))
        return lost_on_the_path(full, fits) if full else ""

    async def run(self) -> None:
        """Ask the servers in turn, for ever. Those that are no longer up are forgotten."""
        while True:
            checks = {(check.server, check.vip, check.mode): check for check in self._wanted()}
            self._lost = {key: lost for key, lost in self._lost.items() if key in checks}
            self._short = {key: short for key, short in self._short.items() if key in checks}
            every = max(min((c.monitor.send_interval for c in checks.values()), default=1), len(checks) / RATE)
            asked = []
            try:
                waiting, size = list(checks.items()), max(1, round(TOGETHER * len(checks) / every))
                for first in range(0, len(waiting), size):
                    several = waiting[first : first + size]
                    asked += [tasks.once(self._one(key, check)) for key, check in several]
                    await asyncio.sleep(every * len(several) / len(checks))
                if not checks:
                    await asyncio.sleep(every)
                if asked:
                    await asyncio.wait(asked)
            finally:
                for task in asked:
                    task.cancel()

    async def _one(self, key: Key, check: Check) -> None:
        try:
            full, began = self._examiner.full(check), time.monotonic()
            if not full or await self._examiner.arrives(check, full):
                self._lost.pop(key, None)
                if self._short.pop(key, None) is not None:
                    self._learn(check, 0)
                return
            number, since = self._lost.get(key, _Losses(0, began))
            self._lost[key] = _Losses(number + 1, since)
            if key in self._short and check.mode != L2:
                self._learned(check, self._short[key][1])  # again, since path MTUs are forgotten after a while
            if number + 1 < _LOST or key in self._short or not self._examiner.unreported(check, since):
                return
            fits = await self._examiner.largest(check, full)
        except NetworkError:  # the monitors report it
            return
        if fits and fits < full:
            self._short[key] = full, fits
            self._learn(check, fits)

    def _learn(self, check: Check, fits: int) -> None:
        if check.mode != L2:
            self._learned(check, fits)
        self._changed(check)
