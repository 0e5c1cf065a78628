"""Counters are read a piece at a time, and as many as are asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from dataplane.drivers.maps import counterpieces
from dataplane.drivers.maps.layout import u32
from dataplane.drivers.maps.tables import MapTables
from dataplane.forwarding.driver import Asked, whole
from dataplane.forwarding.dropreasons import DROP_REASONS
from dataplane.forwarding.values import TCP, Service, ServiceKey, Tally
from tests.packets.world import VIP, ip

from .deciders import EVERY, Decider
from .test_publishing import pool, target

MANY, SERVERS = 30, 100
KEYS = [ServiceKey(ip(VIP), TCP, port, port) for port in range(1, MANY + 1)]
TARGETS = [target(n) for n in range(1, SERVERS + 1)]


class Spied:
    """A map that notes which elements are read, and how often any is looked up."""

    def __init__(self, held: Any) -> None:
        self._held = held
        self.read_: list[int] = []
        self.looked_up = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._held, name)

    def read(self, entries: int, first: int = 0) -> bytes:
        self.read_ += range(first, first + entries)
        return bytes(self._held.read(entries, first))

    def lookup(self, key: bytes) -> Any:
        self.looked_up += 1
        return self._held.lookup(key)


@pytest.fixture(params=EVERY)
def tables(request: pytest.FixtureRequest) -> Iterator[MapTables]:
    """Thirty services with pools of their own. Each number has counted as many packets as it is, and one more."""
    decider: Decider = request.param()
    tables = decider.tables
    tables.put_pools([pool(0, *TARGETS, uuid=f"pool-{n}") for n in range(MANY)])
    for n, key in enumerate(KEYS):
        tables.put_service(Service(key, f"vs-{n}", f"pool-{n}", True))
    for number in range(MANY * (SERVERS + 1)):
        tables._maps["slow_counters"].update(u32(number), struct.pack("=2Q", number + 1, 100 * number))
    for n, known in enumerate(tables._services.values()):
        tables._counters.add_drop(n % 3, known.counter)
    yield tables
    decider.close()


def spied(tables: MapTables) -> dict[str, Spied]:
    """Its counters' maps."""
    maps = {name: Spied(held) for name, held in tables._counters._maps.items()}
    tables._counters._maps = maps
    return maps


def numbers(tables: MapTables) -> dict[Any, int]:
    """Whose is which."""
    found: dict[Any, int] = {key: known.counter for key, known in tables._services.items()}
    for name in tables._pools.held:
        found |= {(name, address): number for address, number in tables._pools.counters_of(name).items()}
    return found


def test_each_piece_reads_a_part_and_all_pieces_each_counter_once(tables: MapTables) -> None:
    maps, sizes = spied(tables), []
    pieces, read = tables.counters_in_pieces(), maps["counters"].read_
    before = 0
    for counted in pieces:
        sizes.append(len(read) - before)
        before, told = len(read), counted.services | counted.servers
    assert len(set(read)) == len(read) == MANY * (SERVERS + 1)
    assert max(sizes) <= counterpieces.SOME + SERVERS
    assert told == {owner: Tally(number + 1, 100 * number) for owner, number in numbers(tables).items()}
    assert counted.service_drops == {key: {DROP_REASONS[n % 3]: 1} for n, key in enumerate(KEYS)}
    assert counted == tables.counters()


def test_who_asks_for_one_service_pays_for_one(tables: MapTables) -> None:
    everything, maps = tables.counters(), spied(tables)
    counted = whole(tables.counters_in_pieces(Asked([KEYS[7]], ["pool-7"])))
    assert counted.services == {KEYS[7]: everything.services[KEYS[7]]}
    assert counted.servers == {key: tally for key, tally in everything.servers.items() if key[0] == "pool-7"}
    assert counted.service_drops == {KEYS[7]: everything.service_drops[KEYS[7]]}
    assert (counted.dropped, counted.answered) == (everything.dropped, everything.answered)
    assert len(maps["counters"].read_) == SERVERS + 1
    assert sum(one.looked_up for one in maps.values()) == 2 * len(DROP_REASONS)


def test_who_asks_for_nobody_hears_of_the_engine(tables: MapTables) -> None:
    everything, maps = tables.counters(), spied(tables)
    counted = whole(tables.counters_in_pieces(Asked()))
    assert (counted.services, counted.servers, counted.dropped) == ({}, {}, everything.dropped)
    assert (maps["counters"].read_, sum(one.looked_up for one in maps.values())) == ([], 0)


def test_a_number_that_changes_hands_between_two_pieces_is_told_of_nobody_else(tables: MapTables) -> None:
    """Pools and services go and come while others have the loop; the numbers of those that go are given out again."""
    pieces, before = tables.counters_in_pieces(), numbers(tables)
    counted = next(pieces)
    tables.remove_service(KEYS[0])
    tables.remove_pool("pool-0")
    tables.put_pool(pool(0, *TARGETS, uuid="new"))
    late = ServiceKey(ip(VIP), TCP, 99, 99)
    tables.put_service(Service(late, "late", "new", True))
    assert set(numbers(tables).values()) == set(before.values())
    counted = whole(pieces)
    assert KEYS[0] not in counted.services
    assert late not in counted.service_drops
    assert [tally for key, tally in counted.servers.items() if key[0] == "new"] == [Tally()] * SERVERS
    rest = {owner: number for owner, number in before.items() if owner[0] != "pool-0" and owner != KEYS[0]}
    told = counted.services | counted.servers
    assert {owner: told[owner] for owner in rest} == {o: Tally(n + 1, 100 * n) for o, n in rest.items()}


def test_a_pool_that_comes_in_place_of_another_meanwhile_is_told_of(tables: MapTables) -> None:
    """As a counter that begins anew it would be the wrong number of packets to whoever reckons rates."""
    counted = next(pieces := tables.counters_in_pieces())
    while len(counted.servers) < SERVERS:
        counted = next(pieces)
    tables.put_pool(pool(0, *TARGETS, uuid="heir"))
    for known in tables._of_pool.pop("pool-0"):
        tables.put_service(Service(known, "vs-0", "heir", True))
    tables.remove_pool("pool-0", heir="heir")
    handed = {address: counted.servers["pool-0", address] for _, address in counted.servers if _ == "pool-0"}
    counted = whole(pieces)
    assert {address: counted.servers["heir", address] for address in handed} == handed
