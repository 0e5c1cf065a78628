"""When the table of remembered flows counts as full."""

from __future__ import annotations

from itertools import count
from typing import cast

import pytest

from dataplane.engine.flowmemory import LONGEST, FlowMemory
from dataplane.forwarding.driver import Driver, FlowRoom


class Remembering:
    """A driver that remembers some flows of two servers."""

    flow_room = FlowRoom(2000, 1000)

    def __init__(self) -> None:
        self.flows = 0

    def lingering(self, pools: list[str]) -> dict[str, list[tuple[int, tuple[bytes, int], int]]]:
        return {pool: [(0, (bytes([n % 2] * 4), 1), 0) for n in range(self.flows)] for pool in pools}


def test_a_table_is_full_until_flows_end_or_no_pool_moves() -> None:
    driver = Remembering()
    clock = count().__next__
    room = FlowMemory(cast(Driver, driver), lambda: 100.0 * clock())
    told = []
    for flows, pools in ((949, ["p1"]), (950, ["p1"]), (1000, ["p1"]), (10, ["p1"]), (475, ["p1", "p2"]), (1000, [])):
        driver.flows = flows
        room.lingering(pools)
        told.append(room.since is not None)
        assert bool(room.words()) is told[-1]
    assert told == [False, True, True, False, True, False]
    driver.flows = 1000
    room.lingering(["p1"])
    first = room.since
    room.lingering(["p1"])
    assert room.since == first
    assert "(1,000 of 2,000)" in room.words()
    assert room.of == {"p1": {bytes(4): 500, bytes([1] * 4): 500}}


@pytest.mark.parametrize(("takes", "looks"), [(0.001, 20), (0.5, 4), (6.0, 1)])
def test_a_large_table_is_looked_at_less_often(takes: float, looks: int) -> None:
    """An engine that asks each second has a tenth of its time for it, and half a minute's rest at most."""
    now, driver = 0.0, Remembering()

    def lingering(pools: list[str]) -> dict[str, list[tuple[int, tuple[bytes, int], int]]]:
        nonlocal now
        now += takes
        return {pool: [] for pool in pools}

    driver.lingering = lingering  # type: ignore[method-assign]
    room, found = FlowMemory(cast(Driver, driver), lambda: now), []
    for _ in range(20):
        found.append(room.lingering(["p1"]))
        now += 1.0
    assert sum(one is not None for one in found) == looks
    assert room.lingering([]) == {}  # nothing moves: nothing is looked at
    now += LONGEST
    assert room.lingering(["p1"]) == {"p1": []}
