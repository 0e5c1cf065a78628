"""When the table of remembered flows counts as full."""

from __future__ import annotations

from typing import cast

from dataplane.engine.flowmemory import FlowMemory
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
    room = FlowMemory(cast(Driver, driver))
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
