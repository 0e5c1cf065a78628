"""The decision with cached flows is the decision: verdicts, bytes, memories; on the cases and on random traffic."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass, replace

import pytest

from dataplane.drivers.pcap import flowcache
from dataplane.drivers.pcap.flowcache import FlowCache
from dataplane.forwarding import decision
from dataplane.forwarding.decision import Verdict
from dataplane.forwarding.driver import Tables
from dataplane.forwarding.handshakes import Handshakes
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import SECOND, Flows
from dataplane.forwarding.values import Interface, Vip

from ..xdp.frames import random_frame
from ..xdp.worlds import changed_pool, random_address, random_mac, random_pool, random_service, random_world
from .cases import CASES, frame, tcp, udp
from .world import ETH0, ETH1, VIP, WORLD, World, ip


class Counted(FlowCache):
    """Counts the frames that were decided by the definition."""

    decided = 0

    def _first(self, frame: bytes, interface: Interface, now: int, segment: int, key: flowcache._Key) -> Verdict:
        self.decided += 1
        return super()._first(frame, interface, now, segment, key)


@dataclass
class Both:
    """The definition and the cache side by side, on the same values. kept: frames that a cached flow decided."""

    values: LookupTables
    defined: Flows
    flows: Flows
    cache: Counted
    kept: int = 0

    @classmethod
    def of(cls, world: World) -> Both:
        values, defined, flows = LookupTables(), Flows(), Flows()
        for one in (defined, flows):
            one.handshakes = Handshakes(sampled_below=1 << 31)
        world.put(values)
        return cls(values, defined, flows, Counted(values, flows))

    def decide(self, sent: bytes, interface: Interface, now: int = 0, segment: int = 0) -> Verdict:
        """What both say; they remember the same, too."""
        want = decision.decide(sent, interface, self.values, self.defined, now, segment)
        before = self.cache.decided
        assert self.cache.decide(sent, interface, now, segment) == want, sent.hex()
        self.kept += want.action == decision.FORWARDED and self.cache.decided == before
        return want

    def compare_memories(self) -> None:
        for name in ("elder", "young", "fragments", "_taken", "_used"):
            assert list(getattr(self.defined, name).items()) == list(getattr(self.flows, name).items())
        assert list(self.defined.handshakes.openings.items()) == list(self.flows.handshakes.openings.items())


@pytest.mark.parametrize("row", CASES, ids=lambda row: row.what)
def test_case(row: object) -> None:
    both = Both.of(WORLD)
    for interface in (row.interface, row.interface, ETH0, ETH1):  # type: ignore[attr-defined]
        for sent in (*row.before, row.frame):  # type: ignore[attr-defined]
            both.decide(sent, interface)
    both.compare_memories()


def test_every_case_after_every_other() -> None:
    both = Both.of(WORLD)
    rows = list(CASES) * 3
    random.Random(3).shuffle(rows)
    for n, row in enumerate(rows):
        both.decide(row.frame, row.interface, n * SECOND // 10)
    both.compare_memories()


def test_random_traffic_while_everything_changes() -> None:
    assert sum(random_traffic(random.Random(seed)) for seed in range(40)) > 8_000


def random_traffic(rnd: random.Random) -> int:
    """Each frame comes several times, some of them a little changed. Returns how many a cached flow decided."""
    world = random_world(rnd)
    both = Both.of(world)
    now = 1000 * SECOND
    recent: list[bytes] = []
    for _ in range(12):
        for _ in range(200):
            sent = bytearray(rnd.choice(recent) if recent and rnd.random() < 0.8 else random_frame(rnd, world))
            if rnd.random() < 0.05:
                sent[rnd.randrange(len(sent))] ^= 1 << rnd.randrange(8)
            now += rnd.choice((1000, SECOND // 100, SECOND // 2))
            segment = rnd.choice((0,) * 9 + (600, 1500))
            interface = rnd.choice(world.interfaces[:2] + world.interfaces[:1] * 9)
            verdict = both.decide(bytes(sent), interface, now, segment)
            if verdict.action == decision.FORWARDED or rnd.random() < 0.1:
                recent = [*recent[-30:], bytes(sent)]
        both.compare_memories()
        world = change(rnd, world, both.values)
    return both.kept


def change(rnd: random.Random, world: World, tables: Tables) -> World:
    """One value becomes another."""
    what = rnd.randrange(6)
    if what < 2:
        pool = rnd.choice(world.pools)
        new = random_pool(rnd, pool.uuid) if what else changed_pool(rnd, pool)
        tables.put_pool(new)
        return replace(world, pools=tuple(new if p is pool else p for p in world.pools))
    if what == 2:
        vip = rnd.choice(world.vips)
        flipped = Vip(vip.address, not vip.up, vip.owned)
        tables.put_vip(flipped)
        return replace(world, vips=tuple(flipped if v is vip else v for v in world.vips))
    if what == 3:
        old = rnd.choice(world.interfaces)
        moved = replace(old, mtu=rnd.choice((576, 1400, 1500)), mac=random_mac(rnd))
        tables.put_interface(moved)
        return replace(world, interfaces=tuple(moved if i is old else i for i in world.interfaces))
    if what == 4:
        service = rnd.choice(world.services)
        other = random_service(rnd, service.key, rnd.choice(world.pools).uuid)
        tables.put_service(other)
        return replace(world, services=tuple(other if s is service else s for s in world.services))
    tables.put_addresses(frozenset(random_address(rnd) for _ in range(3)))
    return world


def test_what_is_kept_is_used_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flowcache, "MOST", 10)
    both = Both.of(WORLD)
    for port in range(1000, 1035):
        both.decide(frame(udp(sport=port)), ETH0)
        assert len(both.cache._entries) <= 10
    before = both.cache.decided
    assert both.decide(frame(udp(sport=1034, data=b"another", id=9)), ETH0).server
    assert both.cache.decided == before
    both.decide(frame(udp(sport=1034), src=bytes(6)), ETH0)
    assert both.cache.decided == before + 1


def test_nothing_is_kept_of_flows_that_are_remembered_otherwise() -> None:
    both = Both.of(WORLD)
    pool = next(p for p in WORLD.pools if p.uuid == "pool-three")
    moving = replace(pool, phases=bytes([2]) * pool.slots, fallback=array("H", pool.table.tobytes()))
    both.values.put_pool(moving)
    for _ in range(3):
        assert both.decide(frame(tcp(8001)), ETH0).server
    assert not both.cache._entries
    both.values.put_pool(pool)
    both.decide(frame(tcp(8001)), ETH0)
    assert len(both.cache._entries) == 1
    both.values.remove_vip(ip(VIP))
    assert both.decide(frame(tcp(8001)), ETH0).action == decision.HOST
