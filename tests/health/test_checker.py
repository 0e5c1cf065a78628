"""Checks on a real event loop, with servers that answer as a string says."""

import asyncio
import socket
import time
from itertools import pairwise
from typing import Any

import pytest

from dataplane import plan
from dataplane.health.checker import LOOKS, HealthChecker, LookResult
from dataplane.health.probes.check import Check, Done, ProbeFailed, ProbeRoute, Run, ended
from dataplane.network.reachability import Fault
from tests.health.monitors import monitor

VIP = socket.inet_aton("10.9.0.100")


class Servers:
    """Answers of servers, one a probe: "+", "-" (refused), "s" (silent), "q" (silent, and good); the last one stays."""

    def __init__(self, answers: str, *, host: bool = True, cause: str = "") -> None:
        self.answers = answers
        self.host = host
        self.cause = cause
        self.probes = self.looks = 0
        self.events: list[str] = []

    async def route(self, check: Check) -> ProbeRoute:
        return ProbeRoute(1, b"")

    def probe(self, check: Check) -> "Servers":
        return self

    def start(self, mark: int, source: bytes, done: Done) -> Run:
        answer = self.answers[min(self.probes, len(self.answers) - 1)]
        self.probes += 1
        if answer in "-s":
            return ended(done, ProbeFailed("closed" if answer == "-" else "silence", silent=answer == "s"))
        return ended(done, answer == "+")

    async def look(self, check: Check) -> LookResult:
        self.looks += 1
        return LookResult(self.host, Fault(self.cause))

    async def until(self, made: plan.Monitor, reached: Any, mode: str = plan.L2) -> None:
        check = Check(VIP, b"\n\t\0\2", 80, made, mode)
        self.health = HealthChecker(self.route, self.probe, self.look, lambda _check: self.events.append("changed"))
        self.health.follow({check: None})
        try:
            async with asyncio.timeout(45):
                while not reached(self.health, check):
                    await asyncio.sleep(0.005)
        finally:
            await self.health.close()


def test_quickstart_asks_again_at_once() -> None:
    there = Servers("+")
    asyncio.run(there.until(monitor(send_interval=3600, successful_checks=4), lambda h, c: h.state(c).up))
    assert there.probes == 4


@pytest.mark.parametrize(("interval", "rests"), [(1, 1.5), (3600, 0.0)], ids=["keeps", "runs at once"])
def test_a_check_that_rests_keeps_what_it_found_and_runs_at_once_afterwards(interval: int, rests: float) -> None:
    async def work() -> None:
        there = Servers("+-")
        asks = monitor(send_interval=interval, successful_checks=1, failed_checks=1)
        check = Check(VIP, b"\n\t\0\2", 80, asks, plan.L2)
        health = HealthChecker(there.route, there.probe, there.look, lambda _check: None)
        assert health.rest(True)
        health.follow({check: None})
        async with asyncio.timeout(45):
            while not health.state(check).up:
                await asyncio.sleep(0.005)
        await asyncio.sleep(rests)
        assert (there.probes, health.state(check).up) == (1, True)
        assert not health.rest(True), "it rests already"
        assert health.rest(False)
        async with asyncio.timeout(45):
            while health.state(check).up:
                await asyncio.sleep(0.005)
        await health.close()

    asyncio.run(work())


def test_without_quickstart_the_interval_is_kept() -> None:
    there, began = Servers("+"), time.monotonic()
    made = monitor(send_interval=1, successful_checks=2, quickstart=False)
    asyncio.run(there.until(made, lambda h, c: h.state(c).up))
    assert time.monotonic() - began > 0.2
    assert there.probes == 2


REASONS = [
    ("-", True, plan.L2, "closed", True),
    ("s", True, plan.L2, "server answers, VIP does not: VIP missing on its loopback?", True),
    ("s", False, plan.L2, "server does not answer", False),
    ("s", True, plan.L3_GRE,
     "server answers, VIP does not: the server does not decapsulate GRE, or VIP missing there?", True),
]  # fmt: skip


@pytest.mark.parametrize(("answers", "host", "mode", "reason", "answered"), REASONS)
def test_why_a_server_is_down(answers: str, host: bool, mode: str, reason: str, answered: bool) -> None:
    there = Servers(answers, host=host)

    def told(health_: HealthChecker, check: Check) -> bool:
        return health_.reason(check) == reason and health_.host_answers(check.server) is answered

    asyncio.run(there.until(monitor(send_interval=3600), told, mode))
    assert there.looks == (answers == "s")


def test_what_a_look_found_is_told_until_the_vip_is_heard_of_again() -> None:
    there = Servers("ss+", cause="its tunnel is closed")
    seen: list[str] = []

    def told(health_: HealthChecker, check: Check) -> bool:
        seen.append(health_.reason(check))
        return "its tunnel is closed" in seen and seen[-1] == ""

    asyncio.run(there.until(monitor(send_interval=1), told))


def test_silence_that_is_good_is_no_proof_of_the_host() -> None:
    there = Servers("q")
    asyncio.run(there.until(monitor("UDP"), lambda h, c: h.state(c).up and h.host_answers(c.server) is None))
    assert there.looks == 0


def test_looks_at_servers_that_fall_silent_together_come_one_after_the_other() -> None:
    there, began = Servers("s"), []

    async def look(check: Check) -> LookResult:
        began.append(asyncio.get_running_loop().time())
        return await there.look(check)

    async def run() -> None:
        followed = HealthChecker(there.route, there.probe, look, lambda _check: None)
        servers = [bytes((10, 9, 0, n)) for n in range(2, 12)]
        checks = [Check(VIP, server, 80, monitor(send_interval=3600)) for server in servers]
        followed.follow(dict.fromkeys(checks))
        try:
            async with asyncio.timeout(45):
                while any(followed.host_answers(server) is None for server in servers):
                    await asyncio.sleep(0.005)
        finally:
            await followed.close()

    asyncio.run(run())
    assert len(began) == 10
    assert all(later - earlier > 0.9 / LOOKS for earlier, later in pairwise(began))
