"""The plan of the store as an engine follows it: what changed, soon, and without holding up its event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.errors import PlanError
from dataplane.plan import Common, Mark, Plan, sqlite, storesource
from dataplane.plan.source import PlanSource
from dataplane.plan.storesource import StoreSource

from .test_plan import SERVICE

OTHER = replace(SERVICE, port=81, port_end=81)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "config.db", isolation_level=None)) as made:
        made.executescript(sqlite.SCHEMA)
        sqlite.write(made, 1, [SERVICE], Common())
        yield made


def follow(state: Path, job: Callable[[PlanSource], Awaitable[None]]) -> None:
    async def run() -> None:
        with closing(StoreSource(state)) as source:
            await asyncio.wait_for(job(source), 30)

    asyncio.run(run())


def test_a_store_that_is_not_there_yet_is_an_empty_plan(tmp_path: Path) -> None:
    async def job(source: PlanSource) -> None:
        assert await source.read() == Plan(-1, {}, None)
        newer = asyncio.create_task(source.newer(Mark(-1)))
        await asyncio.sleep(0)
        with closing(sqlite3.connect(tmp_path / "config.db")) as made, made:
            made.executescript(sqlite.SCHEMA)
            sqlite.write(made, 1, [SERVICE], None)
        assert (await newer).services == {SERVICE.key: replace(SERVICE, version=1)}

    follow(tmp_path, job)


def test_what_the_engines_share_is_read_alone_where_it_can_be(tmp_path: Path) -> None:
    async def told(source: PlanSource) -> None:
        found.append(await source.common())

    found: list[Common | None] = []
    follow(tmp_path, told)
    with closing(sqlite3.connect(tmp_path / "config.db")) as made:
        for damage in (None, "UPDATE plan SET document = '{' WHERE key = ''", "PRAGMA user_version = 99"):
            with made:
                made.executescript(sqlite.SCHEMA)
                sqlite.write(made, 1, [SERVICE], Common({"g": 2}))
                made.execute(damage or "SELECT 1")
            follow(tmp_path, told)
    assert found == [None, Common({"g": 2}, version=1), None, None]


def test_what_changed_is_told_and_no_more(tmp_path: Path, store: sqlite3.Connection) -> None:
    async def job(source: PlanSource) -> None:
        first = await source.read()
        assert (first.version, list(first.services)) == (1, [SERVICE.key])
        sqlite.write(store, 2, [OTHER], None)
        assert await source.newer(Mark(1)) == Plan(2, {OTHER.key: replace(OTHER, version=2)}, None)
        sqlite.write(store, 3, [SERVICE.key], None)
        assert await source.newer(Mark(2)) == Plan(3, {SERVICE.key: None}, None)

    follow(tmp_path, job)


def test_a_commit_that_changes_no_plan_is_nothing_new(tmp_path: Path, store: sqlite3.Connection) -> None:
    async def job(source: PlanSource) -> None:
        await source.read()
        newer = asyncio.create_task(source.newer(Mark(1)))
        store.execute("CREATE TABLE other (x)")
        await asyncio.sleep(3 * storesource.LOOK_EVERY)
        assert not newer.done()
        sqlite.write(store, 2, [OTHER], None)
        assert (await newer).version == 2

    follow(tmp_path, job)


def test_whoever_wakes_it_does_not_wait_for_the_next_look(
    tmp_path: Path, store: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storesource, "LOOK_EVERY", 60)

    async def job(source: PlanSource) -> None:
        version = (await source.read()).version
        for _ in range(3):
            newer = asyncio.create_task(source.newer(Mark(version)))
            await asyncio.sleep(0.02)
            sqlite.write(store, version + 1, [OTHER], None)
            source.wake()
            version = (await newer).version
        sqlite.write(store, version + 1, [OTHER], None)
        source.wake()  # nobody waits: it is not forgotten
        assert (await source.newer(Mark(version))).version == version + 1

    follow(tmp_path, job)


def test_a_row_that_cannot_be_read_is_named_and_keeps_no_other_from_being_read(
    tmp_path: Path, store: sqlite3.Connection
) -> None:
    async def job(source: PlanSource) -> None:
        await source.read()
        store.execute("INSERT INTO plan VALUES ('bad', 2, '{\"unknown\": 1}')")
        sqlite.write(store, 2, [OTHER], None)
        told = await source.newer(Mark(1))
        assert (told.version, dict(told.services)) == (2, {OTHER.key: replace(OTHER, version=2)})
        assert "unknown fields ['unknown']" in told.damaged["bad"]
        newer = asyncio.create_task(source.newer(Mark(2)))
        await asyncio.sleep(3 * storesource.LOOK_EVERY)
        assert not newer.done()
        store.execute("DELETE FROM plan WHERE key = 'bad'")
        sqlite.write(store, 3, [OTHER], None)
        assert (await newer).version == 3

    follow(tmp_path, job)


def test_a_store_of_a_newer_layout_is_refused_with_its_number(tmp_path: Path, store: sqlite3.Connection) -> None:
    store.execute(f"PRAGMA user_version = {sqlite.STORE_FORMAT + 1}")

    async def job(source: PlanSource) -> None:
        with pytest.raises(PlanError, match=rf"config.db: .*format {sqlite.STORE_FORMAT + 1}, this one reads"):
            await source.read()

    follow(tmp_path, job)


def test_a_store_that_stays_broken_is_told_once(tmp_path: Path, store: sqlite3.Connection) -> None:
    store.close()

    async def job(source: PlanSource) -> None:
        (tmp_path / "config.db").write_bytes(b"this is no database, whatever its name is" * 100)
        with pytest.raises(PlanError, match="not a database"):
            await source.newer(Mark(-1))
        newer = asyncio.create_task(source.newer(Mark(-1)))
        await asyncio.sleep(3 * storesource.LOOK_EVERY)
        assert not newer.done()

    follow(tmp_path, job)


def test_a_store_that_is_locked_does_not_hold_up_the_event_loop(tmp_path: Path, store: sqlite3.Connection) -> None:
    async def job(source: PlanSource) -> None:
        await source.read()
        store.execute("BEGIN EXCLUSIVE")
        sqlite.write(store, 2, [OTHER], None)
        newer, longest, last = asyncio.create_task(source.newer(Mark(1))), 0.0, time.monotonic()
        for _ in range(50):
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert not newer.done()
        assert longest < storesource.PATIENCE / 2, "a reader waits for the lock as long as it is held"
        store.execute("COMMIT")
        assert (await newer).version == 2

    follow(tmp_path, job)


def test_another_store_or_an_older_state_is_read_as_a_whole(tmp_path: Path, store: sqlite3.Connection) -> None:
    sqlite.identify(store, "a")
    sqlite.write(store, 5, [OTHER], None)

    async def job(source: PlanSource) -> None:
        first = await source.read()
        assert (first.mark, first.whole) == (Mark(5, "a", 1), True)
        store.execute("DELETE FROM plan WHERE key = ?", (OTHER.key,))  # as a restored copy of the same epoch is
        told = await source.newer(first.mark)
        assert (told.mark, told.whole, list(told.services)) == (Mark(1, "a", 1), True, [SERVICE.key])
        sqlite.write(store, 6, [OTHER], None)
        told = await source.newer(told.mark)
        assert (told.mark, told.whole, list(told.services)) == (Mark(6, "a", 1), False, [OTHER.key])
        for identity, epoch in (("a", 2), ("b", 2)):
            sqlite.identify(store, identity, epoch)
            told = await source.newer(told.mark)
            assert (told.mark, told.whole) == (Mark(6, identity, epoch), True)
            assert set(told.services) == {SERVICE.key, OTHER.key}

    follow(tmp_path, job)


def test_another_file_in_the_stores_place_is_read_as_a_whole(tmp_path: Path, store: sqlite3.Connection) -> None:
    sqlite.identify(store, "a")

    async def job(source: PlanSource) -> None:
        first = await source.read()
        with closing(sqlite3.connect(tmp_path / "other.db")) as other, other:
            other.executescript(sqlite.SCHEMA)
            sqlite.identify(other, "a")
            sqlite.write(other, 1, [OTHER], None)  # the same version, with other content
        (tmp_path / "other.db").replace(tmp_path / "config.db")
        told = await source.newer(first.mark)
        assert (told.mark, told.whole, list(told.services)) == (first.mark, True, [OTHER.key])

    follow(tmp_path, job)


def test_a_store_that_is_gone_for_a_moment_changes_nothing(tmp_path: Path, store: sqlite3.Connection) -> None:
    sqlite.identify(store, "a")

    async def job(source: PlanSource) -> None:
        first = await source.read()
        data = (tmp_path / "config.db").read_bytes()
        (tmp_path / "config.db").unlink()
        newer = asyncio.create_task(source.newer(first.mark))
        await asyncio.sleep(2 * storesource.LOOK_EVERY)
        (tmp_path / "config.db").touch()
        await asyncio.sleep(2 * storesource.LOOK_EVERY)
        assert not newer.done()
        (tmp_path / "config.db").write_bytes(data)
        assert (await newer).services == first.services

    follow(tmp_path, job)


def test_the_database_is_open_only_while_it_is_read(tmp_path: Path, store: sqlite3.Connection) -> None:
    store.execute("PRAGMA journal_mode = WAL")
    sqlite.write(store, 2, [OTHER], None)

    async def job(source: PlanSource) -> None:
        first = await source.read()
        assert len(first.services) == 2
        store.close()  # the last: the log goes into the database
        assert [path.name for path in tmp_path.iterdir()] == ["config.db"]
        newer = asyncio.create_task(source.newer(first.mark))
        await asyncio.sleep(3 * storesource.LOOK_EVERY)
        with closing(sqlite3.connect(tmp_path / "config.db")) as again, again:
            sqlite.write(again, 3, [SERVICE.key], None)
        assert (await newer).services == {SERVICE.key: None}

    follow(tmp_path, job)


def test_it_ends_while_somebody_waits(tmp_path: Path, store: sqlite3.Connection) -> None:
    async def run() -> float:
        source = StoreSource(tmp_path)
        await source.read()
        newer = asyncio.create_task(source.newer(Mark(1)))
        await asyncio.sleep(0.02)
        newer.cancel()
        began = time.monotonic()
        source.close()
        return time.monotonic() - began

    assert asyncio.run(run()) < 5
