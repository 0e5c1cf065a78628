"""An engine's metrics at one moment, as values: taken on the engine's loop, written by another thread.

Nothing here is shared with the engine afterwards. The names of pools and servers are written once and kept, since
100,000 servers have half a million lines of them.
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dataplane import plan
from dataplane.engine import operstate
from dataplane.engine.engine import Engine
from dataplane.forwarding import maglev, translate
from dataplane.forwarding.values import Counters, HandshakeTally, Tally
from dataplane.metrics.exposition import HistogramValue, labels
from dataplane.plan.index import Members
from dataplane.runtime.turns import Turns

AT_ONCE = 500
"""How many servers are read between two looks at the clock."""


class ServiceMetrics(NamedTuple):
    """A virtual service's port."""

    labels: str
    up: bool
    packets: int
    bytes: int
    dropped: Mapping[str, int]  # by reason
    changed: float | None  # seconds since the epoch


class PoolMetrics(NamedTuple):
    """A pool and its servers; each list has one entry a server."""

    labels: str
    servers: Sequence[str]  # their labels
    up: bytes  # 1 = the server is up
    enabled: bytes  # 1 = the server is enabled
    weights: Sequence[int]
    shares: Sequence[float]  # the server's part of the pool's slots
    packets: Sequence[int]
    bytes: Sequence[int]
    failed: Sequence[int]  # probes that failed
    changed: Sequence[float]  # seconds since the epoch
    handshakes: Sequence[tuple[str, int]]  # sampled TCP flows of servers that have any: labels with the answer, number


class VipMetrics(NamedTuple):
    """A VIP."""

    labels: str
    announced: bool


class Snapshot(NamedTuple):
    """An engine at one moment."""

    labels: Mapping[str, object]  # of the engine itself
    version: int  # of the configuration that it applies
    services: Sequence[ServiceMetrics]
    pools: Sequence[PoolMetrics]
    vips: Sequence[VipMetrics]
    dropped: Mapping[str, int]  # by reason
    answered: int
    probes: Mapping[str, HistogramValue]  # seconds that probes took, by type of monitor
    probe_failures: Mapping[str, int]  # by type of monitor
    events: Mapping[str, int]  # since the engine started, by severity


class _Names:
    """The labels of a pool and of its servers, as long as they stay the same."""

    def __init__(self, service: plan.Service, members: Members) -> None:
        self.of = (service.pool, service.pool_tenant or service.tenant, members.servers)
        pool = {"tenant": self.of[1], "pool": service.pool}
        self.pool = labels(pool)
        self.servers = [labels({**pool, "server": s.address, "port": s.port}) for s in members.servers]
        self.enabled = bytes(server.enabled and service.pool_enabled for server in members.servers)
        self.weights = [server.weight for server in members.servers]

    def fits(self, service: plan.Service, members: Members) -> bool:
        """Whether the labels still fit this pool."""
        name, tenant, servers = self.of
        return servers is members.servers and (name, tenant) == (
            service.pool,
            service.pool_tenant or service.tenant,
        )


class Gatherer:
    """Takes snapshots of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._names: dict[str, _Names] = {}

    async def snapshot(self) -> Snapshot:
        """Take the metrics. The loop does other work in between, so thousands of pools are not of exactly one
        moment."""
        engine, turns = self._engine, Turns()
        counters = await turns.last(engine.driver.counters_in_pieces())
        services = dict(engine.services)
        pools = {service.pool_uuid: service for service in services.values()}
        self._names = {uuid: names for uuid, names in self._names.items() if uuid in pools}
        found, since = [], 0
        for uuid, service in pools.items():
            found.append(self._pool(uuid, service, counters))
            since += len(found[-1].servers)
            if since >= AT_ONCE:
                since = 0
                await turns.give()
        of_services = []
        for number, service in enumerate(services.values()):
            of_services.append(self._service(service, counters))
            if number % AT_ONCE == 0:
                await turns.give()
        health = engine.members.health
        took = {of: HistogramValue(h.bounds, tuple(h.counts), h.sum) for of, h in health.durations.items()}
        return Snapshot(
            {"service_engine": engine.name, "group": engine.group},
            engine.version,
            of_services,
            found,
            [
                VipMetrics(
                    labels({"vip": socket.inet_ntoa(vip.address), "service_engine": engine.name}),
                    vip.owned or engine.vips.is_routed(vip.address),
                )
                for vip in engine.vips.served()
            ],
            dict(counters.dropped),
            counters.answered,
            took,
            dict(health.failures),
            engine.events.by_severity(),
        )

    def _service(self, service: plan.Service, counters: Counters) -> ServiceMetrics:
        engine, key = self._engine, translate.key(service)
        tally = counters.services.get(key, Tally())
        named = {
            "tenant": service.tenant,
            "virtualservice": service.virtualservice,
            "vip": service.vip,
            "protocol": service.protocol,
            "port": service.port,
            "service_engine": engine.name,
        }
        return ServiceMetrics(
            labels(named),
            engine.changes.word_of_service(service.key) == operstate.UP,
            tally.packets,
            tally.bytes,
            dict(counters.service_drops.get(key, {})),
            engine.changes.of_service(service.key),
        )

    def _pool(self, uuid: str, service: plan.Service, counters: Counters) -> PoolMetrics:
        engine = self._engine
        members = engine.index.members(uuid)
        names = self._names.get(uuid)
        if names is None or not names.fits(service, members) or names.enabled != _enabled(service, members):
            names = self._names[uuid] = _Names(service, members)
        states = engine.changes.states(uuid)
        by = engine.pools.names(uuid)
        tallies = [[counters.servers.get((name, address)) for address in members.addresses] for name in by]
        packets = [sum(tally.packets for tally in one if tally) for one in zip(*tallies, strict=True)]
        sizes = [sum(tally.bytes for tally in one if tally) for one in zip(*tallies, strict=True)]
        nothing = [0] * len(members.addresses) if not tallies else []
        return PoolMetrics(
            names.pool,
            names.servers,
            bytes(since.word == operstate.UP for since in states),
            names.enabled,
            names.weights,
            self._shares(uuid, service, len(members.addresses)),
            packets or nothing,
            sizes or nothing,
            self._failed(uuid, members),
            [since.at for since in states],
            list(_handshakes(members, names, by, counters)),
        )

    def _shares(self, uuid: str, service: plan.Service, servers: int) -> Sequence[float]:
        engine = self._engine
        tables = [value.table for name in engine.pools.names(uuid) if (value := engine.pools.values.get(name))]
        owned = [maglev.shares(table, servers) for table in tables]
        largest = owned[0] if len(owned) == 1 else array("I", map(max, zip(*owned, strict=True)))
        return [round(slots / service.slots, 5) for slots in largest] or [0.0] * servers

    def _failed(self, uuid: str, members: Members) -> Sequence[int]:
        """Failed probes of each server. Few servers have any, and only these are asked for."""
        states, failing = self._engine.members, self._engine.members.health.failing
        return [states.failed_checks(uuid, one)[0] if one in failing else 0 for one in members.addresses]


def _handshakes(members: Members, names: _Names, by: Iterable[str], counters: Counters) -> Iterator[tuple[str, int]]:
    """Whether the clients of sampled TCP flows got an answer."""
    if not counters.server_handshakes:
        return
    for address, labelled in zip(members.addresses, names.servers, strict=True):
        told = HandshakeTally()
        for name in by:
            told.add(counters.server_handshakes.get((name, address), HandshakeTally()))
        if told.begun:
            yield f'{labelled[:-1]},answered="yes"}}', told.answered
            yield f'{labelled[:-1]},answered="no"}}', max(0, told.unanswered - told.late)


def _enabled(service: plan.Service, members: Members) -> bytes:
    return bytes(server.enabled and service.pool_enabled for server in members.servers)
