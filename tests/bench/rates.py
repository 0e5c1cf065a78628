"""How fast the XDP program is: rates on the wire of `tests.bench.wire`, and a frame's cost in BPF_PROG_TEST_RUN.

The bare program stands in the same place and sees the same frames; who is measured first changes from round to round.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from dataplane.bpf.maps import Map
from dataplane.bpf.objects import Object
from dataplane.bpf.programs import Program
from dataplane.drivers.maps.layout import NAMES, u32
from dataplane.drivers.xdp.driver import OBJECT, PROGRAM, XdpDriver
from dataplane.forwarding import maglev as hashing
from dataplane.forwarding.driver import Tables
from dataplane.forwarding.tracking import Flow, slot_for
from dataplane.forwarding.values import STABLE, TCP, TRANSITION, UDP, Interface, Pool, Service, ServiceKey, Target, Vip
from dataplane.plan import L2, L3_IPIP
from tests.packets.world import mac
from tests.xdp.decider import KernelDecider

from . import wire
from .measure import Effort, Samples, Unmeasurable, best_of, interleaved, paired
from .wire import ACK, ESTABLISHED, FIRST_CLIENT, FIRST_VIP, FLOOD, NEW, PORT, SYN, Wire

SLOTS = 65537
SERVERS = 10
FRAMES = 400_000
"""Of one repetition at full effort."""
PAIRS = 3
"""In each round, where short runs are none: the first frames of a million flows are others than the last."""
SLICES = 12
"""Short pairs in each round, where a few percent are to be seen. The processors of a virtual machine change their speed
several times a second: two of them share a core of the host's or do not, which moves their rate by a third."""
SLICE = 50_000
"""Frames of each of them: a few milliseconds."""
BARE = "bare redirect"
FLOWS = 1_000_000
"""Of TCP, before the first one comes again."""
FLOODERS = bytes((172, 17, 0, 0))
"""First source of a flood."""
OWN = bytes((10, 0, 0, 1))
LINES = {"L2": L2, "L3": L3_IPIP}


def server_mac(number: int) -> bytes:
    """Its last byte tells the first 256 servers apart."""
    return b"\2\0\0\0" + (number >> 8).to_bytes(1, "big") + (number & 0xFF).to_bytes(1, "big")


def pool(mode: str, interface: int, servers: int = SERVERS, name: str = "pool") -> Pool:
    """A pool of so many servers behind an interface."""
    addresses = [bytes((10, 1, n >> 8, n & 0xFF)) for n in range(1, servers + 1)]
    table = hashing.build_table([(address, 1) for address in addresses], SLOTS, 1)
    targets = tuple(Target(a, True, server_mac(n), interface, OWN) for n, a in enumerate(addresses))
    return Pool(name, 1, table, targets, mode)


def service(number: int, protocol: int = UDP, pool: str = "pool") -> Service:
    """A service on a VIP of its own."""
    vip = FIRST_VIP[:2] + number.to_bytes(2, "big")
    return Service(ServiceKey(vip, protocol, PORT, PORT), f"vs-{number}", pool, True)


def put(tables: Tables, one: Pool, *services: Service) -> None:
    """Services and their pool."""
    tables.put_pool(one)
    for each in services:
        tables.put_service(each)
        tables.put_vip(Vip(each.key.vip, True, True))


@dataclass
class Balanced:
    """The program in the balancer's place of a wire."""

    wire: Wire
    driver: XdpDriver
    processors: tuple[int, ...] = (0,)

    def put(self, one: Pool, *services: Service) -> None:
        self.wire.balancer.run(lambda: put(self.driver, one, *services))

    def use(self, program: Program) -> None:
        self.driver.attachments.update(program)

    def bare(self, frames: int) -> float:
        """Mpps of the bare redirect."""
        self.use(self.wire.bare)
        rate = self._rate(frames)
        self.use(self.driver._program)
        return rate

    def own(self, frames: int) -> float:
        """Mpps of the program."""
        return self._rate(frames)

    def _rate(self, frames: int) -> float:
        self.wire.push(max(1000, frames // 20), self.processors)
        return self.wire.rate(frames, self.processors)

    def send(self, *, flows: int = 1000, services: int = 1) -> None:
        self.wire.traffic.send(wire.frame(self.wire.first.mac), flows=flows, services=services)


@contextmanager
def balanced(queues: int = 1) -> Iterator[Balanced]:
    with wire.wire(queues) as made:
        driver = made.balancer.run(lambda: XdpDriver(f"avi-bench-{os.getpid()}"))
        try:
            for interface in (made.first, made.second):
                made.balancer.run(lambda interface=interface: driver.put_interface(interface))  # type: ignore[misc]
            yield Balanced(made, driver, tuple(range(queues)))
        finally:
            driver.close(keep=False)


def forwarding(effort: Effort) -> Iterator[Samples]:
    """L2 and L3 against the bare redirect: 1,000 flows, one core."""
    frames = effort.times(SLICE, 2000)
    with balanced() as there:
        for name, mode in LINES.items():
            there.put(pool(mode, there.wire.second.index), service(0))
            there.send()
            ours, bare = best_of(SLICES, effort.rounds, lambda: there.own(frames), lambda: there.bare(frames))
            yield Samples(name, "Mpps", ours, bare, BARE)


def handshakes(effort: Effort) -> Iterator[Samples]:
    """Flows of TCP, a SYN and nine ACKs each, against the same program when it looks at no handshake."""
    frames = effort.times(FRAMES // 2, 2000)
    with balanced() as there, _without_handshakes(there.driver) as without:
        for name, mode in LINES.items():
            there.put(pool(mode, there.wire.second.index), service(0, TCP))
            there.wire.traffic.send(wire.frame(there.wire.first.mac, TCP), flows=FLOWS, whole=True)

            def other() -> float:
                there.use(without)
                rate = there.own(frames)
                there.use(there.driver._program)
                return rate

            ours, theirs = paired(2 * PAIRS * effort.rounds, lambda: there.own(frames), other)
            assert there.driver.handshakes().services, "no flow was looked at"
            yield Samples(name, "Mpps", ours, theirs, "no handshake looked at")


@contextmanager
def _without_handshakes(driver: XdpDriver) -> Iterator[Program]:
    """The driver's program on its maps, that samples no flow."""
    with Object(OBJECT) as loaded:
        for name in NAMES:
            loaded.reuse(name, cast(Map, driver._tables._maps[name]))
        loaded.begin_with("rodata", bytes(4))
        loaded.load()
        with loaded.program(PROGRAM) as program:
            yield program


def two_cores(effort: Effort) -> Iterator[Samples]:
    """Two queues on two cores: L2 against the bare redirect; L3 without DF, whose outer headers need an identification,
    against L3 with it."""
    if len(os.sched_getaffinity(0)) < 2:
        raise Unmeasurable("one processor only")
    frames = effort.times(SLICE, 2000)
    with balanced(queues=2) as there:
        there.put(pool(L2, there.wire.second.index), service(0))
        there.send()
        ours, bare = best_of(SLICES, effort.rounds, lambda: there.own(frames), lambda: there.bare(frames))
        yield Samples("two cores", "Mpps", ours, bare, BARE + " on two")
        there.put(pool(L3_IPIP, there.wire.second.index), service(0))

        def tunnelled(*, df: bool) -> float:
            there.wire.traffic.send(wire.frame(there.wire.first.mac, df=df), flows=1000)
            return there.own(frames)

        plain, whole = paired(SLICES * effort.rounds, lambda: tunnelled(df=False), lambda: tunnelled(df=True))
        yield Samples("L3 without DF", "Mpps", plain, whole, "L3 with DF on two")


def flows(effort: Effort) -> Iterator[Samples]:
    """1 and 1,000,000 flows in stable slots, against 1,000; the bare redirect's same ratio is in `more`."""
    frames = effort.times(FRAMES // 2, 2000)
    with balanced() as there:

        def rate(number: int, *, bare: bool = False) -> Callable[[], float]:
            def measure() -> float:
                there.send(flows=number)
                return there.bare(frames) if bare else there.own(frames)

            return measure

        for name, mode in LINES.items():
            there.put(pool(mode, there.wire.second.index), service(0))
            measures = {str(n): rate(n) for n in (1, 1000, 1_000_000)}
            measures |= {f"bare {n}": rate(n, bare=True) for n in (1, 1000, 1_000_000)}
            rates = interleaved(PAIRS * effort.rounds, **measures)
            for n in (1, 1_000_000):
                more: dict[str, object] = {"bare": rates[f"bare {n}"], "bare at 1,000": rates["bare 1000"]}
                label = f"{name}, {n:,} flow{'s' * (n > 1)}"
                yield Samples(label, "Mpps", rates[str(n)], rates["1000"], "1,000 flows", more=more)


def servers(effort: Effort) -> Iterator[Samples]:
    """100 and 1,000 servers in the pool, against 2: 1,000 flows, L2."""
    frames = effort.times(FRAMES // 2, 2000)
    with balanced() as there:
        index = there.wire.second.index
        there.put(pool(L2, index), service(0))
        there.send()
        pools = {number: pool(L2, index, number) for number in (2, 100, 1000)}

        def rate(number: int) -> Callable[[], float]:
            def measure() -> float:
                there.put(pools[number])
                return there.own(frames)

            return measure

        rates = interleaved(PAIRS * effort.rounds, **{str(n): rate(n) for n in pools})
        for n in (100, 1000):
            yield Samples(f"{n:,} servers", "Mpps", rates[str(n)], rates["2"], "2 servers")


def services(effort: Effort) -> Iterator[Samples]:
    """100 and 1,000 virtual services with a pool each, 1,000 flows over all of them, against one; L2."""
    frames = effort.times(FRAMES // 2, 2000)
    with balanced() as there:
        first = pool(L2, there.wire.second.index)
        for n in range(1000):
            there.put(replace(first, uuid=f"pool-{n}"), service(n, pool=f"pool-{n}"))

        def rate(number: int) -> Callable[[], float]:
            def measure() -> float:
                there.send(services=number)
                return there.own(frames)

            return measure

        rates = interleaved(effort.rounds, **{str(n): rate(n) for n in (1, 100, 1000)})
        for n in (100, 1000):
            yield Samples(f"{n:,} services", "Mpps", rates[str(n)], rates["1"], "one service")


def moving(one: Pool, share: int = 10) -> Pool:
    """The pool with every so-manieth slot in transition, from the owner's neighbour."""
    phases = bytes(STABLE if slot % share else TRANSITION for slot in range(one.slots))
    size, owners = len(one.targets), array("H", one.table.tobytes())
    former = [hashing.NO_SERVER if slot % share else (owner + 1) % size for slot, owner in enumerate(owners)]
    return replace(one, phases=phases, fallback=array("H", former))


def transition(effort: Effort) -> Iterator[Samples]:
    """A tenth of all slots in transition, against none: UDP flows, which are all remembered; L2."""
    frames = effort.times(FRAMES // 2, 2000)
    with balanced() as there:
        stable = pool(L2, there.wire.second.index)
        changed = moving(stable)
        there.put(stable, service(0))
        for number in (1000, 100_000):
            there.send(flows=number)
            there.put(changed)
            there.wire.push(effort.times(2 * number, 1000))

            def rate(value: Pool) -> float:
                there.put(value)
                return there.own(frames)

            ours, still = paired(effort.rounds, lambda: rate(changed), lambda: rate(stable))
            yield Samples(f"{number:,} flows", "Mpps", ours, still, "stable")


def syn_flood(effort: Effort) -> Iterator[Samples]:
    """Connections of 1,000 clients and good new ones, each round 100, between SYNs of a million sources; lost is what
    did not come to the server that it belongs to. A new one's second packet comes 20,000 flood frames after its SYN,
    which at the ceiling's rate is 5 ms."""
    flood = effort.times(20_000, 1000)
    with balanced() as there:
        stable = pool(L2, there.wire.second.index)
        changed = moving(stable)
        there.put(stable, service(0, TCP))
        for name, value in (("stable", stable), ("change", changed)):
            there.put(value)
            lost: dict[str, list[float]] = {"established": [], "new": []}
            for number in range(effort.rounds * 5):
                missing = _flooded(there, value, flood, number)
                for kind, frames in missing.items():
                    lost[kind].append(float(frames))
            for kind, frames in (("established", 1000), ("new", 200)):
                more: dict[str, object] = {"offered a round": frames, "flood a round": 2 * flood}
                yield Samples(f"{name}: {kind}", "lost", [sum(lost[kind])], note="all rounds together", more=more)


def _flooded(there: Balanced, value: Pool, flood: int, number: int) -> dict[str, int]:
    """One round. Returns how many frames of each kind did not arrive where they should."""
    held, began = range(1000), 2_000_000 + number * 100
    fresh = range(began, began + 100)
    want = {ESTABLISHED: _owners(value, held, former=True), NEW: _owners(value, fresh, former=False)}
    before = there.wire.arrived()

    def send(kind: int, flags: int, start: int, frames: int) -> None:
        client = FLOODERS if kind == FLOOD else FIRST_CLIENT  # a SYN of an established one's ports would end it
        first = wire.frame(there.wire.first.mac, TCP, kind, flags, client)
        flows = 16_000_000
        there.wire.traffic.send(first, flows=flows, random=kind == FLOOD, start=start)
        there.wire.push(frames)

    send(NEW, SYN, fresh.start, len(fresh))
    send(FLOOD, SYN, 0, flood)
    send(NEW, ACK, fresh.start, len(fresh))
    send(ESTABLISHED, ACK, held.start, len(held))
    send(FLOOD, SYN, 0, flood)
    after = there.wire.arrived()
    missing = {}
    for name, kind, times in (("established", ESTABLISHED, 1), ("new", NEW, 2)):
        missing[name] = sum(
            max(0, times * expected - after.get((kind, server), 0) + before.get((kind, server), 0))
            for server, expected in want[kind].items()
        )
    return missing


def _owners(value: Pool, numbers: range, *, former: bool) -> Counter[int]:
    """How many of some flows belong to each server (the last byte of its MAC address)."""
    found: Counter[int] = Counter()
    for number in numbers:
        client = FIRST_CLIENT[:2] + (number >> 16).to_bytes(2, "big")
        port = int.from_bytes((number & 0xFFFF).to_bytes(2, "little"), "big")
        slot = slot_for(Flow(client, FIRST_VIP, TCP, port, PORT), service(0, TCP), value)
        moved = former and value.phases and value.phases[slot] == TRANSITION
        found[value.fallback[slot] if moved else value.table[slot]] += 1
    return found


def frame_cost(effort: Effort) -> Iterator[Samples]:
    """Nanoseconds of one frame over an empty program, 1 flow, always the same bytes; and its whole run against the bare
    redirect's. Test runs are short, so that most are not interrupted; each sample is the least of many. The runner
    around the program undoes the tunnel's header: its cost is measured by a program that does nothing but grow the
    frame, and taken off."""
    runs, repeat = effort.times(100, 3), 20_000
    decider = KernelDecider()
    try:
        with wire.built() as loaded:
            tables, programs = decider.tables, loaded.map("programs")
            first, second = Interface(1, "lo", mac(1), 1500), Interface(2, "other", mac(2), 1500)
            tables.put_interface(first)
            tables.put_interface(second)
            others = ("empty", "bare_redirect", "grow", "grow_twice")
            there = [decider._program, *map(loaded.program, others)]
            for at, program in enumerate(there):
                programs.update(u32(at), u32(program.fd))
            again, traffic = loaded.program("again"), wire.Traffic(loaded.map("data"))
            loaded.map("ports").update(u32(1), u32(1))
            sent = wire.frame(first.mac)
            traffic.send(sent)

            def least(which: int) -> float:
                traffic.choose(which)
                return min(again.test_run(sent, repeat=repeat).duration for _ in range(runs))

            def measures(number: int) -> dict[str, Callable[[], float]]:
                return {
                    name: partial(least, at)
                    for at, name in enumerate(("own", "empty", "bare", "grow", "twice")[:number])
                }

            put(tables, pool(L2, 2), service(0))
            assert decider.run(sent).redirected
            rates = interleaved(effort.rounds, **measures(3))
            cost = [own - empty for own, empty in zip(rates["own"], rates["empty"], strict=True)]
            yield Samples("L2", "ns", cost, note="over an empty program", more=dict(rates))
            yield Samples("L2, whole", "ns", rates["own"], rates["bare"], BARE)
            put(tables, pool(L3_IPIP, 2), service(0))
            assert decider.run(sent).redirected
            rates = interleaved(effort.rounds, **measures(5))
            rows = zip(rates["own"], rates["grow"], rates["twice"], strict=True)
            cost = [own - grow + (twice - grow) / 2 for own, grow, twice in rows]
            yield Samples("L3", "ns", cost, note="over an empty program", more=dict(rates))
            yield Samples("L3, whole", "ns", rates["own"], rates["bare"], BARE)
            for program in (*there[1:], again):
                program.close()
    finally:
        decider.close()
