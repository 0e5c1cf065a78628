"""Packets of full size: nothing is left that asks on once it was ended."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from dataplane.diagnosis.blackhole import BlackholeDetector
from dataplane.plan import L2


def test_what_is_asked_ends_with_it() -> None:
    class Examiner:
        async def arrives(self, check: Any, size: int) -> bool:
            await asyncio.sleep(60)
            return True

        def full(self, check: Any, *, tried: bool) -> int:
            return 1500

    async def run() -> int:
        monitor = SimpleNamespace(send_interval=60)
        checks: Any = [SimpleNamespace(server=bytes(4), vip=bytes(4), mode=L2, monitor=monitor)]
        examiner: Any = Examiner()
        sizes = BlackholeDetector(examiner, lambda: checks, lambda check: None, lambda check, fits: None)
        running = asyncio.create_task(sizes.run())
        while len(asyncio.all_tasks()) < 3:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1
