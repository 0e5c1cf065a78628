"""The impact of a change of the plan: what moves, who begins and stops to receive, which connections end. Pure."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dataplane import plan
from dataplane.impact import question
from dataplane.impact.moves import Side, moves, side
from dataplane.impact.question import Known, Services, Wanted

NEW, CHANGED, GONE = "new", "changed", "gone"
"""What a pool is for the plan."""


@dataclass(frozen=True, slots=True)
class PoolImpact:
    """What becomes of a pool's table, for all VIPs and on all engines where that is the same."""

    pool: str
    tenant: str
    uuid: str
    change: str  # NEW, CHANGED or GONE
    vips: tuple[str, ...]
    service_engines: tuple[str, ...]  # the engines asked; none: every enabled server was taken as up
    slots: int
    moved: int  # slots that get another owner; 0 for a pool that is new or gone
    percent: float  # of the slots
    begin: tuple[str, ...]  # servers that begin to receive
    stop: tuple[str, ...]  # servers that stop to receive
    ended_slots: int  # slots whose connections end because their server may not go on
    ended_percent: float  # of the slots
    ended_servers: tuple[str, ...]  # the servers whose connections end
    draining: tuple[str, ...]  # servers that get no new connections, and end theirs later
    drain_seconds: float  # after which these end, -1 = never; 0 = no server drains
    ended_flows: int  # connections of disabled servers that lived until now, and end
    rehashed: bool  # clients are hashed by another key: most connections reach another server


@dataclass(frozen=True, slots=True)
class Preparation:
    """Whether a server is prepared for a new need that the change brings."""

    vip: str
    mode: str  # one of plan.MODES
    pool: str
    server: str
    prepared: bool | None  # None: not known
    why: str


@dataclass(frozen=True, slots=True)
class Ending:
    """A service that loses all its connections."""

    virtualservice: str
    tenant: str
    vip: str
    protocol: str
    port: int
    port_end: int
    why: str


Answers = Mapping[tuple[str, str, str], tuple[bool | None, str]]
"""Whether a server is prepared, by VIP, mode and address; None: not known, and why."""


@dataclass(frozen=True, slots=True)
class Impact:
    """Everything that a change does. Empty if it changes nothing that is forwarded."""

    pools: tuple[PoolImpact, ...]
    vips_appear: tuple[str, ...]
    vips_vanish: tuple[str, ...]
    preparation: tuple[Preparation, ...]
    connections_end: tuple[Ending, ...]

    def __bool__(self) -> bool:
        return any((self.pools, self.vips_appear, self.vips_vanish, self.preparation, self.connections_end))


def of(before: Services, after: Services, known: Sequence[Known], now: float) -> Impact:
    """The impact of a change. before, after: the services that it is about, and all others of their VIPs; known: what
    engines answered to `question.request`; now: seconds since the epoch."""
    wanted = question.to_prepare(before, after)
    lacking = {one[:3]: _answer(one, known) for one in wanted}
    pools = [
        found
        for uuid in question.pools(before, after)
        for found in _pool(_of_pool(before, uuid), _of_pool(after, uuid), known, lacking, now)
    ]
    had, has = (_ordered(s.vip for s in services.values() if s.enabled) for services in (before, after))
    return Impact(
        tuple(pools),
        tuple(vip for vip in has if vip not in had),
        tuple(vip for vip in had if vip not in has),
        tuple(_preparation(wanted, lacking, after)),
        tuple(_endings(before, after)),
    )


def _answer(one: Wanted, known: Sequence[Known]) -> tuple[bool | None, str]:
    """What engines say about a server. One engine that finds it prepared is enough."""
    told = [k.prepared[one[:3]] for k in known if one[:3] in k.prepared]
    for wanted in (True, False):
        if found := next((answer for answer in told if answer[0] is wanted), None):
            return found
    if told:
        return told[0]
    asked = f"only {question.MOST_SERVERS} servers are asked" if known else "no service engine answered"
    return None, asked


def _of_pool(services: Services, uuid: str) -> dict[str, plan.Service]:
    """A service for each VIP of a pool."""
    return {service.vip: service for service in reversed(list(services.values())) if service.pool_uuid == uuid}


def _pool(
    before: Mapping[str, plan.Service],
    after: Mapping[str, plan.Service],
    known: Sequence[Known],
    lacking: Answers,
    now: float,
) -> Iterator[PoolImpact]:
    """before, after: a service of the pool for each VIP."""
    change = CHANGED if before and after else NEW if after else GONE
    vips = before.keys() & after.keys() if change == CHANGED else before.keys() | after.keys()
    groups: dict[tuple[Side, Side], _Group] = {}
    for vip in _ordered(vips):
        was, will = before.get(vip), after.get(vip)
        for engine in [one for one in known if was and (was.pool_uuid, vip) in one.up] or (None,):
            sides = _before(engine, was or _empty(will), now), _after(engine, will or _empty(was), lacking, now)
            group = groups.setdefault(sides, _Group([], {}))
            group.vips.append(vip)
            if engine is not None:
                group.flows[engine.engine] = _ended_flows(engine, *sides, was)
    for (first, last), group in groups.items():
        one = (after or before)[group.vips[0]]
        rehashed = change == CHANGED and before[group.vips[0]].hash_key != one.hash_key
        found = moves(first, last)
        if change != CHANGED:
            found = found._replace(moved=0, ended=0, ending=(), draining=())
        elif not (found.moved or rehashed or any(group.flows.values())):
            continue
        yield PoolImpact(
            pool=one.pool,
            tenant=one.pool_tenant or one.tenant,
            uuid=one.pool_uuid,
            change=change,
            vips=tuple(dict.fromkeys(group.vips)),
            service_engines=tuple(group.flows),
            slots=one.slots,
            moved=found.moved,
            percent=round(100 * found.moved / one.slots, 2),
            begin=found.begin,
            stop=found.stop,
            ended_slots=found.ended,
            ended_percent=round(100 * found.ended / one.slots, 2),
            ended_servers=found.ending,
            draining=found.draining,
            drain_seconds=_drains(last, found.draining, now),
            ended_flows=sum(group.flows.values()),
            rehashed=rehashed,
        )


class _Group(NamedTuple):
    """VIPs and engines on which a change does the same to a pool."""

    vips: list[str]
    flows: dict[str, int]  # by engine, connections of disabled servers that end


def _empty(service: plan.Service | None) -> plan.Service:
    """A service's pool without servers."""
    assert service is not None
    return replace(service, servers=())


def _before(engine: Known | None, service: plan.Service, now: float) -> Side:
    up = _up(engine, service)
    return side(service, None if up is None else up.__contains__, now)


def _after(engine: Known | None, service: plan.Service, lacking: Answers, now: float) -> Side:
    """A pool after the change, once all its servers were probed. An unprepared server is down then if a monitor finds
    out."""
    up = _up(engine, service)

    def is_up(server: str) -> bool:
        if not service.monitors:
            return True
        asked = lacking.get((service.vip, service.mode, server))
        return asked[0] is not False if asked is not None else up is None or server in up

    return side(service, is_up, now)


def _up(engine: Known | None, service: plan.Service) -> Collection[str] | None:
    """The servers that an engine calls up; all servers if no engine was asked; None if it forwards nothing yet."""
    everybody = frozenset(server.address for server in service.servers)
    return everybody if engine is None else engine.up.get((service.pool_uuid, service.vip), everybody)


def _drains(side: Side, servers: Collection[str], now: float) -> float:
    """The longest time that draining servers have; -1 = one has no limit."""
    until = [member.server.serve_until for member in side.members if member.server.address in servers]
    return plan.FOR_EVER if plan.FOR_EVER in until else round(max((one - now for one in until), default=0.0), 1)


def _ended_flows(engine: Known, first: Side, last: Side, service: plan.Service | None) -> int:
    """How many live connections of disabled servers may not go on."""
    lives = {member.life for member in last.members if member.serves}
    ended = [member for member in first.members if member.serves and member.life not in lives]
    return sum(engine.flows.get((service.pool_uuid, m.server.address), 0) for m in ended) if service else 0


def _preparation(wanted: Iterable[Wanted], lacking: Answers, after: Services) -> Iterator[Preparation]:
    names = {service.pool_uuid: service.pool for service in after.values()}
    for one in wanted:
        yield Preparation(one.vip, one.mode, names[one.pool], one.server, *lacking[one[:3]])


def _endings(before: Services, after: Services) -> Iterator[Ending]:
    for key, was in before.items():
        will = after.get(key)
        why = ""
        if was.enabled and will is None:
            why = "it is not forwarded any more"
        elif was.enabled and will is not None and not will.enabled:
            why = "it is disabled"
        elif was.enabled and will is not None and will.pool_uuid != was.pool_uuid:
            why = f"its pool is {will.pool} instead of {was.pool}"
        if why:
            yield Ending(was.virtualservice, was.tenant, was.vip, was.protocol, was.port, was.port_end, why)


def _ordered(addresses: Iterable[str]) -> list[str]:
    return sorted(set(addresses), key=socket.inet_aton)
