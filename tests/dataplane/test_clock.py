"""A wall clock that somebody moves: what the plan gives time to neither ends nor lasts longer for it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dataplane import plan
from dataplane.engine.pools import Pools
from dataplane.forwarding import translate
from dataplane.plan.index import ServiceIndex
from dataplane.runtime import clock
from dataplane.runtime.clock import SteadyClock

from .test_plan import SERVICE
from .test_refresh import Memory

HOURS = 2 * 3600.0
GRACE = 600.0


class Times:
    """Both clocks of a process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.monotonic = 1_700_000_000.0, 500.0
        monkeypatch.setattr(clock, "time", SimpleNamespace(time=lambda: self.wall, monotonic=lambda: self.monotonic))

    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.monotonic += seconds


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    return Times(monkeypatch)


def drained(times: Times, of_wall: Callable[[float, float], float]) -> plan.Service:
    """A service whose only server was disabled now, for GRACE seconds."""
    server = plan.Server("10.0.0.11", 80, enabled=False, serve_until=times.wall + GRACE)
    return translate.timed(replace(SERVICE, servers=(server,)), of_wall)


@pytest.mark.parametrize("moved", [HOURS, -HOURS])
def test_a_graceful_time_is_as_long_as_it_was_given(moved: float, times: Times) -> None:
    steady = SteadyClock()
    (server,) = drained(times, steady.of_wall).servers
    times.wall += moved
    assert translate.still_serves(server, steady.now())
    times.passes(GRACE - 1)
    assert translate.still_serves(server, steady.now())
    times.passes(2)
    assert not translate.still_serves(server, steady.now())


@pytest.mark.parametrize("moved", [HOURS, -HOURS])
def test_one_that_is_given_after_the_clock_was_moved_is_too(moved: float, times: Times) -> None:
    steady = SteadyClock()
    times.wall += moved
    (server,) = drained(times, steady.of_wall).servers
    assert server.serve_until - steady.now() == pytest.approx(GRACE)


@pytest.mark.parametrize("moved", [HOURS, -HOURS])
def test_a_plan_that_is_read_again_begins_no_time_anew(moved: float, times: Times) -> None:
    steady = SteadyClock()
    until = times.wall + GRACE
    first = steady.of_wall(until, HOURS)
    times.wall += moved
    assert steady.of_wall(until, HOURS) == first


def test_what_only_a_moved_clock_can_tell_is_cut(times: Times) -> None:
    steady = SteadyClock()
    former = plan.Former(times.wall + HOURS, (("10.0.0.11", 1, 0),))
    far = plan.Server("10.0.0.11", 80, enabled=False, serve_until=times.wall + 100 * translate.LONGEST_GRACE)
    made = translate.timed(replace(SERVICE, former=(former,), servers=(far,)), steady.of_wall)
    assert made.former[0].until == steady.now()
    assert made.servers[0].serve_until == steady.now() + translate.LONGEST_GRACE
    for_ever = replace(SERVICE, servers=(replace(far, serve_until=plan.FOR_EVER),))
    assert translate.timed(for_ever, steady.of_wall) is for_ever


@pytest.mark.parametrize("moved", [HOURS, -HOURS])
def test_a_window_is_as_long_as_a_flow_may_be_idle(moved: float, times: Times) -> None:
    index, steady = ServiceIndex(), SteadyClock()
    servers = tuple(plan.Server(f"10.0.0.{n}", 80) for n in (11, 12))
    service = replace(SERVICE, servers=servers, monitors=(), idle_timeout=300, servers_needed=0)
    index.replace(service.key, service)

    def members(planned: plan.Service) -> tuple[translate.PoolMember, ...]:
        return translate.members(planned, lambda _: True, lambda _: translate.NextHop(2, bytes(6)), steady.now())

    pools = Pools(Memory(), index, members, lambda _: (True, True), lambda *_: True, steady.now)
    try:
        pools.follow([service.pool_uuid])
        pools.put([service.pool_uuid], float("inf"))
        fewer = replace(service, servers=(servers[0], replace(servers[1], enabled=False, serve_until=plan.FOR_EVER)))
        index.replace(service.key, fewer)
        pools.put([service.pool_uuid], float("inf"))

        def phases() -> set[int]:
            pools.advance({service.pool_uuid: []})
            pools.put([service.pool_uuid], float("inf"))
            return set(pools.values[service.pool_uuid].phases.strip(b"\0"))  # none: all stable

        assert phases()
        times.wall += moved
        assert phases()
        times.passes(299)
        assert phases()
        times.passes(2)
        life = socket.inet_aton("10.0.0.12"), 0
        pools.advance({service.pool_uuid: [(0, life, 0)]})
        assert pools.flows(service.pool_uuid, life).live == 1
        pools.advance(None)  # nobody looked: what is known stays, and no slot is settled
        assert pools.flows(service.pool_uuid, life).live == 1
        assert not phases()
    finally:
        pools.close()
