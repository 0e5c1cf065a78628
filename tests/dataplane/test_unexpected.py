"""What is raised and nobody expected: told, gone round where that can be, and an end with an error where not."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dataplane.errors import DriverError
from dataplane.health.probes.poller import READABLE, Poller
from dataplane.health.scheduler import Scheduler
from dataplane.runtime import tasks
from dataplane.runtime.worker import MOST, Worker

Told = list[dict[str, Any]]


def on_loop(job: Callable[[Told], Awaitable[None]]) -> None:
    """Run something on an event loop that collects what its exception handler is told."""

    async def run() -> None:
        told: Told = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
        await job(told)

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(45):
        while not condition():
            await asyncio.sleep(0.001)


def fails() -> None:
    raise RuntimeError("a mistake")


def test_a_timeouts_fault_keeps_no_other_from_its_time() -> None:
    async def job(told: Told) -> None:
        poller, over = Poller(), []
        poller.after(0.02, fails)
        poller.after(0.02, lambda: over.append("together"))
        poller.after(0.1, lambda: over.append("later"))
        await until(lambda: len(over) == 2)
        poller.close()
        assert [str(context["exception"]) for context in told] == ["a mistake"]

    on_loop(job)


def test_a_files_fault_keeps_no_other_unread_and_is_no_endless_loop() -> None:
    async def job(told: Told) -> None:
        poller, read = Poller(), []
        pipes = [os.pipe() for _ in range(2)]
        for (reader, _), ready in zip(
            pipes, (lambda _: fails(), lambda _: read.append(os.read(pipes[1][0], 9))), strict=True
        ):
            poller.watch(reader, READABLE, ready)
        for _, writer in pipes:
            os.write(writer, b"x")
        await until(lambda: bool(read) and bool(told))
        os.write(pipes[1][1], b"y")
        await until(lambda: len(read) == 2)
        assert len(told) == 1, "it is not asked again"
        poller.forget(pipes[0][0])  # as its owner does at the end
        poller.close()
        for ends in pipes:
            for end in ends:
                os.close(end)

    on_loop(job)


def test_a_probe_that_cannot_be_started_stops_no_other() -> None:
    async def job(told: Told) -> None:
        schedule, ran = Scheduler(), []

        def good() -> None:
            ran.append(1)
            schedule.ended()

        def bad() -> None:
            schedule.ended()
            fails()

        schedule.add(bad, 0.02)
        schedule.add(good, 0.02)
        await until(lambda: len(ran) > 3 and len(told) > 3)
        schedule.close()

    on_loop(job)


@pytest.mark.parametrize("fatal", [True, False])
def test_the_end_of_a_task_is_told(fatal: bool) -> None:
    async def job(told: Told) -> None:
        async def failing() -> None:
            fails()

        async def ending() -> None:
            return

        start = tasks.forever if fatal else tasks.once
        for one in (failing(), ending()):
            start(one)
        start(asyncio.sleep(10, None)).cancel()
        await asyncio.sleep(0.01)
        assert [(context["fatal"], "exception" in context) for context in told] == (
            [(True, True), (True, False)] if fatal else [(False, True)]
        )

    on_loop(job)


def test_a_workers_fault_is_told_once_and_gone_round() -> None:
    wake = os.eventfd(0)
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    turns = []

    def turn() -> None:
        poll.poll()
        os.eventfd_read(wake)
        turns.append(1)
        if len(turns) <= 2:
            fails()

    worker = Worker("a driver", turn)
    worker.start()
    for number in range(1, 5):
        os.eventfd_write(wake, 1)
        while len(turns) < number:
            pass
    worker.end(lambda: os.eventfd_write(wake, 1))
    (told,) = worker.faults()
    assert told.startswith("a driver: unexpected error, 2 times: RuntimeError: a mistake at test_unexpected.py:")
    assert worker.faults() == []
    os.close(wake)


def test_a_worker_that_can_do_nothing_right_ends_and_says_so() -> None:
    turns = []

    def turn() -> None:
        turns.append(1)
        fails()

    worker = Worker("a driver", turn)
    worker.start()
    deadline = time.monotonic() + 45
    while worker.alive:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert len(turns) == MOST
    with pytest.raises(DriverError, match="a driver has ended: RuntimeError: a mistake"):
        worker.faults()
