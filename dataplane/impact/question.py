"""The question to engines before a change of the plan is judged: which servers are up, and which are prepared for new
needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from dataplane import plan

MOST_POOLS = 500
"""The most pools that engines are asked about; servers of other pools are taken as up."""
MOST_SERVERS = 256
"""The most servers that engines are asked about, each for one VIP."""

Services = Mapping[str, plan.Service]
"""Services by their keys in the plan."""


class Wanted(NamedTuple):
    """What a server must be prepared for."""

    vip: str
    mode: str  # one of plan.MODES
    server: str  # its address
    pool: str  # uuid


class Known(NamedTuple):
    """What one engine knows now."""

    engine: str
    up: Mapping[
        tuple[str, str], frozenset[str] | None
    ]  # by pool and VIP, the servers that are up; None: it forwards nothing yet
    flows: Mapping[tuple[str, str], int]  # by pool and disabled server, live flows
    prepared: Mapping[
        tuple[str, str, str], tuple[bool | None, str]
    ]  # by VIP, mode and server; None: not known, and why


def to_prepare(before: Services, after: Services) -> list[Wanted]:
    """What enabled servers must be prepared for that they did not need before, by VIP and server."""
    needed, had = set(_needs(after.values())), set(_needs(before.values()))
    return sorted(needed - had)


def _needs(services: Iterable[plan.Service]) -> Iterator[Wanted]:
    for service in services:
        for server in service.servers:
            if server.enabled:
                yield Wanted(service.vip, service.mode, server.address, service.pool_uuid)


def pools(before: Services, after: Services) -> list[str]:
    """The uuids of the pools whose servers or treatment of servers change."""
    was, will = ({key: _shared(one) for key, one in services.items()} for services in (before, after))
    changed = {key for key in was.keys() | will.keys() if was.get(key) != will.get(key)}
    return sorted({services[key].pool_uuid for services in (before, after) for key in changed if key in services})


def _shared(service: plan.Service) -> tuple[Any, ...]:
    """The parts of a service that decide its pool's table and the treatment of its servers."""
    switches = service.enabled, service.pool_enabled, service.servers_needed, bool(service.monitors)
    return service.pool_uuid, service.mode, service.hash_key, service.servers, *switches


def request(before: Services, after: Services) -> dict[str, Any]:
    """The fields of the request `impact` to engines."""
    servers = [list(one[:3]) for one in to_prepare(before, after)[:MOST_SERVERS]]
    return {"pools": pools(before, after)[:MOST_POOLS], "servers": servers}


def read(answer: Mapping[str, Any]) -> Known:
    """An engine's answer (`dataplane.daemon.impact` gives the shape)."""
    return Known(
        answer["name"],
        {
            (pool, vip): None if up is None else frozenset(up)
            for pool, vips in answer["pools"].items()
            for vip, up in vips.items()
        },
        {(pool, server): n for pool, servers in answer["flows"].items() for server, n in servers.items()},
        {(vip, mode, server): (prepared, why) for vip, mode, server, prepared, why in answer["servers"]},
    )
