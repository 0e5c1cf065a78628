"""Many pools that come at once: the counters of their servers begin from zero, and together."""

from __future__ import annotations

import pytest

from dataplane.bpf import maps

from .decider import KernelDecider
from .test_publishing import kernel, pool, root, served_by

__all__ = ["kernel"]


@root
def test_counters_of_many_new_pools_begin_from_zero_in_one_call(
    kernel: KernelDecider, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    update = maps.Map.update_all

    def counted(self: maps.Map, keys: bytes, values: bytes) -> None:
        calls.append(self.name)
        update(self, keys, values)

    monkeypatch.setattr(maps.Map, "update_all", counted)
    tables = kernel.tables
    assert served_by(kernel)
    assert sum(tally.packets for tally in tables.counters().servers.values()) == 1
    tables.remove_pool("pool")
    tables.put_pools([pool(0, uuid=f"pool-{number}") for number in range(20)])
    assert (calls.count("counters"), calls.count("slow_counters"), calls.count("handshakes")) == (1, 1, 1)
    tallies = tables.counters().servers
    assert (len(tallies), sum(tally.packets for tally in tallies.values())) == (40, 0)
    numbers = [number for held in tables._pools.held.values() for number in tables._pools.counters(held).values()]
    assert len(set(numbers)) == 40
