"""Random worlds and frames through the compiled decision and the reference: every verdict, byte, counter and memory is
equal, while the worlds change and a clock of the test's own goes on.

python -m tests.xdp.fuzz [--frames N] [--seconds S] [--seed X] [--decider xdp|native]…
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dataplane.drivers.maps import poolrecord
from dataplane.drivers.maps.flowentries import FlowEntry
from dataplane.forwarding import decision, poolnames
from dataplane.forwarding.bounded import Bounded
from dataplane.forwarding.driver import Tables
from dataplane.forwarding.handshakes import ACK, BEGUN, Handshakes
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import SECOND, Entry, Flow, Flows
from dataplane.forwarding.values import Counters, Vip
from dataplane.native.decision import library
from tests.packets.world import World

from .decider import LOOPBACK, difference, expected
from .deciders import MAKERS, Make
from .frames import first_piece, random_frame
from .nativedecider import NativeDecider
from .worlds import changed_pool, random_address, random_mac, random_pool, random_service, random_world

FRAMES_A_WORLD = 2000
BATCH = 200
"""Frames between two looks at the counters, and between two changes of the world."""


AGAIN = 0.15
"""How often a frame is another one of a flow that just began."""
FLOWS = 1 << 17
"""Room in the tables of flows: more than a world has, in any set."""
SAMPLED_BELOW = 1 << 31
"""Half of all TCP flows."""
SLOW = (1, 1000)
CLOCKS = (SLOW, (1, SECOND // 200), (1, SECOND // 200, SECOND // 2))
"""Nanoseconds from one frame to the next, of a batch."""


class Mismatch(Exception):
    """They disagree; the text says on what."""


@dataclass
class Reference:
    """The reference decision with what it remembers."""

    values: LookupTables
    flows: Flows


@dataclass
class Fuzz:
    """One seeded run. Deciders are made once; a world replaces the other as one plan replaces another."""

    seed: int
    makers: Mapping[str, Make] = field(default_factory=lambda: MAKERS)
    frames: int = 0
    told: set[str] = field(default_factory=set)  # of handshakes

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.deciders = {name: make(FLOWS, SAMPLED_BELOW) for name, make in self.makers.items()}
        self.now = 1000 * SECOND

    def close(self) -> None:
        for decider in self.deciders.values():
            decider.close()

    def run(self, frames: int, seconds: float) -> None:
        """Raises Mismatch."""
        until = time.monotonic() + seconds
        while self.frames < frames and time.monotonic() < until:
            self._world()

    def _world(self) -> None:
        world = random_world(self.random)
        reference = Reference(LookupTables(), Flows())
        reference.flows.handshakes = Handshakes(sampled_below=SAMPLED_BELOW)
        world.put(reference.values)
        for decider in self.deciders.values():
            decider.readopt()
            world.put(decider.tables)
            decider.tables.prune()
            decider.forget()
            decider.tables.answer_until(0)
        for _ in range(FRAMES_A_WORLD // BATCH):
            self._batch(world, reference)
            world = self._change(world, reference)

    def _batch(self, world: World, reference: Reference) -> None:
        values, flows = reference.values, reference.flows
        interface = values.interfaces[LOOPBACK]
        want, before = Counters(), {name: decider.tables.counters() for name, decider in self.deciders.items()}
        steps, recent = self.random.choice(CLOCKS), deque[bytes](maxlen=4)
        for _ in range(BATCH):
            again = recent and self.random.random() < AGAIN
            frame = self._again(self.random.choice(recent)) if again else random_frame(self.random, world)
            self.now += self.random.choice(steps)
            if self.random.random() < 0.01 and steps is not SLOW:
                self.now += self.random.choice((30, 59, 61, 301)) * SECOND
            verdict = decision.decide(frame, interface, values, flows, self.now)
            first = first_piece(self.random, frame)
            for name, decider in self.deciders.items():
                decider.set_clock(self.now)
                ran = decider.run(frame, first)
                if ran != expected(verdict, interface):
                    raise self._mismatch(frame.hex(), verdict, name, ran, world)
            decision.count(verdict, want)
            self.told.add(verdict.handshake)
            if verdict.handshake == BEGUN:
                recent.append(frame)
            self.frames += 1
        for name, decider in self.deciders.items():
            counted = difference(decider.tables.counters(), before[name])
            if counted != want:
                raise self._mismatch("counters", want, name, counted, world)
        self._compare_memories(world, flows)
        if self.random.random() < 0.3:
            self._compare_lingering(world, reference)

    def _again(self, syn: bytes) -> bytes:
        """A client's next segment: mostly its SYN once more."""
        if self.random.random() < 0.8:
            return syn
        start = decision.ETH_HLEN + (decision.VLAN_HLEN if syn[12:14] == decision.ETH_P_8021Q else 0)
        flags = start + (syn[start] & 0x0F) * 4 + 13
        return syn[:flags] + bytes([ACK]) + syn[flags + 1 :]

    def _compare_memories(self, world: World, flows: Flows) -> None:
        elder, young, openings = _entries(flows.elder), _entries(flows.young), dict(flows.handshakes.openings)
        for name, decider in self.deciders.items():
            if decider.remembered() != (elder, young):
                raise self._mismatch("elder, young", (elder, young), name, decider.remembered(), world)
            if decider.openings() != openings:
                raise self._mismatch("openings", openings, name, decider.openings(), world)

    def _compare_lingering(self, world: World, reference: Reference) -> None:
        pools, values = [*(pool.uuid for pool in world.pools), "nobody's"], reference.values
        told = reference.flows.lingering(values.service, values.pools, pools, self.now)
        for name, decider in self.deciders.items():
            there = decider.tables.lingering(pools, self.now)
            want, found = ({pool: sorted(flows) for pool, flows in found.items()} for found in (told, there))
            if found != want:
                raise self._mismatch("lingering", want, name, found, world)
        self._compare_memories(world, reference.flows)

    def _mismatch(self, what: str, wanted: object, name: str, found: object, world: World) -> Mismatch:
        where = f"seed {self.seed}, frame {self.frames}"
        return Mismatch(f"{where}: {what}\nreference: {wanted}\n{name}: {found}\n{world}")

    def _move(self, world: World, reference: Reference, both: Callable[[Callable[[Tables], None]], None]) -> World:
        """A service goes over to another pool of the same family, which begins as its own is now."""
        service = self.random.choice(world.services)
        pool = next((pool for pool in world.pools if pool.uuid == service.pool), None)
        if pool is None:
            return world
        uuid, vip = poolnames.parts(pool.uuid)
        other = replace(pool, uuid=uuid if vip else poolnames.of_vip(uuid, service.key.vip))
        moved = replace(service, pool=other.uuid)
        both(lambda tables: tables.put_pool(other))
        both(lambda tables: tables.put_service(moved))
        return replace(
            world,
            pools=(*(p for p in world.pools if p.uuid != other.uuid), other),
            services=tuple(moved if s is service else s for s in world.services),
        )

    def _change(self, world: World, reference: Reference) -> World:
        """One value becomes another, or is taken away and comes back."""

        def both(change: Callable[[Tables], None]) -> None:
            change(reference.values)
            for decider in self.deciders.values():
                change(decider.tables)

        rnd = self.random
        if rnd.random() < 0.3:
            until = rnd.choice((0, self.now + rnd.randrange(SECOND), self.now - rnd.randrange(SECOND)))
            both(lambda tables: tables.answer_until(until))
        choice = rnd.randrange(13)
        if choice < 5:
            pool = rnd.choice(world.pools)
            changed = random_pool(rnd, pool.uuid) if choice == 0 else changed_pool(rnd, pool)
            both(lambda tables: tables.put_pool(changed))
            return replace(world, pools=tuple(changed if p is pool else p for p in world.pools))
        if choice == 5:
            vip = rnd.choice(world.vips)
            flipped = Vip(vip.address, not vip.up, rnd.random() < 0.5)
            both(lambda tables: tables.put_vip(flipped))
            return replace(world, vips=tuple(flipped if v is vip else v for v in world.vips))
        if choice == 6:
            old = rnd.choice(world.interfaces)
            new = replace(old, mtu=rnd.choice((576, 1400, 1500)), mac=random_mac(rnd))
            both(lambda tables: tables.put_interface(new))
            return replace(world, interfaces=tuple(new if i is old else i for i in world.interfaces))
        if choice == 7 and len(world.services) > 1:
            gone = rnd.choice(world.services)
            both(lambda tables: tables.remove_service(gone.key))
            return replace(world, services=tuple(s for s in world.services if s is not gone))
        if choice == 8:
            service = rnd.choice(world.services)
            other = random_service(rnd, service.key, rnd.choice(world.pools).uuid)
            both(lambda tables: tables.put_service(other))
            return replace(world, services=tuple(other if s is service else s for s in world.services))
        if choice == 9:
            addresses = frozenset(random_address(rnd) for _ in range(3))
            both(lambda tables: tables.put_addresses(addresses))
            return replace(world, addresses=addresses)
        if choice < 12:
            return self._move(world, reference, both)
        for name, decider in self.deciders.items():
            decider.readopt()
            assert decider.tables.values.answers_until == reference.values.answers_until
            if decider.tables.found.pools != reference.values.pools:
                raise self._mismatch("pools", reference.values.pools, name, decider.tables.found.pools, world)
        return world


def _entries(held: Bounded[Flow, Entry]) -> dict[Flow, FlowEntry]:
    return {
        flow: FlowEntry(
            flow, poolrecord.pool_id(one.member_id.pool), one.member_id.address, one.member_id.generation, one.seen
        )
        for flow, one in held.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.xdp.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--decider", action="append", choices=MAKERS, help="one of them alone")
    parser.add_argument("--library", type=Path, help="the native decision as it is built there")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"seed {seed}", flush=True)
    makers = {name: MAKERS[name] for name in options.decider or MAKERS}
    if options.library:
        makers["native"] = partial(NativeDecider, library=library.opened(options.library))
    fuzz = Fuzz(seed, makers)
    started = time.monotonic()
    try:
        fuzz.run(options.frames, options.seconds)
    except Mismatch as exc:
        print(exc, file=sys.stderr)
        return 1
    finally:
        fuzz.close()
    print(f"{fuzz.frames} frames agree ({', '.join(fuzz.deciders)}), in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
