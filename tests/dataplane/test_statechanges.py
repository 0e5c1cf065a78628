"""When states last changed, by a clock of the test's and states that the test gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataplane import plan
from dataplane.engine.operstate import DISABLED, DOWN, INITIALIZING, UNKNOWN, UP
from dataplane.engine.statechanges import StateChanges
from dataplane.plan.index import ServiceIndex

from .. import told
from ..packets.world import ip
from .test_plan import SERVICE

MONITORED = replace(SERVICE, monitors=(plan.Monitor("m", plan.MONITOR_TCP),), pool_enabled=True)
FIRST = ip(MONITORED.servers[0].address)
POOL, KEY = MONITORED.pool_uuid, MONITORED.key


class World:
    """One service, and what is known of its servers; the time is the number of the step."""

    def __init__(self) -> None:
        self.now, self.known = 0, dict[bytes, str]()
        self.index = ServiceIndex()
        self.events, self.kinds = list[str](), list[str]()
        self.changes = StateChanges(self.index, lambda: float(self.now), told.into(self.events, self.kinds))
        self.plan(MONITORED)

    def word(self, service: plan.Service, server: plan.Server, address: bytes) -> str:
        if not service.pool_enabled or not server.enabled:
            return DISABLED
        return self.known.get(address, UNKNOWN if service.monitors else UP)

    def plan(self, service: plan.Service | None) -> None:
        self.now += 1
        self.index.replace(KEY, service)
        self.changes.follow([POOL], self.word)

    def hear(self, word: str, server: bytes = FIRST) -> None:
        self.now += 1
        self.known[server] = word
        self.changes.server(POOL, server, self.word)


@pytest.fixture
def world() -> World:
    return World()


def switched(service: plan.Service, *, enabled: bool) -> plan.Service:
    """Its first server switched on or off."""
    return replace(service, servers=(replace(service.servers[0], enabled=enabled), *service.servers[1:]))


def test_a_server_that_nobody_has_heard_of_is_as_old_as_its_pool(world: World) -> None:
    assert world.changes.of_server(POOL, FIRST) == 1.0
    world.hear(UNKNOWN)
    assert world.changes.of_server(POOL, FIRST) == 1.0


def test_another_state_is_a_change_and_the_same_is_none(world: World) -> None:
    found = []
    for word in (UP, UP, DOWN, DOWN, UP):
        world.hear(word)
        found.append(world.changes.of_server(POOL, FIRST))
    assert found == [2.0, 2.0, 4.0, 4.0, 6.0]


def test_the_plan_switches_servers_and_pools_off_and_on(world: World) -> None:
    off = switched(MONITORED, enabled=False)
    found = []
    for planned in (off, off, MONITORED, replace(MONITORED, pool_enabled=False), replace(off, pool_enabled=False)):
        world.plan(planned)
        found.append(world.changes.of_server(POOL, FIRST))
    assert found == [2.0, 2.0, 4.0, 5.0, 5.0]
    server = f"server {MONITORED.servers[0].address}:{MONITORED.servers[0].port} of pool {MONITORED.pool}"
    switched_back = [f"{server} is disabled", f"{server} is enabled again, and unknown"]
    assert world.events == switched_back, "a pool that is switched off is told by itself"
    assert world.kinds == ["server_disabled", "server_enabled"]


def test_a_server_that_joins_is_new_and_one_that_left_is_forgotten(world: World) -> None:
    joined = replace(MONITORED, servers=(*MONITORED.servers, plan.Server("10.0.0.99", 80)))
    world.hear(UP)
    world.plan(joined)
    assert (world.changes.of_server(POOL, FIRST), world.changes.of_server(POOL, ip("10.0.0.99"))) == (2.0, 3.0)
    world.plan(replace(joined, servers=joined.servers[1:]))
    world.hear(DOWN)  # its last probe ends
    world.plan(joined)
    assert world.changes.of_server(POOL, FIRST) == 6.0


def test_monitors_that_come_leave_a_server_unknown_until_it_is_heard_of(world: World) -> None:
    world.plan(replace(MONITORED, monitors=()))
    world.plan(MONITORED)
    assert world.changes.of_server(POOL, FIRST) == 3.0


def test_pools_and_services_have_their_own_times(world: World) -> None:
    assert (world.changes.of_pool(POOL), world.changes.of_service(KEY)) == (None, None)
    for world.now, pool, service in ((5, UP, UP), (6, UP, DISABLED), (7, DOWN, DISABLED)):
        world.changes.pool(POOL, pool)
        world.changes.service(KEY, service)
    assert (world.changes.of_pool(POOL), world.changes.of_service(KEY)) == (7.0, 6.0)
    assert world.kinds == ["pool_up", "virtualservice_up", "virtualservice_disabled", "pool_down"]
    assert world.events[-1].endswith(f"is down: 0 of {len(MONITORED.servers)} servers are up")
    for word in (INITIALIZING, DOWN, DISABLED):
        world.changes.pool(POOL, word)
    assert world.kinds[4:] == ["pool_down", "pool_disabled"], "that it begins is no event"


def test_what_is_gone_is_forgotten(world: World) -> None:
    world.changes.pool(POOL, UP)
    world.changes.service(KEY, UP)
    world.hear(UP)
    world.plan(None)
    world.changes.forget_service(KEY)
    world.hear(DOWN)
    assert world.changes.of_server(POOL, FIRST) is None
    assert (world.changes.of_pool(POOL), world.changes.of_service(KEY)) == (None, None)
