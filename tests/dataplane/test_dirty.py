"""Marks of what is to be put anew."""

from __future__ import annotations

import asyncio

from dataplane.engine.dirty import Dirty, DirtySet


async def waits(dirty: DirtySet) -> bool:
    """Whether there is nothing to wake up for."""
    try:
        await asyncio.wait_for(dirty.wait(), 0.01)
    except TimeoutError:
        return True
    return False


def test_what_is_marked_is_taken_once_in_the_order_in_which_it_was_marked() -> None:
    dirty = DirtySet()
    dirty.mark_pools(["b", "a"])
    dirty.mark_pools(["a", "c", "b"])
    dirty.mark_service("key")
    dirty.mark_vips([b"vip", b"vip"])
    assert dirty
    taken = dirty.take()
    assert taken == Dirty({"b": None, "a": None, "c": None}, {"key"}, {b"vip"})
    assert list(taken.pools) == ["b", "a", "c"]
    assert not dirty
    assert dirty.take() == Dirty({}, set(), set())


def test_what_is_marked_while_the_taken_is_put_stays_for_the_next_time() -> None:
    dirty = DirtySet()
    dirty.mark_pools(["a", "b"])
    taken = dirty.take()
    dirty.mark_pools(list(taken.pools)[1:])
    assert list(dirty.take().pools) == ["b"]


def test_a_pool_ends_the_wait_and_services_and_vips_do_not() -> None:
    async def run() -> list[bool]:
        dirty, found = DirtySet(), []
        dirty.mark_service("key")
        dirty.mark_vips([b"vip"])
        dirty.mark_pools([])
        found.append(await waits(dirty))
        dirty.mark_pools(["a"])
        found.append(await waits(dirty))
        found.append(await waits(dirty))  # that was told
        dirty.wake()
        found.append(await waits(dirty))
        return found

    assert asyncio.run(run()) == [True, False, True, False]
