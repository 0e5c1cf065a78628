"""What waits to be confirmed, as an engine sees it: it has it undone in time, and says what hinders that."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from dataplane.daemon import statustext, undoing
from dataplane.daemon.undoing import Undoing
from dataplane.events.events import Events
from dataplane.plan import Common, Mark, Plan, sqlite, unconfirmed
from dataplane.plan.storesource import StoreSource
from dataplane.plan.unconfirmed import Unconfirmed
from dataplane.wording import moment

OVER = Unconfirmed((7, 8), 1.0, 60.0, "")


class Source:
    """A plan in which something waits."""

    def __init__(self) -> None:
        self.unconfirmed: Unconfirmed | None = OVER
        self.looks = 0

    async def read(self) -> Plan:
        raise NotImplementedError

    async def common(self) -> Common | None:
        raise NotImplementedError

    async def newer(self, after: Mark) -> Plan:
        raise NotImplementedError

    def wake(self) -> None:
        self.looks += 1

    def reread(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


async def reached(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(45):
        while not condition():
            await asyncio.sleep(0.01)


def beside(job: Undoing, wait: Callable[[], Awaitable[None]]) -> None:
    """Run it until something is so."""

    async def run() -> None:
        task = asyncio.create_task(job.run())
        await wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_a_program_that_fails_is_started_again_and_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undoing, "AGAIN_AFTER", 0.0)
    monkeypatch.setattr(undoing, "LOOK_EVERY", 0.0)
    source, events = Source(), Events()
    beside(Undoing(tmp_path / "none", source, events), lambda: reached(lambda: source.looks == 2))
    told = f"what was not confirmed is not undone: {tmp_path}/none/config.db: there is no store"
    assert [event.text for event in events.all()] == [f"{told}; --state names the state folder"]


def test_nothing_is_started_before_the_time_or_where_it_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undoing, "LOOK_EVERY", 0.0)
    source, events = Source(), Events()

    async def wait() -> None:
        for waits in (None, Unconfirmed((7,), time.time() + 60, 60.0, ""), Unconfirmed((7,), 1.0, 60.0, "it is so")):
            source.unconfirmed = waits
            for _ in range(20):
                await asyncio.sleep(0)

    beside(Undoing(tmp_path, source, events), wait)
    assert (list(events.all()), source.looks) == ([], 0)


def test_an_engine_sees_what_waits_as_soon_as_it_is_stored(tmp_path: Path) -> None:
    async def job(source: StoreSource) -> None:
        await source.read()
        assert source.unconfirmed is None
        following = asyncio.create_task(source.newer(Mark(1)))
        with closing(sqlite3.connect(tmp_path / "config.db")) as store, store:
            store.executescript(unconfirmed.SCHEMA)
            unconfirmed.add(store, [7, 8], 60.0)
        await reached(lambda: source.unconfirmed)
        waits = source.unconfirmed
        assert waits is not None
        assert (waits.commits, waits.before, waits.seconds, waits.fault) == ((7, 8), 6, 60.0, "")
        with closing(sqlite3.connect(tmp_path / "config.db")) as store, store:
            unconfirmed.clear(store)
        await reached(lambda: source.unconfirmed is None)
        following.cancel()

    async def run() -> None:
        with closing(StoreSource(tmp_path)) as source:
            await job(source)

    with closing(sqlite3.connect(tmp_path / "config.db")) as store, store:
        store.executescript(sqlite.SCHEMA)
        sqlite.write(store, 1, [], Common())
    asyncio.run(run())


@pytest.mark.parametrize(
    ("waits", "told"),
    [
        (None, []),
        (OVER, ["commits 7, 8: undone at {at} unless somebody confirms (avi-shell -c confirm)"]),
        (Unconfirmed((7,), 1.0, 60.0, "why"), ["commit 7: not confirmed, and not undone at {at}: why"]),
    ],
)
def test_status_says_what_waits(waits: Unconfirmed | None, told: list[str]) -> None:
    at = moment(1.0)
    assert list(statustext.waiting(undoing.report(waits))) == [line.format(at=at) for line in told]
