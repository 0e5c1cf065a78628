"""Whether packets of full size arrive at the servers that are up: monitors' probes are small, and pass where a client's
large request hangs for ever.

Now and then a ping that may not be cut, as large as the way should take, is sent on the data's path; where two in a row
are lost and small ones are not, the largest that arrives is looked for. A server that answers no ping is not judged. It
is told, and the server stays up. Into tunnels the engine then sends no more than arrives, and tells clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from dataplane.errors import NetworkError
from dataplane.health.probes.check import Check
from dataplane.plan import L2
from dataplane.runtime import tasks

if TYPE_CHECKING:
    from dataplane.diagnosis.examiner import Examiner

RATE = 20
"""Packets a second, of all servers together: where there are many, each is asked less often."""
_LOST = 2

Key = tuple[bytes, bytes, str]
"""Server, VIP, mode."""


class BlackholeDetector:
    """Asks for ever. wanted: one check for each server and VIP that is up; changed: gets a check whose word is new;
    learned: gets a server and the bytes of the largest packet that its tunnel takes, 0 = what was learned is over."""

    def __init__(
        self,
        examiner: Examiner,
        wanted: Callable[[], Collection[Check]],
        changed: Callable[[Check], None],
        learned: Callable[[Check, int], None],
    ) -> None:
        self._examiner, self._wanted, self._changed, self._learned = examiner, wanted, changed, learned
        self._lost: dict[Key, int] = {}
        self._short: dict[Key, tuple[int, int]] = {}

    def words(self, server: bytes, vip: bytes, mode: str) -> str:
        """What an operator must know, "" where packets of full size arrive or nobody can tell."""
        full, fits = self._short.get((server, vip, mode), (0, 0))
        if not full:
            return ""
        return f"full-size packets do not arrive: of {full} bytes; the largest that does has {fits}"

    async def run(self) -> None:
        """Ask in turn. Who is not up any more is forgotten."""
        while True:
            checks = {(check.server, check.vip, check.mode): check for check in self._wanted()}
            self._lost = {key: lost for key, lost in self._lost.items() if key in checks}
            self._short = {key: short for key, short in self._short.items() if key in checks}
            every = max(min((c.monitor.send_interval for c in checks.values()), default=1), len(checks) / RATE)
            asked = []
            try:
                for key, check in checks.items():
                    asked.append(tasks.once(self._one(key, check)))
                    await asyncio.sleep(every / len(checks))
                if not checks:
                    await asyncio.sleep(every)
                if asked:
                    await asyncio.wait(asked)
            finally:
                for task in asked:
                    task.cancel()

    async def _one(self, key: Key, check: Check) -> None:
        try:
            full = self._examiner.full(check, tried=key in self._short)
            if not full or await self._examiner.arrives(check, full):
                self._lost.pop(key, None)
                if self._short.pop(key, None) is not None:
                    self._learn(check, 0)
                return
            self._lost[key] = self._lost.get(key, 0) + 1
            if key in self._short and check.mode != L2:
                self._learned(check, self._short[key][1])  # it is forgotten after a while
            if self._lost[key] < _LOST or key in self._short:
                return
            fits = await self._examiner.largest(check, full)
        except NetworkError:  # the monitors tell
            return
        if fits and fits < full:
            self._short[key] = full, fits
            self._learn(check, fits)

    def _learn(self, check: Check, fits: int) -> None:
        if check.mode != L2:
            self._learned(check, fits)
        self._changed(check)
