"""The engine follows changes at the cost of the change: whatever happened before, the driver holds what a new engine
would have put."""

from __future__ import annotations

import asyncio
import random
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from dataplane import plan
from dataplane.engine.engine import Engine
from dataplane.forwarding import decision, poolnames, translate
from dataplane.forwarding.capture import Capture, Wanted
from dataplane.forwarding.driver import (
    NOTHING_FOUND,
    Asked,
    FlowRoom,
    Found,
    HandshakeCounts,
    OffloadingSender,
    Sending,
    Trace,
)
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flow, Remembered
from dataplane.forwarding.values import Counters, Lingering
from dataplane.health.probes.check import Check
from dataplane.kernel.objects import Owner
from dataplane.network.state import Network

from ..netns import Namespace
from ..packets.world import ip, mac

pytestmark = pytest.mark.root

SLOTS = 251
STEPS = 40
GROUPS = ["Default-Group", "Default-Group", "other"]
POOLS = [f"pool-{n}" for n in range(4)]
SERVERS = [f"10.0.0.{n}" for n in range(11, 19)]
VIPS = ["10.0.1.1", "10.0.1.2", "10.0.1.3"]
MONITORS = [
    (),
    (plan.Monitor("a", "HEALTH_MONITOR_TCP"),),
    (plan.Monitor("b", "HEALTH_MONITOR_TCP", 3), plan.Monitor("c", "HEALTH_MONITOR_PING")),
]


class Memory(LookupTables):
    """A driver that only remembers."""

    name = "memory"
    sees_stripped_tags = True

    def modes(self) -> Mapping[str, str]:
        return {}

    def details(self) -> Mapping[str, object]:
        return {}

    def adopted(self) -> Found:
        return NOTHING_FOUND

    def capture(self, wanted: Wanted) -> Capture:
        raise NotImplementedError

    def trace(self, frame: bytes, interface: int, flow: Flow) -> Trace:
        verdict = decision.trial(frame, self.interfaces[interface], self, flow, Remembered(), 0)
        return Trace(verdict.action, verdict.reason, verdict.frames, Remembered(), "the reference")

    @property
    def flow_room(self) -> FlowRoom:
        return FlowRoom(0, 0)

    def lingering(self, pools: Collection[str]) -> Lingering:
        return {}

    def prune(self) -> None:
        pass

    def counters(self) -> Counters:
        return Counters()

    def counters_in_pieces(self, asked: Asked | None = None) -> Iterator[Counters]:
        yield self.counters()

    def handshakes(self) -> HandshakeCounts:
        return HandshakeCounts({}, {})

    def unanswered_clients(self) -> Mapping[tuple[str, bytes], Set[bytes]]:
        return {}

    def sending(self) -> Mapping[int, Sending]:
        return {}

    def offloading_senders(self) -> list[OffloadingSender]:
        return []

    def notes(self) -> list[str]:
        return []

    def ends_with_process(self) -> str:
        return ""

    def faults(self) -> list[str]:
        return []

    def kept(self, wake: Callable[[], None]) -> Sequence[Owner]:
        return ()

    def close(self, *, keep: bool) -> None:
        pass


@dataclass
class World:
    """What is true: the plan, which checks pass, which servers have a MAC address."""

    rnd: random.Random
    services: dict[str, plan.Service] = field(default_factory=dict)
    version: int = 0
    group: str = "Default-Group"
    passing: dict[Check, bool] = field(default_factory=dict)

    def commit(self) -> plan.Plan:
        """Some services come, go or change; those of one pool have the same servers."""
        self.version += 1
        before, common = dict(self.services), None
        if self.rnd.random() < 0.1 or self.version == 1:
            self.group = self.rnd.choice(GROUPS)
            common = plan.Common(engines={"se": self.group})
        for _ in range(self.rnd.randrange(1, 7)):
            kind = self.rnd.choice(["put", "put", "put", "remove", "pool", "switch"])
            if kind == "put":
                made = self._service()
                self.services[made.key] = made
                self._alike(made)
            elif self.services:
                key = self.rnd.choice(sorted(self.services))
                if kind == "remove":
                    del self.services[key]
                elif kind == "pool":
                    changed = self._with_servers(self.services[key])
                    self.services[key] = changed
                    self._alike(changed)
                else:
                    self.services[key] = replace(self.services[key], enabled=not self.services[key].enabled)
        keys = before.keys() | self.services.keys()
        changes = {key: self.services.get(key) for key in keys if before.get(key) != self.services.get(key)}
        return plan.Plan(self.version, changes, common)

    def _service(self) -> plan.Service:
        pool, vip, port = self.rnd.choice(POOLS), self.rnd.choice(VIPS), self.rnd.choice([80, 81, 90])
        made = plan.Service(
            f"vs-{vip}-{port}", "uuid", "admin", vip, "tcp", port, port + self.rnd.choice([0, 5]) * (port == 90),
            plan.L2, plan.BY_ADDRESS, 300, pool, pool, SLOTS, int(pool[-1]), self.rnd.choice(GROUPS),
            advertise_down=self.rnd.random() < 0.2,
        )  # fmt: skip
        for known in self.services.values():
            if known.pool_uuid == pool:
                alike = {name: getattr(known, name) for name in ("servers", "monitors", "pool_enabled")}
                return replace(made, **alike)
        return self._with_servers(made)

    def _with_servers(self, service: plan.Service) -> plan.Service:
        chosen = self.rnd.sample(SERVERS, self.rnd.randrange(len(SERVERS)))
        return replace(
            service,
            servers=tuple(
                plan.Server(a, 80, self.rnd.randrange(1, 3), self.rnd.random() < 0.8, self.rnd.randrange(2))
                for a in chosen
            ),
            monitors=self.rnd.choice(MONITORS),
            pool_enabled=self.rnd.random() < 0.9,
        )

    def _alike(self, changed: plan.Service) -> None:
        for key, other in self.services.items():
            if other.pool_uuid == changed.pool_uuid:
                alike = {name: getattr(changed, name) for name in ("servers", "monitors", "pool_enabled")}
                self.services[key] = replace(other, **alike)


def checks(engine: Engine) -> Iterator[Check]:
    """All that the engine follows."""
    found = {
        check
        for service in engine.services.values()
        for server in service.servers
        for check in engine.members.checks(service.pool_uuid, ip(server.address))
    }
    yield from sorted(found, key=repr)


def learn(engine: Engine, world: World) -> None:
    """Tell the engine whatever it does not know of its checks."""
    for check in checks(engine):
        wanted = world.passing.setdefault(check, world.rnd.random() < 0.7)
        state = engine.members.health.state(check)
        if state.up != wanted:
            state.up = wanted
            engine.members.check_changed(check)


def put(driver: Memory) -> dict[str, Any]:
    """What a driver holds, whichever VIPs share a pool in it: that, and phases, tell of the past."""
    pools = {
        name: replace(pool, uuid=poolnames.parts(name).uuid, phases=b"", fallback=array("H"))
        for name, pool in driver.pools.items()
    }
    return {
        "interfaces": driver.interfaces,
        "services": {key: (replace(one, pool=""), pools[one.pool]) for key, one in driver.services.items()},
        "vips": driver.vips,
    }


def divided(driver: Memory) -> Counter[str]:
    """How many pools of the driver each pool of the plan is."""
    return Counter(poolnames.parts(name).uuid for name in driver.pools)


def leaks(engine: Engine, world: World, driver: Memory) -> Iterator[str]:
    """Where a server of a service is up or down for another reason than the checks of the service's own VIP."""
    for service in engine.services.values():
        if not service.enabled:
            continue
        pool = driver.pools[driver.services[translate.key(service)].pool]
        for target in pool.targets:
            own = [c for c in engine.members.checks(service.pool_uuid, target.address) if c.vip == ip(service.vip)]
            if target.up != all(world.passing[check] for check in own):
                yield f"{service.vip} in {pool.uuid}: {target}"


def later(engine: Engine) -> None:
    """Time passes, until every window is over and no flow is left."""
    engine.pools._now = lambda: engine.clock.now() + 1000
    for _ in range(5):
        engine._dirty.mark_pools(engine.pools.advance({name: [] for name in engine.pools.moving()}))
        engine.refresh()
    engine.pools._now = engine.clock.now


async def compare(network: Network, engine: Engine, world: World, *, stable: bool = False) -> None:
    fresh = Engine("se", ["eth0"], Memory(), network, [])
    fresh.apply(plan.Plan(world.version, dict(world.services), plan.Common(engines={"se": world.group})))
    learn(fresh, world)
    fresh.refresh()
    assert put(fresh.driver) == put(engine.driver)  # type: ignore[arg-type]
    if stable:
        assert divided(fresh.driver) == divided(engine.driver)  # type: ignore[arg-type]
    assert list(checks(fresh)) == list(checks(engine))
    assert fresh.members.health.checks == engine.members.health.checks
    await fresh.close(keep=False)


async def live(seed: int) -> tuple[int, int]:
    """Random steps, each compared. Returns how many services there were in all, and how many pools in the driver that
    were for some VIPs of a pool alone."""
    world, seen, apart = World(random.Random(seed)), 0, 0
    following: list[Engine] = []

    def changed() -> None:
        """The kernel itself finds after seconds that nobody has these addresses."""
        for each in following:
            each.network_changed()

    network = Network(changed)
    await network.start()
    index = network.link("eth0").index
    driver = Memory()
    engine = Engine("se", ["eth0"], driver, network, [])
    following.append(engine)
    try:
        for _ in range(STEPS):
            kind = world.rnd.choice(["plan", "plan", "health", "neighbour"])
            if kind == "plan":
                engine.apply(world.commit())
            elif kind == "health" and world.passing:
                check = world.rnd.choice(sorted(world.passing, key=repr))
                world.passing[check] = not world.passing[check]
            elif kind == "neighbour":
                server = ip(world.rnd.choice(SERVERS))
                network._neighbours.setdefault(index, {})[server] = mac(world.rnd.randrange(5))
                network._moved.add(server)
                engine.network_changed()
            learn(engine, world)
            engine.refresh()
            seen += len(engine.services)
            apart += len(driver.pools) - len(divided(driver))
            wanted = [s for s in world.services.values() if s.group == engine.group]
            assert {s.key for s in engine.services.values()} == {s.key for s in wanted}
            assert set(driver.services) == {translate.key(s) for s in wanted if s.enabled}
            assert {s.pool_uuid for s in wanted} <= set(driver.pools)
            assert divided(driver).keys() == {s.pool_uuid for s in wanted}
            assert set(driver.vips) == {ip(s.vip) for s in wanted}
            assert not list(leaks(engine, world, driver))
            await compare(network, engine, world)
            if world.rnd.random() < 0.1:
                later(engine)
                await compare(network, engine, world, stable=True)
    finally:
        await engine.close(keep=False)
        await network.close()
    return seen, apart


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_driver_holds_what_a_new_engine_would_put(seed: int) -> None:
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name eth1; ip addr add 10.0.0.2/16 dev eth0; ip link set eth0 up")
        there.sh("ip link set eth1 up")
        services, apart = there.run(lambda: asyncio.run(live(seed)))
        assert services > STEPS
        assert apart
