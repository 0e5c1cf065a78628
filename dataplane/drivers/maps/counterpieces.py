"""What was counted for services and servers, read from the maps a piece at a time.

In each piece it is looked up whose a number is, and what was counted by it is read: whoever is put or removed between
two pieces mixes nothing up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from dataplane.drivers.maps.counters import MapCounters
from dataplane.drivers.maps.pools import MapPools
from dataplane.forwarding.driver import Asked
from dataplane.forwarding.values import Counters, ServiceKey

T = TypeVar("T")

SOME = 500
"""Services and servers in a piece: some milliseconds."""


class Numbered(Protocol):
    """Who has a number."""

    counter: int


def pieces(
    counters: MapCounters, services: Mapping[ServiceKey, Numbered], pools: MapPools, asked: Asked | None
) -> Iterator[Counters]:
    """`Driver.counters_in_pieces`."""
    told = counters.events()
    keys = list(services if asked is None else asked.services)
    before, drops = _numbers(services, keys), dict[int, dict[str, int]]()
    for _ in counters.read_drops(before.values(), drops):
        yield told
    for at in range(0, len(keys), SOME):
        numbers = _numbers(services, keys[at : at + SOME])
        counted = counters.read(numbers.values())
        for key, number in numbers.items():
            told.services[key] = counted.tallies[number]
            if number in counted.handshakes:
                told.service_handshakes[key] = counted.handshakes[number]
            if number in drops and number == before.get(key):
                told.service_drops[key] = drops[number]
        yield told
    of_servers: dict[tuple[str, bytes], int] = {}
    for name in _names(pools) if asked is None else asked.pools:
        of_servers.update(((name, address), number) for address, number in pools.counters_of(name).items())
        if len(of_servers) >= SOME:
            _read_servers(counters, of_servers, told)
            of_servers.clear()
            yield told
    _read_servers(counters, of_servers, told)
    yield told


def _read_servers(counters: MapCounters, servers: Mapping[tuple[str, bytes], int], told: Counters) -> None:
    counted = counters.read(servers.values())
    for key, number in servers.items():
        told.servers[key] = counted.tallies[number]
        if number in counted.handshakes:
            told.server_handshakes[key] = counted.handshakes[number]


def _numbers(services: Mapping[ServiceKey, Numbered], keys: Sequence[ServiceKey]) -> dict[ServiceKey, int]:
    """Of those that there are now."""
    return {key: known.counter for key in keys if (known := services.get(key)) is not None}


def _names(pools: MapPools) -> Iterator[str]:
    """All pools, also those that come meanwhile in place of others: a counter that is missing looks like a new one."""
    seen = set[str]()
    while new := [name for name in list(pools.held) if name not in seen]:
        seen.update(new)
        yield from new
