"""The service engine: joins plan, health, network and driver.

Everything that changes marks what it touches; one `refresh` then puts the new values in the order that never shows half
a change: pools, services, VIPs; what goes, the other way round.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence

from dataplane import plan
from dataplane.diagnosis import findings
from dataplane.diagnosis.blackhole import BlackholeDetector
from dataplane.diagnosis.examiner import Examiner
from dataplane.engine.housekeeping import Housekeeping
from dataplane.engine.pools import Pools
from dataplane.errors import DriverError
from dataplane.forwarding import rewrite, translate, values
from dataplane.forwarding.driver import Driver
from dataplane.forwarding.values import Interface
from dataplane.health.checker import HealthChecker, LookResult
from dataplane.health.probepaths import ProbePaths
from dataplane.health.proberouting import ProbeRouting
from dataplane.health.probes.check import Check
from dataplane.health.probes.factory import ProbeFactory
from dataplane.health.requirements import Requirements
from dataplane.network.nexthops import NextHops
from dataplane.network.pathmtu import PathMtus
from dataplane.network.reachability import FULL, NO_FAULT, Fault, Reachability, no_room
from dataplane.network.state import Network
from dataplane.plan.index import Members, ServiceIndex
from dataplane.runtime import tasks
from dataplane.runtime.eventlog import Events
from dataplane.vip import memberconflicts
from dataplane.vip.announcer import Announcer
from dataplane.vip.memberconflicts import MemberConflicts
from dataplane.vip.owner import VipOwner

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
    ) -> None:
        self.name = name
        self.driver = driver
        self.network = network
        self.version = -1
        self.common = plan.Common()
        self.events = Events()
        self._index = ServiceIndex()
        self._planned: dict[str, plan.Service] = {}
        self._names = tuple(interfaces)
        self._interfaces: dict[str, Interface] = {}
        self.pools = Pools(driver, self._index, self.members, self.is_known)
        self._put: dict[str, values.Service] = {}
        self.vips = VipOwner(driver, self._index, self.pools.is_up, announcers, self.events.add)
        self._requirements = Requirements()
        self._told: dict[str, dict[bytes, str]] = {}
        self._believed: Mapping[str, Mapping[bytes, bool]] = {}
        self._reachability = Reachability(network, self._names)
        self._looked_at = -1
        self._dirty: dict[str, None] = {}
        self._dirty_services: set[str] = set()
        self._dirty_vips: set[bytes] = set()
        self._layout = network.layout
        self._wake = asyncio.Event()
        self.conflicts = MemberConflicts(network.neighbour, self._conflicts_changed, self.vips.claimed_again)
        self._paths = ProbePaths(network.netlink)
        self._path_mtus = PathMtus(self._path_mtu_changed)
        self._probes = ProbeFactory()
        self.next_hops = NextHops(network, self._path_mtus, self.interfaces)
        probe_routing = ProbeRouting(
            network, self._reachability, self._paths, self._path_mtus, self.next_hops, self.interfaces
        )
        self.examiner = Examiner(
            network, self.conflicts.watch, self._probes, self._path_mtus, probe_routing.open, self.interfaces
        )
        self._health = HealthChecker(
            probe_routing.open, self._probes.probe, self._look, self._check_changed, probe_routing.explain
        )
        self._housekeeping = Housekeeping(
            network,
            self._index,
            self.pools.values,
            self._paths,
            self._path_mtus,
            self.next_hops.by_route,
            self.interfaces,
        )
        self._blackholes = BlackholeDetector(
            self.examiner, self._health.passing, self._check_changed, self._fits_in_tunnel
        )

    @property
    def services(self) -> Mapping[str, plan.Service]:
        """The services that this engine forwards, by their keys in the plan."""
        return self._index.services

    @property
    def group(self) -> str:
        """The service engine group this engine belongs to."""
        return self.common.engines.get(self.name, "Default-Group")

    async def start(self, first: plan.Plan) -> None:
        """Take the interfaces, adopt what runs already, put the whole plan. Raises DriverError, NetworkError."""
        await self._paths.clean()
        self._follow_interfaces(required=True)
        adopted = self.driver.adopted()
        self.pools.adopt(adopted)
        self._believed = {u: {t.address: t.up for t in found.targets} for u, found in adopted.items()}
        self.apply(first)
        self._looked_at = self.network.layout  # all servers of the plan were just looked at
        await self.network.refresh_routes()
        self.refresh()
        self.driver.prune()
        self.pools.adopt({})
        self._believed = {}

    async def run(self) -> None:
        """Put into the driver whatever changes, for ever."""
        helpers = [
            tasks.forever(job)
            for job in (
                self._housekeeping.resolve(),
                self._advance_for_ever(),
                self._housekeeping.measure(),
                self._blackholes.run(),
            )
        ]
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
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
        """End. keep: what the kernel forwards by itself goes on."""
        await self._health.close()
        self._probes.close()
        self.examiner.close()
        self._path_mtus.close()
        self.pools.close()
        await self.vips.close()
        await self.conflicts.close()
        await self._paths.close()
        self.driver.close(keep=keep)

    def apply(self, change: plan.Plan) -> None:
        """Take over what changed in the plan; `refresh` puts it."""
        group, keys = self.group, set(change.services)
        if change.common is not None:
            self.common = change.common
        for key, service in change.services.items():
            if service is None:
                self._planned.pop(key, None)
            else:
                self._planned[key] = service
        if self.group != group:
            keys |= self._planned.keys()
        touched = [service for key in sorted(keys) for service in self._take(key)]
        pools = {service.pool_uuid for service in touched}
        self._mark(pools)
        self._dirty_vips.update(socket.inet_aton(service.vip) for service in touched)
        self.version = change.version
        if any(service.mode != plan.L2 for service in touched):
            self._follow_tunnels()
        self._follow_checks(pools)
        former = [service for service in touched if self.services.get(service.key) is not service]
        for server in {socket.inet_aton(server.address) for service in former for server in service.servers}:
            if not self._index.behind(server):
                self._paths.shut(server)
        self.conflicts.follow(self.services.values(), self._interfaces.values())
        self._follow_reachability(pools)
        self.pools.follow(pools)

    def _take(self, key: str) -> list[plan.Service]:
        """Take one service of the plan over. Returns what it was and what it is, as far as it is this engine's."""
        planned, before = self._planned.get(key), self.services.get(key)
        service = planned if planned is not None and planned.group == self.group else None
        if before is service:
            return []
        self._index.replace(key, service)
        self._dirty_services.add(key)
        return [one for one in (before, service) if one is not None]

    def network_changed(self) -> None:
        """Links, addresses or neighbours changed: next hops may have."""
        moved = self.network.moved()
        if self._paths.mend(self.network.lost_probe_routes()):
            self._health.doubt()
        if self._layout != self.network.layout:
            self._layout = self.network.layout
            self._paths.doubt()
            self._health.doubt()
            self._mark(self.pools.values)
        else:  # neighbours alone change no way, and the next hops of few
            for neighbour in moved:
                self._hop_changed(neighbour)
        self.conflicts.match()
        self._wake.set()

    def _fits_in_tunnel(self, check: Check, size: int) -> None:
        self._path_mtus.learn(check.server, size + rewrite.overhead(check.mode) if size else 0)

    def _path_mtu_changed(self) -> None:
        """Routers reported what fits into a tunnel."""
        self._mark(uuid for uuid, pool in self.pools.values.items() if pool.mode != plan.L2)

    def _mark(self, pools: Iterable[str]) -> None:
        """These pools are to be put anew."""
        self._dirty.update(dict.fromkeys(pools))
        if self._dirty:
            self._wake.set()

    def _hop_changed(self, neighbour: bytes) -> None:
        """Another MAC address: of a server, or of the router in front of some."""
        for server in (neighbour, *self.network.routed_through(neighbour)):
            self._mark(self._index.behind(server))

    def refresh(self, seconds: float = math.inf) -> None:
        """Put what is dirty into the driver: pools, services, VIPs; what goes, the other way round. seconds: what takes
        longer than that is left to the next time, but for a change of the plan, which is put as a whole."""
        try:
            self._follow_interfaces(required=False)
        except DriverError as exc:
            self.events.add(f"interface not served: {exc}")
        self.vips.follow(self._interfaces.values(), self.network.is_up)
        if self._looked_at != self.network.layout:
            self._looked_at = self.network.layout
            self._follow_reachability(self._index.pools)
        dirty, self._dirty = self._dirty, {}
        keys, self._dirty_services = self._dirty_services, set()
        vips, self._dirty_vips = self._dirty_vips, set()
        there = [uuid for uuid in dirty if uuid in self._index.pools]
        put = self.pools.put(there, time.monotonic() + (math.inf if keys else seconds))
        self._mark(there[len(put) :])
        vips.update(socket.inet_aton(service.vip) for uuid in put for service in self._index.of_pool(uuid))
        self._put_services(sorted(keys))
        self.vips.put(sorted(vips))
        for uuid in dirty.keys() - self._index.pools:
            self.pools.remove(uuid)

    def members(self, service: plan.Service) -> tuple[translate.PoolMember, ...]:
        """The members of a service's pool with their states."""
        uuid, listed = service.pool_uuid, self._index.members(service.pool_uuid)
        ups: Iterable[bool] = [True] * len(listed.addresses)
        if not self._reachability.sound:
            ups = (self._is_up(uuid, server) for server in listed.addresses)
        elif self._requirements.servers(uuid):
            ups = (self._passes(uuid, server) for server in listed.addresses)
        return translate.joined(service, listed, ups, self.next_hops.of(listed.addresses, service.mode), time.time())

    def listed(self, pool: str) -> Members:
        """A pool's servers, in the order of `members`."""
        return self._index.members(pool)

    def member(self, service: plan.Service, server: plan.Server, address: bytes, now: float) -> translate.PoolMember:
        """One of them; address: the server's."""
        (hop,) = self.next_hops.of((address,), service.mode)
        return translate.member(service, server, address, self._is_up(service.pool_uuid, address), hop, now)

    def interfaces(self) -> Iterable[Interface]:
        """The interfaces that are served."""
        return self._interfaces.values()

    def checks(self, pool: str, server: bytes) -> tuple[Check, ...]:
        """A server's checks."""
        return tuple(dict.fromkeys(check for mine in self._requirements.of(pool, server) for check in mine.checks))

    def why(self, pool: str, server: bytes) -> str:
        """Why a pool member is not up; of one that is, what an operator must know."""
        if fault := self.fault(pool, server).reason:
            return fault
        claims = sorted(map(memberconflicts.words, self.conflicts.of(pool, server)))
        checks = self.checks(pool, server)
        sizes = sorted({self._blackholes.words(server, check.vip, check.mode) for check in checks})
        return "; ".join(filter(None, (*claims, *sizes, self.reasons(checks))))

    def member_state(self, pool: str, server: bytes) -> tuple[str, str]:
        """A pool member's state (up, down, unknown) and why."""
        known = self._is_up(pool, server) or self.is_known(pool, server)
        return ("up" if self._is_up(pool, server) else "down" if known else "unknown"), self.why(pool, server)

    def reasons(self, checks: Iterable[Check]) -> str:
        """Why those of some checks that do not pass do not."""
        return "; ".join(sorted({self._health.reason(c) for c in checks if not self._health.state(c).up}))

    @property
    def health(self) -> HealthChecker:
        """The checks' states."""
        return self._health

    def fault(self, pool: str, server: bytes) -> Fault:
        """Why a member cannot be reached at all."""
        service = next(iter(self._index.of_pool(pool)), None)
        return NO_FAULT if service is None else self._reachability.fault(server, service.mode)

    def remedy(self, pool: str, server: bytes) -> str:
        """The command that mends what keeps a member from being reached; "" where there is none."""
        if any(self._health.reason(check) == FULL for check in self.checks(pool, server)):
            return no_room().remedy
        return self.fault(pool, server).remedy

    async def _advance_for_ever(self) -> None:
        """Has pools moved on as time passes; has VIPs announced again; asks the driver for its faults. Raises
        DriverError when it forwards no more."""
        while True:
            await asyncio.sleep(ADVANCE_EVERY)
            for fault in self.driver.faults():
                self.events.add(fault)
            moving = self.pools.moving()
            self._mark(self.pools.advance(await asyncio.to_thread(self.driver.lingering, moving) if moving else {}))
            self.vips.announce_again(self.common.announcing.get(self.group, 0.0), time.monotonic())

    def _put_services(self, keys: Iterable[str]) -> None:
        wanted = {}
        for key in keys:
            service = self.services.get(key)
            if service is not None and service.enabled:
                wanted[key] = translate.service(service)
            elif key in self._put:
                self.driver.remove_service(self._put.pop(key).key)
        for key, value in wanted.items():
            if self._put.get(key) != value:
                self.driver.put_service(value)
                self._put[key] = value

    def _follow_interfaces(self, *, required: bool) -> None:
        found = {}
        for name in self._names:
            interface = self.network.interface(name)
            if interface is None and required:
                self.network.link(name)  # raises, naming the interfaces that exist
            if interface is not None:
                found[name] = interface
        if found == self._interfaces:
            return
        for name, old in list(self._interfaces.items()):
            if name not in found or found[name].index != old.index:
                self.driver.remove_interface(old.index)
                del self._interfaces[name]
                self.events.add(f"interface {name} is gone")
        for name, interface in found.items():
            if self._interfaces.get(name) != interface:
                try:
                    self._paths.prepare(interface)
                except FileNotFoundError:  # it vanished since; the event that tells is on its way
                    continue
                self.driver.put_interface(interface)
                self._interfaces[name] = interface
        self.driver.put_addresses(self.network.own_addresses())
        self._follow_tunnels()
        self.conflicts.follow(self.services.values(), self._interfaces.values())

    def _follow_tunnels(self) -> None:
        far = {
            socket.inet_aton(server.address)
            for service in self.services.values()
            if service.mode != plan.L2
            for server in service.servers
        }
        self.network.follow(far)
        self._path_mtus.follow(self.network.own_addresses(), far)

    def _follow_checks(self, pools: Iterable[str]) -> None:
        new: dict[Check, bool | None] = {}
        gone: dict[Check, None] = {}
        for uuid in pools:
            change = self._requirements.follow(uuid, self._index.of_pool(uuid))
            new |= dict.fromkeys(change.new)
            gone |= dict.fromkeys(change.gone)
            required, told = self._requirements.servers(uuid), self._told.pop(uuid, {})
            if told := {server: text for server, text in told.items() if server in required}:
                self._told[uuid] = told
        kept = new.keys() & gone.keys()  # one pool gave up what another took on
        for check in new if self._believed else ():
            users = self._requirements.users(check)
            new[check] = any(self._believed.get(user, {}).get(check.server) for user in users) or None
        self._health.follow(new, [check for check in gone if check not in kept])

    def _is_up(self, pool: str, server: bytes) -> bool:
        if self.fault(pool, server).reason:
            return False
        return self._passes(pool, server)

    def _passes(self, pool: str, server: bytes) -> bool:
        """Whether a server that can be reached is up."""
        checks = self._requirements.of(pool, server)
        return self._health.up(checks) and not (checks and self.conflicts.answers(pool, server))

    def is_known(self, pool: str, server: bytes) -> bool:
        """Whether it is known if a server passes what is demanded of it."""
        return bool(self.fault(pool, server).reason) or self._health.known(self._requirements.of(pool, server))

    def _check_changed(self, check: Check) -> None:
        self._members_changed((pool, check.server) for pool in self._requirements.users(check))

    def _members_changed(self, members: Iterable[tuple[str, bytes]]) -> None:
        """What is known of these servers of pools changed."""
        for uuid, server in members:
            if server not in self._requirements.servers(uuid):
                continue
            up = self._is_up(uuid, server)
            if not self.pools.has(uuid, server, up):  # else it is only why that changed
                self._mark((uuid,))
            told = "up" if up else f"down: {self.why(uuid, server)}"
            if self._told.setdefault(uuid, {}).get(server) != told:
                self._told[uuid][server] = told
                self.events.add(f"{self._named(uuid, server)} is {told}")
        self._wake.set()

    def _named(self, pool: str, server: bytes) -> str:
        """A pool member, for an event."""
        address, (servers, addresses) = socket.inet_ntoa(server), self._index.members(pool)
        at = bisect_left(addresses, server)
        port = f":{servers[at].port}" if addresses[at : at + 1] == (server,) else ""  # it may be leaving
        name = next((service.pool for service in self._index.of_pool(pool)), pool)
        return f"server {address}{port} of pool {name}"

    def _conflicts_changed(self, vip: bytes, members: Collection[memberconflicts.Key]) -> None:
        self._members_changed(members)
        self.vips.claimed(vip, self.conflicts.strangers(vip), by_members=bool(members))

    def _follow_reachability(self, pools: Iterable[str]) -> None:
        """See which members of these pools can be reached: those that cannot lose their slots at once."""
        modes = {uuid: service.mode for uuid in pools for service in self._index.of_pool(uuid)}
        members = [(mode, self._index.members(uuid).addresses) for uuid, mode in modes.items()]
        changed = self._reachability.follow(members, self._interfaces, self._index.reaches)
        if changed:
            self._members_changed(
                (uuid, server)
                for uuid, (mode, servers) in zip(modes, members, strict=True)
                for server in servers
                if (server, mode) in changed
            )
            self._health.hasten(
                {server for server, mode in changed if not self._reachability.fault(server, mode).reason}
            )

    async def _look(self, check: Check) -> LookResult:
        """Look at a server whose VIP is silent."""
        facts = await self.examiner.glance(check)
        return LookResult(facts.reached, findings.cause(facts))
