"""What metrics cost: processor time of all metrics of 100,000 servers, every 15 s, beside the engine's probes.

The driver keeps nothing, and counters are made up once: what is measured is taking the values on the engine's loop,
writing the text, and its encoding. Beside it: the same lines of text, each written with a number, and encoded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from dataplane import plan
from dataplane.forwarding.values import Counters, Tally
from dataplane.metrics import snapshot, text
from tests.bench.measure import TINY, Effort, Samples
from tests.dataplane.test_refresh import Memory
from tests.dataplane.test_status import PLANNED, Site, on_site

EVERY = 15.0
"""Seconds between two scrapes, as Prometheus does by default."""
POOLS, SERVERS = 100, 1000


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


def _lines(written: bytes) -> float:
    """Seconds of processor time in which these lines are written, whatever their numbers are."""
    names = [line.rpartition(" ")[0] for line in written.decode().splitlines()]
    begun = time.process_time()
    again = "\n".join([f"{name} {number}" for number, name in enumerate(names)]).encode()
    took = time.process_time() - begun
    assert len(again) > len(names)
    return took
