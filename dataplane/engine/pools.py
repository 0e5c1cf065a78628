"""The pools as a driver is to have them, through all that happens to their servers: made, put, and moved on as time
passes."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dataplane import plan
from dataplane.engine.operstate import IDLE, Flows
from dataplane.forwarding import maglev, translate, values
from dataplane.forwarding.driver import Driver
from dataplane.forwarding.transition import Life, Slots
from dataplane.health.checkstate import settled_after
from dataplane.plan.index import ServiceIndex
from dataplane.runtime import pipeline

SETTLE = 0.5
"""Seconds that a new pool's servers have beyond their monitors' own time."""
AT_ONCE = 64
"""Pools that a driver is given at a time, while threads make the next."""


class Pools:
    """Made and used on the engine's loop. members: of a service's pool, with their states; is_known: whether it is
    known of a pool's server that it is up or down; now: what time it is, on the clock of the plan's times.

    values: as they were put last, by uuid.
    """

    def __init__(
        self,
        driver: Driver,
        index: ServiceIndex,
        members: Callable[[plan.Service], tuple[translate.PoolMember, ...]],
        is_known: Callable[[str, bytes], bool],
        now: Callable[[], float],
    ) -> None:
        self._now = now
        self._driver, self._index = driver, index
        self._members, self._is_known = members, is_known
        self.values: dict[str, values.Pool] = {}
        self._slots: dict[str, Slots] = {}
        self._unsettled: dict[str, float] = {}
        self._watched: set[str] = set()
        self._flows: Mapping[str, Mapping[Life, Flows]] = {}
        self._adopted: Mapping[str, values.Pool] = {}
        self._builders = ThreadPoolExecutor(os.cpu_count(), "avi-se-table")

    def adopt(self, found: Mapping[str, values.Pool]) -> None:
        """What a driver was found to run: pools that are made from now on go on from there."""
        self._adopted = found

    def close(self) -> None:
        """End the threads."""
        self._builders.shutdown(cancel_futures=True)

    def follow(self, pools: Iterable[str]) -> None:
        """These pools of the index came, changed or went. One that is new to this engine forwards nothing until each
        of its servers has been heard of: after a cold start the first one to answer would get, and reset, the others'
        connections; in a new pool it would stay the former owner of all slots for the time of a whole window, and get
        every UDP flow."""
        for uuid in pools:
            services = self._index.of_pool(uuid)
            if not services:
                self._unsettled.pop(uuid, None)
            elif uuid not in self._slots and uuid not in self._unsettled and uuid not in self._adopted:
                longest = max((settled_after(m) for s in services for m in s.monitors), default=0)
                self._unsettled[uuid] = time.monotonic() + longest + SETTLE

    def is_settled(self, uuid: str) -> bool:
        """Whether a pool's servers were all heard of, or had their time."""
        return uuid not in self._unsettled

    def has(self, uuid: str, server: bytes, up: bool) -> bool:
        """Whether a settled pool was put with a server of it in that state: nothing is new for the driver."""
        value = self.values.get(uuid)
        if value is None or uuid in self._unsettled:
            return False
        at = bisect_left(value.targets, server, key=lambda target: target.address)
        return at < len(value.targets) and (value.targets[at].address, value.targets[at].up) == (server, up)

    def is_up(self, service: plan.Service) -> bool:
        """Whether a service has a server that takes new flows."""
        if service.pool_uuid in self._unsettled:
            return False
        pool = self.values.get(service.pool_uuid)
        return pool is not None and (pool.table[0] != maglev.NO_SERVER or any(t.serves for t in pool.targets))

    def flows(self, uuid: str, member: Life) -> Flows:
        """A member's tracked flows that live, as of the last `advance`."""
        return self._flows.get(uuid, {}).get(member, Flows(0))

    def put(self, pools: Sequence[str], until: float) -> Sequence[str]:
        """Make pools anew and put those that changed, as many as there is time for (time.monotonic()), the first ones
        in any case: which. Their tables are made in threads, one a processor. Raises DriverError."""
        at = 0
        while at < len(pools) and (not at or time.monotonic() < until):
            some = len(pools) if until == float("inf") else at + AT_ONCE
            self._put(pools[at:some])
            at = some
        return pools[:at]

    def _put(self, pools: Sequence[str]) -> None:
        services = [next(iter(self._index.of_pool(uuid))) for uuid in pools]
        for batch in pipeline.batches(self._builders, self._made, services, AT_ONCE):
            changed = [value for value in batch if self.values.get(value.uuid) != value]
            for value, held in zip(changed, self._driver.put_pools(changed), strict=True):
                self.values[held.uuid] = held
                self._slots[held.uuid].exchange(value.table, held.table)

    def remove(self, uuid: str) -> None:
        """Take a pool away, if it is there."""
        if uuid in self.values:
            del self.values[uuid], self._slots[uuid]
            self._watched.discard(uuid)
            self._driver.remove_pool(uuid)

    def moving(self) -> Collection[str]:
        """The pools of whose slots some are not stable: the flows that they remember count for `advance`."""
        return [uuid for uuid in self._watched if uuid in self._slots and not self._slots[uuid].stable]

    def advance(self, lingering: values.Lingering) -> list[str]:
        """Time passed: ends windows, tracking and graceful times, and the wait of new pools. lingering: flows that
        live, of those that were `moving`. Returns the pools that are to be put."""
        self._flows = {uuid: _counted(flows) for uuid, flows in lingering.items()}
        asked = {uuid: [(slot, life) for slot, life, _ in flows] for uuid, flows in lingering.items()}
        return [uuid for uuid in self._watched if uuid in self.values and self._advance(uuid, asked.get(uuid))]

    def _advance(self, uuid: str, lingering: Iterable[tuple[int, Life]] | None) -> bool:
        """Whether time changed something of a pool. lingering: its flows that live; None: nobody asked."""
        slots, pool, services = self._slots[uuid], self.values[uuid], self._index.of_pool(uuid)
        serving = {(target.address, target.generation) for target in pool.targets if target.serves}
        changed = self._unsettled.get(uuid, float("inf")) <= time.monotonic()
        if lingering is not None:
            timeouts = [service.idle_timeout for service in services]
            timeout = 0 if 0 in timeouts else max(timeouts, default=0)
            changed |= slots.advance(self._now(), timeout, serving.__contains__, lingering)
        if any(not server.enabled for server in self._index.members(uuid).servers):
            members = self._members(next(iter(services)))
            changed |= serving != {member.life for member in members if member.serves}
        return changed

    def _settle(self, service: plan.Service) -> bool:
        """Whether a pool may forward: every enabled server's state is known, or time is up."""
        until = self._unsettled.get(service.pool_uuid)
        if until is None:
            return True
        uuid, (servers, addresses) = service.pool_uuid, self._index.members(service.pool_uuid)
        enabled = [a for s, a in zip(servers, addresses, strict=True) if s.enabled]
        if time.monotonic() < until and not all(self._is_known(uuid, a) for a in enabled):
            return False
        del self._unsettled[service.pool_uuid]
        return True

    def _made(self, service: plan.Service) -> values.Pool:
        """A pool's value as of now, its slots with it."""
        uuid, found = service.pool_uuid, self._members(service)
        before = self.values.get(uuid)
        known = before or self._adopted.get(uuid)
        slots = self._slots.get(uuid)
        if slots is None:
            slots = self._slots[uuid] = self._first_slots(service)
        if not self._settle(service):  # it forwards nothing: the table would be another with every server heard of
            self._watched.add(uuid)
            return translate.pool(service, found, None, maglev.build_table((), service.slots, service.seed), known)
        shares = translate.shares(service, found)
        same = known is not None and known.made_of == shares
        table = known.table if known is not None and same else translate.table(service, found)
        lives = [(member.address, member.server.generation) for member in found]
        if not slots.is_at(table, lives):
            serves = {life for life, member in zip(lives, found, strict=True) if member.serves}
            slots.change(table, lives, serves.__contains__, self._now())
        if not slots.stable or any(not m.server.enabled and m.serves for m in found):
            self._watched.add(uuid)
        else:
            self._watched.discard(uuid)
        return translate.pool(service, found, slots.phases(lives), table, known, shares)

    def _first_slots(self, service: plan.Service) -> Slots:
        """The slots of a pool that is new to this process: as the kernel has them, else as the plan tells them."""
        slots = Slots(service.slots)
        adopted = self._adopted.get(service.pool_uuid)
        if adopted is not None and adopted.slots == service.slots:
            slots.adopt(adopted, self._now())
            return slots
        now = self._now()
        enabled = tuple((s.address, s.weight, s.generation) for s in service.servers if s.enabled)
        told = [*service.former, plan.Former(now, enabled)] if service.former else []
        known = {translate.life(s) for s in service.servers if s.enabled or translate.still_serves(s, now)}
        everybody = sorted({life for former in told for life in translate.former_lives(former)})
        until = 0.0
        for former in told:
            slots.change(translate.former_table(service, former, everybody), everybody, known.__contains__, until)
            until = former.until
        return slots


def _counted(lingering: Iterable[tuple[int, Life, int]]) -> Mapping[Life, Flows]:
    """The flows that live, by member."""
    now, ages = time.monotonic_ns(), defaultdict[Life, list[float]](list)
    for _, life, seen in lingering:
        ages[life].append(max(0.0, (now - seen) / 1e9))
    return {life: Flows(len(of), sum(age >= IDLE for age in of), min(of)) for life, of in ages.items()}
