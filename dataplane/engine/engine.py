"""The service engine: joins plan, health, network and driver.

Everything that changes marks what it touches; one `refresh` then puts the new values in the order that never shows half
a change: pools, services, VIPs; what goes, in reverse order.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from dataplane import plan
from dataplane.engine import subjects
from dataplane.engine.damage import Damage
from dataplane.engine.dirty import DirtySet
from dataplane.engine.flowmemory import FlowMemory
from dataplane.engine.handshakewatch import HandshakeWatch
from dataplane.engine.housekeeping import Housekeeping
from dataplane.engine.interfaces import ServedInterfaces
from dataplane.engine.members import MemberStates
from dataplane.engine.pools import Pools
from dataplane.engine.sending import SendingStates
from dataplane.engine.statechanges import StateChanges
from dataplane.errors import DriverError
from dataplane.events import kinds
from dataplane.events.events import Events
from dataplane.events.model import THIS_ENGINE
from dataplane.forwarding import translate, values
from dataplane.forwarding.driver import NOTHING_FOUND, Driver
from dataplane.health.probepaths import ProbePaths
from dataplane.kernel.registry import KernelRegistry
from dataplane.network.nexthops import NextHops
from dataplane.network.pathmtu import PathMtus
from dataplane.network.settings import KernelSettings
from dataplane.network.state import Network
from dataplane.plan.index import ServiceIndex
from dataplane.runtime import tasks
from dataplane.runtime.clock import SteadyClock
from dataplane.vip import memberconflicts
from dataplane.vip.announcer import Announcer
from dataplane.vip.firstuse import FirstUse
from dataplane.vip.memberconflicts import MemberConflicts
from dataplane.vip.owner import VipOwner
from dataplane.vip.placed import Alone, Placed
from dataplane.vip.record import VipRecord

REFRESH_SHARE, REFRESH_REST = 3.0, 0.2
"""A refresh is followed by so many times its own length for everything else, and so many seconds at most."""
ADVANCE_EVERY = 1.0
"""Seconds between two looks at windows that may be over."""
SLICE = 0.03
"""Seconds of a refresh at a time, about: probes in between keep their times."""


class Engine:
    """One service engine, from its start to its end, on one event loop."""

    def __init__(
        self,
        name: str,
        interfaces: Sequence[str],
        driver: Driver,
        network: Network,
        announcers: Sequence[Announcer],
        settings: KernelSettings | None = None,
        record: VipRecord | None = None,
        placed: Placed | None = None,
        events: Events | None = None,
    ) -> None:
        self._placed = placed or Alone()
        self.name = name
        self.driver = driver
        self.flow_memory = FlowMemory(driver)
        self.network = network
        self.mark = plan.Mark(-1)  # how far it has followed the plan
        self.common = plan.Common()
        self.started = time.time()
        self.clock = SteadyClock()
        self.events = events or Events(name)
        tell = self.events.tell
        self.index = ServiceIndex()
        self.changes = StateChanges(self.index, tell=tell)
        self.damage = Damage(tell)
        self._planned, self._put = dict[str, plan.Service](), dict[str, values.Service]()
        self._dirty = DirtySet()
        self._layout = network.layout
        self.paths = ProbePaths()
        self._settings = settings or KernelSettings()
        self.kernel = KernelRegistry(tell)
        self._path_mtus = PathMtus(self._path_mtu_changed)
        self.interfaces = ServedInterfaces(
            interfaces,
            network,
            driver,
            self._settings,
            tell,
            lambda old, new: self.members.renamed(old, new),
            self._placed.addresses,
        )
        self.sending = SendingStates(driver, self.interfaces.served, tell)
        self.handshakes = HandshakeWatch(driver, tell, partial(subjects.member, self.index))
        self.next_hops = NextHops(network, self._path_mtus, self.interfaces.served)
        self.conflicts = MemberConflicts(
            network.neighbour, self._conflicts_changed, lambda vip: self.vips.conflict_again(vip), self._placed.macs
        )
        self.members = MemberStates(
            network,
            self.index,
            self.interfaces,
            self.paths,
            self._path_mtus,
            self.next_hops,
            self.sending,
            self.handshakes,
            self.conflicts,
            self.changes,
            self._member_changed,
            tell,
            self.clock.now,
        )
        self.pools = Pools(driver, self.index, self.members.of, self.members.ups, self.members.is_known, self.clock.now)
        self._first_use = FirstUse(record, self.conflicts.others, self._vip_answered, tell, self._placed.macs)
        self.vips = VipOwner(
            driver,
            self.index,
            self.pools.is_up,
            announcers,
            tell,
            self._taken,
            self._first_use,
            self.interfaces.attach,
            lambda: self.bgp is not None,
            self._placed,
            self.pools.is_settled,
        )
        self._housekeeping = Housekeeping(
            network,
            self.index,
            self.pools.values,
            self.paths,
            self._path_mtus,
            self.next_hops.by_route,
            self.interfaces.served,
        )

    @property
    def services(self) -> Mapping[str, plan.Service]:
        """The services that this engine forwards, by their keys in the plan."""
        return self.index.services

    @property
    def planned(self) -> Collection[plan.Service]:
        """The services of all engines."""
        return self._planned.values()

    @property
    def version(self) -> int:
        """The version of the plan that it has applied."""
        return self.mark.version

    @property
    def group(self) -> str:
        """The service engine group this engine belongs to."""
        return self.common.engines.get(self.name, "Default-Group")

    @property
    def bgp(self) -> plan.Bgp | None:
        """The routers that are told of VIPs by BGP; None: BGP is not used."""
        return self.common.bgp.get(self.group)

    async def start(self, first: plan.Plan) -> None:
        """Take the interfaces, adopt what runs already, put the whole plan. Raises DriverError, NetworkError."""
        for owner in (*self.driver.kept(self.kernel.waker()), self.paths, self._settings):
            self.kernel.add(owner)
        self._settings.hear(self.kernel.wake)
        await self.paths.clean()
        self._follow_interfaces(required=True)
        self.sending.look()  # before a VIP is announced
        adopted = self.driver.adopted()
        self.pools.adopt(adopted)
        self.members.adopt(adopted)
        self.apply(first)
        self._first_use.start(self.index.vips, {key.vip for key in adopted.services}.intersection(self.index.vips))
        self.members.adopted()
        await self.network.refresh_routes()
        self.refresh()
        self.driver.prune()
        self.pools.adopt(NOTHING_FOUND)

    async def run(self) -> None:
        """Put every change into the driver, for ever."""
        helpers = [
            tasks.forever(job)
            for job in (
                self._housekeeping.resolve(),
                self._advance_for_ever(),
                self._housekeeping.measure(),
                self.members.run(),
                self.kernel.watch(),
                self.handshakes.run(),
            )
        ]
        try:
            while True:
                await self._dirty.wait()
                began = time.monotonic()
                self.refresh(SLICE)
                while self._dirty:
                    await asyncio.sleep(0)
                    self.refresh(SLICE)
                # Thousands of servers heard of in a second are not as many refreshes: probes keep their times.
                await asyncio.sleep(min(REFRESH_REST, REFRESH_SHARE * (time.monotonic() - began)))
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def close(self, *, keep: bool) -> None:
        """End the engine. keep: the kernel forwards on by itself."""
        await self.members.close()
        self._path_mtus.close()
        self.pools.close()
        await self.vips.close()
        await self.conflicts.close()
        await self.paths.close()
        self._settings.close(keep=keep)
        self.driver.close(keep=keep)

    def apply(self, change: plan.Plan) -> None:
        """Take over changes of the plan. `refresh` puts them into the driver."""
        changed = self._replacing(change) if change.whole else change.services
        group, spoke, keys = self.group, self.bgp, set(changed)
        self.damage.note(change, changed, self._planned)
        if change.common is not None:
            self.common = change.common
        for key, service in changed.items():
            if service is None:
                self._planned.pop(key, None)
            else:
                self._planned[key] = translate.timed(service, self.clock.of_wall)
        if self.group != group:
            keys |= self._planned.keys()
        if (spoke is None) != (self.bgp is None):
            self._dirty.mark_vips(self.index.vips)
        touched = [service for key in sorted(keys) for service in self._take(key)]
        pools = {service.pool_uuid for service in touched}
        self._dirty.mark_pools(pools)
        self._dirty.mark_vips(socket.inet_aton(service.vip) for service in touched)
        self.mark = change.mark
        if any(service.mode != plan.L2 for service in touched):
            self._follow_tunnels()
        self.members.follow_checks(pools)
        former = [service for service in touched if self.services.get(service.key) is not service]
        for server in {socket.inet_aton(server.address) for service in former for server in service.servers}:
            if not self.index.behind(server):
                self.paths.shut(server)
        self.conflicts.follow(self.services.values(), self.interfaces.served())
        self.members.follow_reachability(pools)
        self.pools.follow(pools)

    def _replacing(self, change: plan.Plan) -> Mapping[str, plan.Service | None]:
        """A whole plan as changes of what is known: what it does not name is gone, except where it cannot be read."""
        if self.mark.version >= 0 and self.mark != change.mark:
            text = "the store is another one, or went back: its whole plan is taken over"
            self.events.tell(kinds.CONFIGURATION_REPLACED, THIS_ENGINE, text)
        gone = dict.fromkeys(self._planned.keys() - change.services.keys() - change.damaged.keys())
        self.damage.gone(change)
        return {**gone, **change.services}

    def _take(self, key: str) -> list[plan.Service]:
        """Take one service of the plan over. Returns what it was and what it is, as far as it is this engine's."""
        planned, before = self._planned.get(key), self.services.get(key)
        service = planned if planned is not None and planned.group == self.group else None
        if before is service:
            return []
        self.index.replace(key, service)
        if service is None:
            self.changes.forget_service(key)
        self._dirty.mark_service(key)
        return [one for one in (before, service) if one is not None]

    def network_changed(self) -> None:
        """Links, addresses or neighbours changed, so next hops may have changed."""
        moved = self.network.moved()
        if self.paths.note(self.network.lost_probe_routes()):
            self.kernel.wake()
        if self._layout != self.network.layout:
            self._layout = self.network.layout
            self.paths.forget_routes()
            self.members.health.forget_routes()
            self._dirty.mark_pools(self.index.pools)
        else:  # neighbours alone change no route, and the next hops of few
            for neighbour in moved:
                self._next_hop_changed(neighbour)
        self.conflicts.match()
        self._dirty.mark_vips(self.vips.look_again())
        self._dirty.wake()

    def shares_changed(self, vips: Iterable[bytes]) -> None:
        """The engine's share in some VIPs changed."""
        self._dirty.mark_vips(vip for vip in vips if vip in self.index.vips)
        self._dirty.wake()

    def others_changed(self) -> None:
        """Other engines came or went, or their addresses changed."""
        self.interfaces.put_addresses()
        self.conflicts.engines_changed()

    def put_anew(self, pools: Iterable[str]) -> None:
        """These pools began anew. Put them at once."""
        self._dirty.mark_pools(pools)
        self.refresh()

    def _path_mtu_changed(self) -> None:
        """Routers reported what fits into a tunnel."""
        self._dirty.mark_pools(service.pool_uuid for service in self.services.values() if service.mode != plan.L2)

    def _next_hop_changed(self, neighbour: bytes) -> None:
        """Another MAC address: of a server, or of the router in front of some."""
        for server in (neighbour, *self.network.routed_through(neighbour)):
            self._dirty.mark_pools(self.index.behind(server))

    def refresh(self, seconds: float = math.inf) -> None:
        """Put what is dirty into the driver: pools, services, VIPs; what goes, in reverse order. seconds: what takes
        longer than that is left to the next time, but for a change of the plan, which is put as a whole."""
        try:
            self._follow_interfaces(required=False)
        except DriverError as exc:
            self.events.tell(kinds.INTERFACE_REFUSED, THIS_ENGINE, f"interface not served: {exc}")
        self.vips.follow(self.interfaces.served(), self.network.is_up)
        self.members.follow_layout()
        dirty, services, vips = self._dirty.take()
        there = [uuid for uuid in dirty if uuid in self.index.pools]
        put = self.pools.put(there, time.monotonic() + (math.inf if services else seconds))
        self._dirty.mark_pools(there[len(put) :])
        vips.update(socket.inet_aton(service.vip) for uuid in put for service in self.index.of_pool(uuid))
        self._put_services(sorted(services.union(self.pools.moved())))
        self.vips.put(sorted(vips))
        self.changes.put(put, self.pools)
        self.pools.sweep()
        for uuid in dirty.keys() - self.index.pools:
            self.pools.remove(uuid)

    async def _advance_for_ever(self) -> None:
        """Has pools moved on as time passes; has VIPs announced again; asks the driver for its faults. Raises
        DriverError when it forwards no more."""
        while True:
            await asyncio.sleep(ADVANCE_EVERY)
            for fault in self.driver.faults():
                self.events.tell(kinds.DRIVER_FAULT, THIS_ENGINE, fault)
            if self.sending.look():
                self._dirty.mark_pools(self.index.pools)
                self.members.sending_changed()
            lingering = await asyncio.to_thread(self.flow_memory.lingering, self.pools.moving())
            self._dirty.mark_pools(self.pools.advance(lingering))
            self.vips.announce_again(self.common.announcing.get(self.group, 0.0), time.monotonic())

    def _put_services(self, keys: Iterable[str]) -> None:
        wanted = {}
        for key in keys:
            service = self.services.get(key)
            if service is not None and service.enabled:
                wanted[key] = translate.service(service, self.pools.name(service))
            elif key in self._put:
                self.driver.remove_service(self._put.pop(key).key)
        for key, value in wanted.items():
            if self._put.get(key) != value:
                self.driver.put_service(value)
                self._put[key] = value

    def _follow_interfaces(self, *, required: bool) -> None:
        if self.interfaces.follow(required=required):
            self._dirty.mark_vips(self.vips.look_again())
            self._follow_tunnels()
            self.conflicts.follow(self.services.values(), self.interfaces.served())

    def _follow_tunnels(self) -> None:
        far = self.index.tunnelled()
        self.network.follow(far)
        self._path_mtus.follow(self.network.own_addresses(), far)

    def _member_changed(self, pool: str, vip: bytes, server: bytes, up: bool) -> None:
        if not self.pools.has(pool, vip, server, up):  # else it is only why that changed
            self._dirty.mark_pools((pool,))

    def _vip_answered(self, vip: bytes) -> None:
        """It is known whether a new VIP may be announced."""
        self._dirty.mark_vips((vip,))
        self._dirty.wake()

    def _taken(self, vip: bytes) -> str:
        return "it is a next hop of this host's own routes" if vip in self.network.gateways else ""

    def _conflicts_changed(self, vip: bytes, members: Collection[memberconflicts.Key]) -> None:
        self.members.members_changed(members)
        self.vips.conflicts_changed(vip, self.conflicts.strangers(vip), by_members=bool(members))
