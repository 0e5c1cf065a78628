"""Whether the table in which a driver remembers flows is full: then it forgets some of those that go on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from dataplane.forwarding.driver import Driver
from dataplane.forwarding.values import Lingering
from dataplane.wording import clock

FULL = 0.95
"""The part of the entries with which evictions begin, from which on the table counts as full: who counts while flows
come and go misses some."""
REST = 9.0
"""After a look, so many times as long as it took, nobody looks: a pass over 250,000 flows takes half a second."""
LONGEST = 30.0
"""Seconds from one look to the next at most."""


class FlowMemory:
    """since: when the table became full, in seconds since the epoch; None while it is not. flows: that were remembered
    at the last look; of: those of each of the driver's pools, by the server's address."""

    def __init__(self, driver: Driver, clock: Callable[[], float] = time.monotonic) -> None:
        self._driver, self._clock = driver, clock
        self._next = 0.0  # when the driver may be asked again
        self.since: float | None = None
        self.flows = 0
        self.of: Mapping[str, Mapping[bytes, int]] = {}

    @property
    def size(self) -> int:
        """How many flows the table holds at most."""
        return self._driver.flow_room.entries

    def lingering(self, pools: Collection[str]) -> Lingering | None:
        """`Driver.lingering`, and a look at how many there are. None: the last look at a large table is not long ago
        enough (REST)."""
        begun = self._clock()
        if pools and begun < self._next:
            return None
        found = self._driver.lingering(pools) if pools else {}
        self._next = begun + min(LONGEST, (1 + REST) * (self._clock() - begun))
        self.of = {pool: Counter(address for _, (address, _), _ in flows) for pool, flows in found.items()}
        self.flows = sum(map(len, found.values()))
        if self.flows < FULL * self._driver.flow_room.evicts_from:
            self.since = None
        elif self.since is None:
            self.since = time.time()
        return found

    def words(self) -> str:
        """What it means that the table is full; "" while it is not."""
        if self.since is None:
            return ""
        since = clock(self.since)
        return (
            f"the table of remembered flows is full since {since} ({self.flows:,} of {self.size:,}): of the connections"
            " that began before the last change of a pool, those that are silent longest go to another server"
        )
