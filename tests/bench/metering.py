"""What metrics cost: processor time of all metrics of 100,000 servers, every 15 s, beside the engine's probes.

First alone: the driver keeps nothing, and counters are made up once. What is measured is taking the values on the
engine's loop, writing the text, and its encoding. Beside it: the same lines of text, each written with a number, and
encoded.

Then as it is used: a real engine with 100 pools of the same 1,000 servers probes each server once a second, and is
asked for its metrics. The probes' own time is printed beside.
"""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from dataplane import plan
from dataplane.forwarding.values import Counters, Tally
from dataplane.metrics import snapshot, text
from tests.bench import monitors
from tests.bench.measure import TINY, Effort, Samples
from tests.dataplane.test_refresh import Memory
from tests.dataplane.test_status import PLANNED, Site, on_site
from tests.drivers import PREFERRED
from tests.health.crowd import crowd, vip
from tests.polling import until

EVERY = 15.0
"""Seconds between two scrapes, as Prometheus does by default."""
POOLS, SERVERS = 100, 1000
MOST = 5.0
"""Percent of a core that metrics may take of an engine that probes 1,000 servers a second."""
ADDRESS = "127.0.0.1:9100"


class Counted(Memory):
    """A driver with the same counters at all times."""

    made = Counters()

    def counters(self) -> Counters:
        return self.made


def services(pools: int) -> list[plan.Service]:
    """One a pool."""
    found = []
    for pool in range(pools):
        addresses = (f"10.{pool // 2}.{pool % 2 * 8 + n // 250}.{n % 250 + 1}" for n in range(SERVERS))
        servers = tuple(plan.Server(address, 80) for address in addresses)
        named = {
            "uuid": f"vs-{pool}",
            "virtualservice": f"vs-{pool}",
            "pool": f"pool-{pool}",
            "pool_uuid": f"pool-{pool}",
        }
        found.append(replace(PLANNED, **named, vip=f"10.200.0.{pool + 1}", servers=servers, monitors=()))  # type: ignore[arg-type]
    return found


def exposition(effort: Effort) -> Iterator[Samples]:
    """The part of a core, in percent."""
    parts: list[float] = []
    plain: list[float] = []

    async def job(site: Site) -> None:
        planned = services(POOLS if effort.scale > TINY.scale else 1)
        site.put(*planned)
        addresses = ((one.pool_uuid, site.engine.index.members(one.pool_uuid).addresses) for one in planned)
        Counted.made = Counters(servers={(pool, one): Tally(5, 500) for pool, its in addresses for one in its})
        gatherer = snapshot.Gatherer(site.engine)
        for _ in range(effort.rounds + 1):
            begun = time.process_time()
            written = text.text(await gatherer.snapshot()).encode()
            parts.append((time.process_time() - begun) / EVERY * 100)
            plain.append(_lines(written) / EVERY * 100)

    on_site(job, Counted())
    yield Samples("100,000 servers", "% of a core", parts[1:], plain[1:])  # the first one also writes the labels


def beside_probes(effort: Effort) -> Iterator[Samples]:
    """The part of a core, in percent, of an engine that probes."""
    tiny = effort.scale <= TINY.scale
    pools, servers = (2, 20) if tiny else (POOLS, SERVERS)
    with tempfile.TemporaryDirectory() as folder, crowd(Path(folder), servers, vips=pools) as there:
        (probed,) = there.services([monitors.MONITORS["TCP"]])
        named = [(f"vs{number}", f"pool-{number}", vip(number)) for number in range(1, pools)]
        there.publish(
            [probed]
            + [
                replace(probed, virtualservice=name, uuid=name, vip=address, pool=pool, pool_uuid=pool, monitors=())
                for name, pool, address in named
            ]
        )
        there.start(PREFERRED, "--metrics", ADDRESS, patience=monitors.PATIENCE)
        until(lambda: set(there.states().values()) == {"up"}, there.log, 120)
        values: list[float] = []
        own: list[float] = []
        lines = 0
        for _ in range(effort.rounds + 1):
            own.append(_part(there.used, lambda: time.sleep(0.2 if tiny else 3.0)))
            begun = time.monotonic()
            before = there.used()
            lines = there.engine.run(_scrape).count("\n")
            spent = there.used() - before - own[-1] / 100 * (time.monotonic() - begun)
            values.append(spent / EVERY * 100)
    note = f"{lines:,} lines; {servers:,} probes a second take {sorted(own)[len(own) // 2]:.1f} % of a core"
    # The first one also writes the labels.
    yield Samples("beside probes", "% of a core", values[1:], [MOST] * (len(values) - 1), "the most it may be", note)


def _part(used: Callable[[], float], wait: Callable[[], None]) -> float:
    """What part of a core an engine takes meanwhile, in percent."""
    before, begun = used(), time.monotonic()
    wait()
    return (used() - before) / (time.monotonic() - begun) * 100


def _scrape() -> str:
    with urllib.request.urlopen(f"http://{ADDRESS}/metrics", timeout=60) as answer:
        return str(answer.read(), "utf-8")


def _lines(written: bytes) -> float:
    """Seconds of processor time in which these lines are written, whatever their numbers are."""
    names = [line.rpartition(" ")[0] for line in written.decode().splitlines()]
    begun = time.process_time()
    again = "\n".join([f"{name} {number}" for number, name in enumerate(names)]).encode()
    took = time.process_time() - begun
    assert len(again) > len(names)
    return took
