"""A pool's table as it lies in the maps, written and read natively and in Python."""

from __future__ import annotations

import platform
import random
from array import array
from dataclasses import replace

import pytest

from dataplane.drivers.maps import tablerecord
from dataplane.forwarding.maglev import NO_SERVER
from dataplane.forwarding.values import Pool

from .test_publishing import SLOTS, pool, slots


def random_pool(seed: int) -> Pool:
    rnd = random.Random(seed)
    owners = [*range(40), 0x7FFE, NO_SERVER]
    table, fallback = (array("H", rnd.choices(owners, k=SLOTS)) for _ in range(2))
    return Pool("pool", 1, table, (), phases=bytes(rnd.choices((0, 1, 2), k=SLOTS)), fallback=fallback)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="native loops are shipped for x86_64 alone")
@pytest.mark.parametrize("seed", range(5))
def test_the_native_loops_are_the_python_loops_and_lose_nothing(seed: int) -> None:
    one = random_pool(seed)
    table, formers = (array("H", bytes(2 * SLOTS)) for _ in range(2))
    assert tablerecord.pack(one, table, formers)
    assert (table, formers) == tablerecord.packed_here(one)
    assert tablerecord.unpacked(table, formers) == (one.table, one.fallback, one.phases)
    assert tablerecord.unpacked_here(table, formers) == (one.table, one.fallback, one.phases)


def test_a_table_without_any_owner_needs_no_place() -> None:
    assert tablerecord.is_empty(pool(NO_SERVER))
    assert not tablerecord.is_empty(pool(0))
    mixed = slots(NO_SERVER)
    mixed[7] = 0
    assert not tablerecord.is_empty(replace(pool(0), table=mixed))
    assert not tablerecord.is_empty(replace(pool(NO_SERVER), phases=bytes([1]) * SLOTS, fallback=slots(0)))
