"""Packets of full size: who is judged when, and nothing is left that asks on once it was ended."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from dataplane.diagnosis.blackhole import BlackholeDetector
from dataplane.plan import L2, L3_GRE


def test_what_is_asked_ends_with_it() -> None:
    class Examiner:
        async def arrives(self, check: Any, size: int) -> bool:
            await asyncio.sleep(60)
            return True

        def full(self, check: Any) -> int:
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


def test_packets_due_within_half_a_second_are_sent_together() -> None:
    """Twenty a second to a hundred servers: ten at once, and no more before half a second has passed."""
    asked: list[Any] = []

    class Examiner:
        async def arrives(self, check: Any, size: int) -> bool:
            asked.append(check)
            return True

        def full(self, check: Any) -> int:
            return 1500

    async def run() -> int:
        monitor = SimpleNamespace(send_interval=1)
        checks: Any = [SimpleNamespace(server=bytes([n]), vip=b"", mode=L2, monitor=monitor) for n in range(100)]
        examiner: Any = Examiner()
        sizes = BlackholeDetector(examiner, lambda: checks, lambda check: None, lambda check, fits: None)
        running = asyncio.create_task(sizes.run())
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return len(asked)

    assert asyncio.run(run()) == 10


def test_a_tunnel_is_not_judged_before_routers_had_the_time_to_report() -> None:
    """They do within two measurements; until then a server was called one that loses packets of full size."""
    asked: list[int] = []
    told: list[str] = []

    class Examiner:
        mtu, silent = 1476, False

        async def arrives(self, check: Any, size: int) -> bool:
            asked.append(size)
            return size <= 1376

        async def largest(self, check: Any, full: int) -> int:
            return 1373

        def full(self, check: Any) -> int:
            return self.mtu

        def unreported(self, check: Any, since: float) -> bool:
            return self.silent

    async def run() -> None:
        monitor = SimpleNamespace(send_interval=0.001)
        check: Any = SimpleNamespace(server=bytes(4), vip=bytes(4), mode=L3_GRE, monitor=monitor)
        examiner = Examiner()
        detector = BlackholeDetector(
            examiner,  # type: ignore[arg-type]
            lambda: [check],
            lambda check: told.append(detector.words(bytes(4), bytes(4), L3_GRE)),
            lambda check, fits: None,
        )
        running = asyncio.create_task(detector.run())

        async def rounds(number: int) -> None:
            until = len(asked) + number
            while len(asked) < until:
                await asyncio.sleep(0.001)

        await rounds(5)
        assert not told
        examiner.silent = True
        while not told:
            await asyncio.sleep(0.001)
        assert told == ["packets of full size do not arrive: the largest that does has 1373 of 1476 bytes"]
        examiner.mtu = 1376  # a router reports at last
        await rounds(2)
        assert told[1:] == [""]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 20))
