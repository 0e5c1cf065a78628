"""How fast the control plane is: `python -m tests.bench.control [--rounds N] [--services N] [--servers N]`.

From a decision, a commit or a start to the last word in the kernel, on XDP. Servers have addresses and MAC addresses of
their own, which the kernel knows for good: nothing is resolved. Pools have no monitors: nothing is waited for.
"""

from __future__ import annotations

import argparse
import ctypes
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dataplane import plan
from dataplane.drivers.xdp import pins as xdppins
from dataplane.engine.engine import Engine
from dataplane.forwarding import maglev as hashing
from dataplane.health.probes.check import Check

from .measure import FULL, Effort, Samples, interleaved, paired
from .site import Site, many, resident, server, service

POPULATE = Path(__file__).with_name("populate.c")
SERVICES, SERVERS = 1000, 100
QUICKEST_OF = 5
"""Times that a table is made."""
MEMBERS = 10
"""Of each pool, where it is about the number of pools."""


def tables(effort: Effort) -> Iterator[Samples]:
    """Lines "10 servers" to "5,000 servers": a pool's table of 65,537 slots, in milliseconds, against populate.c of the
    same walks."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "populate.so"
        subprocess.run(["clang", "-O2", "-fPIC", "-shared", "-o", str(library), str(POPULATE)], check=True)
        populate = ctypes.CDLL(str(library)).populate
        place, number = ctypes.c_void_p, ctypes.c_uint32
        populate.argtypes = place, place, number, place, number, place
        for count in (10, 100, 1000, 5000):
            took = [_built(count, number, populate) for number in range(effort.times(30))]
            ours, plain = zip(*took, strict=True)
            yield Samples(f"{count:,} servers", "ms", ours, plain, note="each time other servers and another seed")


def _built(count: int, number: int, populate: Callable[..., None]) -> tuple[float, float]:
    """Milliseconds of one table: by the engine's function, and by the plain one. Each makes it a few times in turn, and
    the quickest counts: whatever else runs only adds to it."""
    pool = [(struct.pack("!I", 0x0A000000 + number * 5000 + n), 1) for n in range(1, count + 1)]
    addresses, weights = zip(*pool, strict=True)
    walks = hashing.walks(addresses, weights, range(count), plan.SLOTS, number)
    offsets, skips = (array("I", [walk[part] for walk in walks]) for part in (0, 1))
    plain, room = array("H", bytes(2 * plan.SLOTS)), array("I", bytes(4 * count))
    places = [each.buffer_info()[0] for each in (offsets, skips, plain, room)]
    made: list[array[int]] = []

    def ours() -> float:
        began = time.perf_counter()
        made.append(hashing.build_table(pool, plan.SLOTS, number))
        return (time.perf_counter() - began) * 1000

    def theirs() -> float:
        began = time.perf_counter()
        populate(places[0], places[1], count, places[2], plan.SLOTS, places[3])
        return (time.perf_counter() - began) * 1000

    own, other = paired(QUICKEST_OF, ours, theirs)
    assert made[0] == plain, "another table than the plain one"
    return min(own), min(other)


def change(effort: Effort) -> Iterator[Samples]:
    """Lines "1 service", "1,000 services": a server comes or goes, from the plan's change in the engine to the kernel,
    in milliseconds."""
    for count in (1, effort.times(SERVICES)):
        services = many(count, MEMBERS)

        def body(engine: Engine, services: Sequence[plan.Service] = services) -> list[float]:
            took = []
            for number in range(2 * effort.rounds):
                one = services[number // 2 % len(services)]
                changed = one if number % 2 else replace(one, servers=one.servers[1:])
                began = time.perf_counter()
                engine.apply(plan.Plan(2 + number, {one.key: changed}, None))
                engine.refresh()
                took.append((time.perf_counter() - began) * 1000)
            return took

        with Site(count * MEMBERS) as site:
            name = f"{count:,} service{'s' * (count > 1)}"
            yield Samples(name, "ms", site.within(body, services), note=f"{MEMBERS} servers a pool")


def server_of_pools(effort: Effort) -> Iterator[Samples]:
    """Line "1,000 pools": one server that is a member of all fails, with all other members and the seeds different;
    from the decision to the last table in the kernel, in milliseconds. It comes back in between, unmeasured. Against
    the making of those tables alone, one after the other."""
    count = effort.times(SERVICES)
    shared = server(0)
    monitor = plan.Monitor("m", "HEALTH_MONITOR_TCP", send_interval=600)
    services = [
        service(n, [shared, *(server(1 + n * MEMBERS + m) for m in range(MEMBERS - 1))], (monitor,))
        for n in range(count)
    ]

    left = [
        ([(socket.inet_aton(other.address), 1) for other in one.servers if other.address != shared], one.seed)
        for one in services
    ]

    def alone() -> float:
        began = time.perf_counter()
        for servers, seed in left:
            hashing.build_table(servers, plan.SLOTS, seed)
        return (time.perf_counter() - began) * 1000

    def body(engine: Engine) -> tuple[list[float], list[float]]:
        everybody = [check for one in services for check in _checks(engine, one)]
        failing = [check for check in everybody if check.server == bytes((10, 0, 0, 1))]
        for check in everybody:
            engine.members.health.state(check).up = True
            engine.members.check_changed(check)
        engine.refresh()

        def failed() -> float:
            began = time.perf_counter()
            for check in failing:
                engine.members.health.state(check).up = False
                engine.members.check_changed(check)
            engine.refresh()
            took = (time.perf_counter() - began) * 1000
            for check in failing:
                engine.members.health.state(check).up = True
                engine.members.check_changed(check)
            engine.refresh()
            return took

        return paired(effort.rounds, failed, alone)

    with Site(count * MEMBERS + 1) as site:
        took, made = site.within(body, services)
        note = f"{count:,} pools of {MEMBERS}, no two tables equal"
        yield Samples(f"{SERVICES:,} pools", "ms", took, made, note=note)


def _checks(engine: Engine, one: plan.Service) -> Iterator[Check]:
    for address in map(socket.inet_aton, (s.address for s in one.servers)):
        yield from engine.members.checks(one.pool_uuid, address)


def engine_start(effort: Effort) -> Iterator[Samples]:
    """Lines "cold" and "adopting": a new process of the engine, until it has put the stored plan, in seconds; against
    what cannot be left out of it, in a process of its own (`tests.bench.starting`)."""
    count = effort.times(SERVICES)
    with Site(count * SERVERS) as site:
        site.publish(many(count, SERVERS))

        def start(*, cold: bool) -> float:
            if cold:
                xdppins.remove(site.instance)
            with site.process() as (_, took):
                return took

        def least(*words: str) -> float:
            began = time.perf_counter()
            command = [sys.executable, "-m", "tests.bench.starting", *words]
            subprocess.run(command, cwd=Path(__file__).parents[2], check=True)
            return time.perf_counter() - began

        took = interleaved(
            effort.rounds,
            cold=lambda: start(cold=True),
            tables=lambda: least("cold", str(count), str(SERVERS)),
            adopting=lambda: start(cold=False),
            reading=lambda: least("adopting", str(site.state)),
        )
    note = f"{count:,} services × {SERVERS} servers, no monitors; from the start of the process"
    yield Samples("cold", "s", took["cold"], took["tables"], "imports and tables, one thread", note)
    yield Samples("adopting", "s", took["adopting"], took["reading"], "imports, and the plan read", note)


def memory(effort: Effort) -> Iterator[Samples]:
    """Line "maps and engine": what the engine's process holds alone, and the kernel for its maps, in MiB; maps that the
    engine sees through mmap count once."""
    count = effort.times(SERVICES)
    with Site(count * SERVERS) as site:
        site.publish(many(count, SERVERS))
        with site.process() as (running, _):
            process, maps = resident(running.pid) / 2**20, _maps(running) / 2**20
    note = f"{count:,} services × {SERVERS} servers, no monitors"
    yield Samples("maps and engine", "MiB", [process + maps], note=note, more={"engine": process, "maps": maps})


def _maps(running: subprocess.Popen[bytes]) -> int:
    """Bytes that the kernel holds for the maps that a process has open (fdinfo of BPF maps)."""
    held: dict[str, int] = {}
    for path in Path(f"/proc/{running.pid}/fdinfo").iterdir():
        text = ""
        with suppress(FileNotFoundError):  # it was closed meanwhile
            text = path.read_text()
        told = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        if "map_id" in told:
            held[told["map_id"].strip()] = int(told["memlock"])
    return sum(held.values())


def main() -> None:
    """Measure all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=FULL.rounds)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("only", nargs="*", help="tables, change, server_of_pools, engine_start, memory")
    given = parser.parse_args()
    effort = Effort(given.rounds, given.scale)
    for measure in (tables, change, server_of_pools, engine_start, memory):
        for found in measure(effort) if not given.only or measure.__name__ in given.only else ():
            middle, (low, high) = statistics.median(found.values), found.spread
            print(f"{measure.__name__}: {found.name}: {middle:.2f} {found.unit} ({low:.2f}–{high:.2f}); {found.note} "
                  f"{found.more or ''}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
