"""The pools as a driver is to have them, through all that happens to their servers: made, put, and moved on as time
passes.

A pool of the plan is one of the driver, by its uuid, as long as its servers are up for all its VIPs alike. Where they
are not, groups of VIPs have their own (`vipgroups`); they share one again when that moves no flow. A VIP that is new to
a pool in use begins alone, so that the others do not wait for what its servers answer.
"""

from __future__ import annotations

import os
import socket
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from dataplane import plan
from dataplane.engine import operstate, vipgroups
from dataplane.engine.operstate import Flows
from dataplane.engine.poolhistory import PoolHistory
from dataplane.engine.vipgroups import Names, Ups
from dataplane.forwarding import maglev, poolnames, translate, values
from dataplane.forwarding.driver import Driver, Found
from dataplane.forwarding.transition import Life, Slots
from dataplane.health.checkstate import settled_after
from dataplane.plan.history import Held
from dataplane.plan.index import ServiceIndex
from dataplane.runtime import pipeline

SETTLE = 0.5
"""Seconds that a new pool's servers have beyond their monitors' own time."""
AT_ONCE = 64
"""Pools that a driver is given at a time, while threads make the next."""
_LONGEST = 3600.0
"""Seconds for which changes are told to engines that begin later, where connections may be idle for ever."""


class _Wanted(NamedTuple):
    """A pool of the driver that is to be made anew."""

    name: str
    service: plan.Service  # one that it is for


class Pools:
    """Made and used on the engine's loop. members: of a service's pool, with their states for its VIP; ups: which of
    them are up; is_known: whether it is known of a pool's server that it is up or down for a VIP; now: what time it is,
    on the clock of the plan's times.

    values: as they were put last, by the driver's names for them.
    """

    def __init__(
        self,
        driver: Driver,
        index: ServiceIndex,
        members: Callable[[plan.Service], tuple[translate.PoolMember, ...]],
        ups: Callable[[plan.Service], Ups],
        is_known: Callable[[str, bytes, bytes], bool],
        now: Callable[[], float],
    ) -> None:
        self._now = now
        self._driver, self._index = driver, index
        self._members, self._ups, self._is_known = members, ups, is_known
        self.values: dict[str, values.Pool] = {}
        self.history = PoolHistory()
        self._names: dict[str, Names] = {}
        self._divided: set[str] = set()
        self._left: dict[str, str] = {}
        self._moved: set[str] = set()
        self._slots: dict[str, Slots] = {}
        self._unsettled: dict[str, float] = {}
        self._watched: set[str] = set()
        self._flows: Mapping[str, Mapping[Life, Flows]] = {}
        self._found: Mapping[tuple[str, bytes], str] = {}
        self._adopted: dict[str, values.Pool] = {}
        self._builders = ThreadPoolExecutor(os.cpu_count(), "avi-se-table")

    def adopt(self, found: Found) -> None:
        """Take over what a driver was found to run: pools that are made from now on go on from there."""
        self._found, self._adopted = found.names(), dict(found.pools)

    def close(self) -> None:
        """End the threads."""
        self._builders.shutdown(cancel_futures=True)

    def follow(self, pools: Iterable[str]) -> None:
        """These pools of the index came, changed or went. One that is new to this engine forwards nothing until each
        of its servers has been heard of: after a cold start the first one to answer would get, and reset, the others'
        connections; in a new pool it would stay the former owner of all slots for the time of a whole window, and get
        every UDP flow. The same is true of a VIP that is new to a pool."""
        for uuid in pools:
            services = self._index.of_pool(uuid)
            if services:
                self._follow(uuid, services)
            else:
                for name in self.names(uuid):
                    self._unsettled.pop(name, None)

    def _follow(self, uuid: str, services: Collection[plan.Service]) -> None:
        vips = dict.fromkeys(socket.inet_aton(service.vip) for service in services)
        known = self._names.get(uuid)
        if known is None:
            known = {vip: name for vip in vips if (name := self._found.get((uuid, vip)))}
        in_use = {name for name in known.values() if name not in self._unsettled}
        names = {vip: known.get(vip) or (poolnames.of_vip(uuid, vip) if in_use else uuid) for vip in vips}
        self._rename(uuid, known, vipgroups.named(uuid, names))
        for name, its in vipgroups.grouped(self._names[uuid]).items():
            if not any(vip in known for vip in its):
                self._slots.pop(name, None)  # what another VIP had
                self._unsettle(name, services)

    def begin_anew(self, uuids: Iterable[str], since: float) -> None:
        """No flow of these pools came here since then, on the clock of the plan's times: they wait until their servers
        were heard of, as pools that are new, and what changed meanwhile is forgotten."""
        for uuid in uuids:
            for name in self.names(uuid):
                if name in self._slots:
                    self._slots[name].void(since)
                self._unsettle(name, self._index.of_pool(uuid))

    def recall(self, changes: Mapping[str, Sequence[Held]]) -> Collection[str]:
        """Others saw these changes, on the clock of the plan's times, before this engine began: pools that have seen
        none themselves go on from them. Returns the uuids of those that are to be put."""
        names = self.history.recall(changes) - self._adopted.keys()
        for name in names:
            self._slots.pop(name, None)
        return {poolnames.parts(name).uuid for name in names if name in self.values}

    def _unsettle(self, name: str, services: Collection[plan.Service]) -> None:
        longest = max((settled_after(m) for s in services for m in s.monitors), default=0)
        self._unsettled[name] = time.monotonic() + longest + SETTLE

    def _rename(self, uuid: str, before: Names, now: Names) -> None:
        """Have VIPs in other groups: theirs go on from where these are."""
        for vip, name in now.items():
            old = before.get(vip, name)
            if old != name:
                self._moved |= {s.key for s in self._index.of_pool(uuid) if socket.inet_aton(s.vip) == vip}
                if name not in before.values():
                    self._begin(name, old)
        gone = {name: vip for vip, name in before.items() if name not in now.values() and name != uuid}
        self._left |= {name: now.get(vip, uuid) for name, vip in gone.items()}
        self._names[uuid] = now
        if len(set(now.values())) > 1:
            self._divided.add(uuid)
        else:
            self._divided.discard(uuid)

    def _begin(self, name: str, old: str) -> None:
        """A new group goes on from where its VIPs were."""
        if old in self._slots:
            self._slots[name] = self._slots[old].copy()
        elif old in self._adopted:
            self._adopted[name] = self._adopted[old]
        self._unsettled.pop(name, None)
        if old in self._unsettled:
            self._unsettled[name] = self._unsettled[old]

    def names(self, uuid: str) -> Collection[str]:
        """The driver's pools of a pool of the plan."""
        return dict.fromkeys(self._names.get(uuid, {}).values())

    def name(self, service: plan.Service) -> str:
        """The driver's pool that a service uses."""
        return self._names.get(service.pool_uuid, {}).get(socket.inet_aton(service.vip), service.pool_uuid)

    def is_settled(self, service: plan.Service) -> bool:
        """Whether all servers of a service's pool were heard of, or their time is over."""
        return self.name(service) not in self._unsettled

    def has(self, uuid: str, vip: bytes, server: bytes, up: bool) -> bool:
        """Whether a settled pool was put with a server of it in that state for a VIP: nothing is new for the driver."""
        name = self._names.get(uuid, {}).get(vip, uuid)
        value = self.values.get(name)
        if value is None or name in self._unsettled:
            return False
        at = bisect_left(value.targets, server, key=lambda target: target.address)
        return at < len(value.targets) and (value.targets[at].address, value.targets[at].up) == (server, up)

    def is_up(self, service: plan.Service) -> bool:
        """Whether a service has a server that takes new flows."""
        name = self.name(service)
        if name in self._unsettled:
            return False
        pool = self.values.get(name)
        return pool is not None and (pool.table[0] != maglev.NO_SERVER or any(t.serves for t in pool.targets))

    def flows(self, uuid: str, member: Life) -> Flows:
        """A member's tracked flows that live, as of the last `advance`."""
        found = [self._flows.get(name, {}).get(member, Flows(0)) for name in self.names(uuid)]
        last = min((flows.last for flows in found if flows.live), default=0.0)
        return Flows(sum(flows.live for flows in found), sum(flows.idle for flows in found), last)

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
        wanted = [one for uuid in pools for one in self._wanted(uuid)]
        for batch in pipeline.batches(self._builders, self._made, wanted, AT_ONCE):
            changed = [value for value in batch if self.values.get(value.uuid) != value]
            for value, held in zip(changed, self._driver.put_pools(changed), strict=True):
                self.values[held.uuid] = held
                self._slots[held.uuid].exchange(value.table, held.table)

    def _wanted(self, uuid: str) -> list[_Wanted]:
        """A pool's groups of VIPs as they are to be now."""
        firsts = {socket.inet_aton(service.vip): service for service in reversed(list(self._index.of_pool(uuid)))}
        groups = vipgroups.grouped(self._names[uuid])
        new = {name for name, vips in groups.items() if self._settle(name, [firsts[vip] for vip in vips])}
        if len(firsts) > 1:
            self._group(uuid, {vip: self._ups(service) for vip, service in firsts.items()}, new)
            groups = vipgroups.grouped(self._names[uuid])
        return [_Wanted(name, firsts[vips[0]]) for name, vips in groups.items()]

    def _group(self, uuid: str, ups: Mapping[bytes, Ups], new: Collection[str]) -> None:
        """Divide and unite the groups of VIPs. new: groups that were settled just now: they have no flows."""
        before = self._names[uuid]
        settled = set(before.values()) - self._unsettled.keys()
        names = vipgroups.divided(uuid, before, ups, settled, self._up_in(uuid))
        settled |= set(names.values()) - set(before.values())

        def may_join(name: str, other: str) -> bool:
            if not {name, other} <= settled:
                return False
            mine = ups[next(vip for vip, its in names.items() if its == name)]
            return name in new or self._is_idle(name) or self._is_same(name, other, mine)

        self._rename(uuid, before, vipgroups.united(uuid, names, ups, may_join))

    def _up_in(self, name: str) -> Ups | None:
        """The servers that are up in a pool as it was put last."""
        value = self.values.get(name)
        return None if value is None else tuple(target.up for target in value.targets)

    def _is_idle(self, name: str) -> bool:
        """Whether no server had flows in a pool as it was put last."""
        return self._is_stable(name) and not any(target.serves for target in self.values[name].targets)

    def _is_same(self, name: str, other: str, ups: Ups) -> bool:
        """Whether two pools forward alike until now, and do so when these servers are up."""
        if not (self._is_stable(name) and self._is_stable(other)):
            return False
        ones, others = self.values[name], self.values[other]
        return ones.made_of == others.made_of and self._up_in(name) == self._up_in(other) == ups

    def _is_stable(self, name: str) -> bool:
        """Whether a pool was put, and every slot of it is stable."""
        return name in self.values and name in self._slots and self._slots[name].stable

    def moved(self) -> Collection[str]:
        """The keys of the services that have other pools of the driver since the last call."""
        moved, self._moved = self._moved, set()
        return moved

    def sweep(self) -> None:
        """Remove the driver's pools that no service uses any more. Their counts are added to the pools that the
        services use now."""
        left, self._left = self._left, {}
        for name, heir in left.items():
            if name not in self.names(poolnames.parts(name).uuid):
                self._remove(name, heir if heir in self.values else "")

    def remove(self, uuid: str) -> None:
        """Take a pool away, if it is there."""
        self._divided.discard(uuid)
        for name in {uuid, *self._names.pop(uuid, {}).values()}:
            self._remove(name)

    def _remove(self, name: str, heir: str = "") -> None:
        self._unsettled.pop(name, None)
        self._watched.discard(name)
        self._slots.pop(name, None)
        self.history.forget(name)
        if self.values.pop(name, None) is not None:
            self._driver.remove_pool(name, heir)

    def changes(self) -> Mapping[str, Sequence[Held]]:
        """The changes of pools' tables that connections may be older than, on the clock of the plan's times."""
        return {
            name: held
            for name in self.history.changed()
            if name in self.values and (held := self.history.young(name, self._oldest(name)))
        }

    def _oldest(self, name: str) -> float:
        """Before this a change does not matter: a connection that is older was used since."""
        return self._now() - (_timeout(self._index.of_pool(poolnames.parts(name).uuid)) or _LONGEST)

    def moving(self) -> Collection[str]:
        """The pools that have slots in transition or tracked. `advance` needs the flows that they remember."""
        return [name for name in self._watched if name in self._slots and not self._slots[name].stable]

    def advance(self, found: values.Lingering | None) -> Collection[str]:
        """Time passed: ends windows, tracking, graceful times and waits for new pools. found: flows of those `moving`
        that live; None: nobody looked. Returns the uuids of the pools that are to be put."""
        self._flows = self._flows if found is None else {n: operstate.counted(flows) for n, flows in found.items()}
        asked = {name: [(slot, life) for slot, life, _ in flows] for name, flows in (found or {}).items()}
        changed = [name for name in self._watched if name in self.values and self._advance(name, asked.get(name))]
        return {poolnames.parts(name).uuid for name in changed}.union(filter(self._may_unite, self._divided))

    def _may_unite(self, uuid: str) -> bool:
        """Whether two of a pool's groups forward alike by now."""
        ups = [self._up_in(one) for one in self.names(uuid) if one not in self._unsettled and self._is_stable(one)]
        return len(set(ups)) < len(ups)

    def _advance(self, name: str, lingering: Iterable[tuple[int, Life]] | None) -> bool:
        """Whether time changed something of a pool. lingering: its flows that live; None: nobody asked."""
        uuid = poolnames.parts(name).uuid
        services = [service for service in self._index.of_pool(uuid) if self.name(service) == name]
        if not services:
            return False
        slots, pool = self._slots[name], self.values[name]
        serving = {(target.address, target.generation) for target in pool.targets if target.serves}
        changed = self._unsettled.get(name, float("inf")) <= time.monotonic()
        if lingering is not None:
            changed |= slots.advance(self._now(), _timeout(services), serving.__contains__, lingering)
        if any(not server.enabled for server in self._index.members(uuid).servers):
            changed |= serving != {member.life for member in self._members(services[0]) if member.serves}
        return changed

    def _settle(self, name: str, services: Collection[plan.Service]) -> bool:
        """Whether a pool may forward from now on, and could not before: the state of every enabled server is known for
        the VIPs of these services, or time is up."""
        until = self._unsettled.get(name)
        if until is None:
            return False
        if time.monotonic() < until:
            of_pool = self._index.of_pool(poolnames.parts(name).uuid)
            for service in services if any(one.monitors for one in of_pool) else ():  # else nothing is asked of servers
                vip, (servers, addresses) = socket.inet_aton(service.vip), self._index.members(service.pool_uuid)
                enabled = (a for s, a in zip(servers, addresses, strict=True) if s.enabled)
                if not all(self._is_known(service.pool_uuid, a, vip) for a in enabled):
                    return False
        del self._unsettled[name]
        return True

    def _made(self, wanted: _Wanted) -> values.Pool:
        """A pool's value as of now, its slots with it."""
        name, service = wanted
        found = self._members(service)
        before = self.values.get(name)
        known = before or self._adopted.get(name)
        slots = self._slots.get(name)
        if slots is None:
            slots = self._slots[name] = self._first_slots(name, service)
        if name in self._unsettled:  # it forwards nothing: the table would be another with every server heard of
            self._watched.add(name)
            nobody = maglev.build_table((), service.slots, service.seed)
            return translate.pool(service, found, None, nobody, known, name=name)
        shares = translate.shares(service, found)
        same = known is not None and known.made_of == shares
        table = known.table if known is not None and same else translate.table(service, found)
        lives = [(member.address, member.server.generation) for member in found]
        if not slots.is_at(table, lives):
            serves = {life for life, member in zip(lives, found, strict=True) if member.serves}
            slots.change(table, lives, serves.__contains__, self._now())
            self.history.note(name, self._now(), service, found)
        if not slots.stable or any(not m.server.enabled and m.serves for m in found):
            self._watched.add(name)
        else:
            self._watched.discard(name)
        return translate.pool(service, found, slots.phases(lives), table, known, shares, name)

    def _first_slots(self, name: str, service: plan.Service) -> Slots:
        """The slots of a new pool: as the kernel has them, else as other engines saw them, else as the plan tells."""
        slots = Slots(service.slots)
        adopted = self._adopted.get(name)
        if adopted is not None and adopted.slots == service.slots:
            slots.adopt(adopted, self._now())
            return slots
        if changes := self.history.young(name, self._oldest(name)):
            translate.replay(slots, service, changes)
            return slots
        if not service.former:
            return slots
        now, servers = self._now(), [s for s in service.servers if s.enabled]
        told = [*service.former, plan.Former(now, tuple((s.address, s.weight, s.generation) for s in servers))]
        known = {translate.life(s) for s in service.servers if s.enabled or translate.still_serves(s, now)}
        everybody = sorted({life for former in told for life in translate.former_lives(former)})
        until = 0.0
        for former in told:
            slots.change(translate.former_table(service, former, everybody), everybody, known.__contains__, until)
            until = former.until
        return slots


def _timeout(services: Iterable[plan.Service]) -> int:
    """The longest idle timeout, in seconds; 0: a connection may be idle for ever."""
    timeouts = [service.idle_timeout for service in services]
    return 0 if 0 in timeouts else max(timeouts, default=0)
