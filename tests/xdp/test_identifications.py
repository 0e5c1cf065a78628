"""Identifications of outer headers: processors share those of a server and never use one twice."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dataplane.forwarding.tracking import OLD, TAKEN_AT_ONCE
from tests.packets.cases import frame, udp
from tests.packets.world import ETH0, WORLD

from .decider import KernelDecider, received_on

pytestmark = pytest.mark.root
TUNNEL, OTHER = 92, 95
"""Ports of services of two pools with the same server."""
PROCESSORS = sorted(os.sched_getaffinity(0))


@pytest.fixture
def decider() -> Iterator[KernelDecider]:
    made = KernelDecider()
    received_on(WORLD, ETH0).put(made.tables)
    yield made
    made.close()


def identification(decider: KernelDecider, processor: int, port: int = TUNNEL, data: bytes = b"") -> int:
    """Of the outer header that a processor puts in front of a packet without DF that fits its tunnel."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        sent = decider._program.test_run(frame(udp(port, data=data))).data
    finally:
        os.sched_setaffinity(0, usable)
    return int.from_bytes(sent[18:20], "big")


@pytest.mark.skipif(len(PROCESSORS) < 2, reason="one processor only")
def test_processors_never_use_the_same(decider: KernelDecider) -> None:
    used = [identification(decider, processor) for _ in range(5 * TAKEN_AT_ONCE) for processor in PROCESSORS[:2]]
    assert len(set(used)) == len(used)
    assert max(used) <= len(used) + 2 * TAKEN_AT_ONCE, "few are left out"
    one = used[::2]
    assert one[:TAKEN_AT_ONCE] == list(range(1, TAKEN_AT_ONCE + 1)), "a processor takes many at a time"


@pytest.mark.skipif(len(PROCESSORS) < 2, reason="one processor only")
def test_what_a_processor_left_for_long_is_not_used(decider: KernelDecider) -> None:
    """Others have gone round a quarter of all by then: it would meet them."""
    idle, busy = PROCESSORS[:2]
    assert identification(decider, idle) == 1
    for _ in range(OLD // TAKEN_AT_ONCE):
        identification(decider, busy, data=bytes(1400))  # is cut up: its pieces take as many
    last = identification(decider, busy)
    assert last > OLD
    assert identification(decider, idle) > last


def test_pools_of_one_server_share_its_identifications(decider: KernelDecider) -> None:
    """The same source and destination: a router's fragments of both come together at the server."""
    assert identification(decider, PROCESSORS[0]) == 1
    assert identification(decider, PROCESSORS[0], OTHER) == 2
