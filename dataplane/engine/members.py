"""What an engine knows of pool members: whether each can be reached, whether it passes its checks, and why not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from itertools import islice
from typing import NamedTuple

from dataplane import plan
from dataplane.diagnosis import findings
from dataplane.diagnosis.blackhole import BlackholeDetector
from dataplane.diagnosis.examiner import Examiner
from dataplane.engine import operstate, subjects
from dataplane.engine.handshakewatch import HandshakeWatch
from dataplane.engine.interfaces import ServedInterfaces
from dataplane.engine.sending import SendingStates
from dataplane.engine.statechanges import StateChanges
from dataplane.events import kinds
from dataplane.events.model import Tell
from dataplane.forwarding import rewrite, translate
from dataplane.forwarding.driver import Found
from dataplane.forwarding.translate import NextHop
from dataplane.health.checker import HealthChecker, LookResult
from dataplane.health.checkstate import CheckState
from dataplane.health.probepaths import ProbePaths
from dataplane.health.proberouting import ProbeRouting
from dataplane.health.probes.check import Check
from dataplane.health.probes.factory import ProbeFactory
from dataplane.health.requirements import Requirement, Requirements
from dataplane.network.nexthops import NextHops
from dataplane.network.ownhost import OwnHost
from dataplane.network.pathmtu import PathMtus
from dataplane.network.reachability import NO_FAULT, Fault, Reachability
from dataplane.network.state import Network
from dataplane.plan.index import ServiceIndex
from dataplane.vip import memberconflicts
from dataplane.vip.memberconflicts import MemberConflicts


class Look(NamedTuple):
    """What is known of a pool's member, for a VIP or as such, all of it found at once: a report is about thousands."""

    fault: Fault  # why it cannot be reached at all
    checks: Mapping[Check, CheckState]
    up: bool
    known: bool  # whether it is up
    down_for: Sequence[bytes]  # VIPs, where it is up for others
    why: str  # it is not up, and what else an operator must know


class MemberStates:
    """Made and used on the engine's loop.

    A server is up or down for each VIP by itself; the state of the server as such is the best of them, and its reason
    names the VIPs for which it is not.

    changed: gets a pool, a VIP, a server of the pool and whether that is up for the VIP, where something of it may be
    new; tell: hears of events; now: what time it is, on the clock of the plan's times.
    """

    def __init__(
        self,
        network: Network,
        index: ServiceIndex,
        interfaces: ServedInterfaces,
        paths: ProbePaths,
        path_mtus: PathMtus,
        next_hops: NextHops,
        sending: SendingStates,
        handshakes: HandshakeWatch,
        conflicts: MemberConflicts,
        changes: StateChanges,
        changed: Callable[[str, bytes, bytes, bool], None],
        tell: Tell,
        now: Callable[[], float],
    ) -> None:
        self._now = now
        self._network, self._index, self._interfaces = network, index, interfaces
        self._path_mtus, self._next_hops, self._conflicts = path_mtus, next_hops, conflicts
        self._sending, self._handshakes = sending, handshakes
        self._changes, self._changed, self._tell = changes, changed, tell
        self._requirements = Requirements()
        self._told: dict[str, dict[bytes, str]] = {}
        self._believed: Mapping[tuple[str, bytes], Mapping[bytes, bool]] = {}
        self._looked_at = -1
        self._reachability = Reachability(network, interfaces.names)
        self._probes = ProbeFactory()
        self._own_host = OwnHost()
        routing = ProbeRouting(
            network, self._reachability, paths, path_mtus, next_hops, self._own_host, interfaces.served
        )
        self.examiner = Examiner(
            network,
            conflicts.watch,
            self._probes,
            path_mtus,
            routing.open,
            interfaces.served,
            next_hops.silent,
            self._own_host,
        )
        self.health = HealthChecker(routing.open, self._probes.probe, self._look, self.check_changed, routing.explain)
        self._blackholes = BlackholeDetector(
            self.examiner, self.health.passing, self.check_changed, self._fits_in_tunnel
        )

    async def run(self) -> None:
        """Look for paths that lose full-size packets, for ever."""
        await self._blackholes.run()

    async def close(self) -> None:
        """End all checks and examinations."""
        await self.health.close()
        self._probes.close()
        self.examiner.close()
        self._own_host.close()

    def adopt(self, found: Found) -> None:
        """Believe what a driver was found to run: a new check has that state until `adopted` is called."""
        states = {name: {t.address: t.up for t in pool.targets} for name, pool in found.pools.items()}
        self._believed = {which: states[name] for which, name in found.names().items()}

    def adopted(self) -> None:
        """The whole plan was taken over, and all its servers were just looked at."""
        self._believed = {}
        self._looked_at = self._network.layout

    def of(self, service: plan.Service) -> tuple[translate.PoolMember, ...]:
        """The members of a service's pool with their states for its VIP."""
        listed = self._index.members(service.pool_uuid)
        next_hops = self._next_hops.of(listed.addresses, service.mode)
        return translate.joined(service, listed, self._ups(service), next_hops, self._now())

    def ups(self, service: plan.Service) -> tuple[bool, ...]:
        """Which members of a service's pool are up for its VIP, by address."""
        return tuple(self._ups(service))

    def _ups(self, service: plan.Service) -> Iterable[bool]:
        uuid, servers = service.pool_uuid, self._index.members(service.pool_uuid).addresses
        vip = socket.inet_aton(service.vip)
        if not (self._reachability.sound and self._sending.sound):
            return (self.is_up(uuid, server, vip) for server in servers)
        if self._requirements.servers(uuid):
            return (self._passes(uuid, server, vip) for server in servers)
        return [True] * len(servers)

    def next_hops(self, service: plan.Service, addresses: Sequence[bytes]) -> list[NextHop]:
        """The next hops of a service's servers."""
        return self._next_hops.of(addresses, service.mode)

    def look(self, pool: str, server: bytes, vip: bytes | None = None) -> Look:
        """A pool member as it is now: for a VIP, or as such."""
        fault, required = self.fault(pool, server), self._requirements.of(pool, server, vip)
        checks = {check: self.health.state(check) for mine in required for check in mine.checks}
        down_for: Sequence[bytes] = ()
        if vip is None and len(self._requirements.vips(pool)) > 1:
            up, known, down_for = self.is_up(pool, server), self.is_known(pool, server), self.down_for(pool, server)
        else:
            verdicts = [mine.verdict([checks[check].up for check in mine.checks]) for mine in required]
            known = False in verdicts or None not in verdicts or bool(fault.reason)
            up = not fault.reason and self._accepted(all(verdicts), pool, server, vip, required)
        return Look(fault, checks, up, known, down_for, self._why(pool, server, vip, fault, checks, down_for))

    def checks(self, pool: str, server: bytes, vip: bytes | None = None) -> tuple[Check, ...]:
        """A server's checks: for a VIP, or for all."""
        return tuple(dict.fromkeys(check for mine in self._requirements.of(pool, server, vip) for check in mine.checks))

    def state(self, pool: str, server: bytes, vip: bytes) -> tuple[str, str]:
        """A pool member's state (up, down, unknown) for a VIP, and why."""
        up = self.is_up(pool, server, vip)
        known = up or self.is_known(pool, server, vip)
        return ("up" if up else "down" if known else "unknown"), self.why(pool, server, vip)

    def is_up(self, pool: str, server: bytes, vip: bytes | None = None) -> bool:
        """Whether a pool member is up: for a VIP, or for any."""
        if self.fault(pool, server).reason:
            return False
        if vip is None and len(vips := self._requirements.vips(pool)) > 1:
            return any(self._passes(pool, server, one) for one in vips)
        return self._passes(pool, server, vip)

    def is_known(self, pool: str, server: bytes, vip: bytes | None = None) -> bool:
        """Whether it is known if a server passes what is required of it: for a VIP, or for any."""
        if vip is None and len(vips := self._requirements.vips(pool)) > 1:
            known = any(self.health.known(self._requirements.of(pool, server, one)) for one in vips)
        else:
            known = self.health.known(self._requirements.of(pool, server, vip))
        return known or bool(self.fault(pool, server).reason)

    def down_for(self, pool: str, server: bytes) -> Sequence[bytes]:
        """The VIPs for which a pool member is down while it is up for others. Empty if it is up for none."""
        vips = self._requirements.vips(pool)
        if len(vips) < 2 or not self.is_up(pool, server):
            return ()
        down = (vip for vip in vips if not self.is_up(pool, server, vip))
        return sorted(vip for vip in down if self.is_known(pool, server, vip))

    def why(self, pool: str, server: bytes, vip: bytes | None = None) -> str:
        """Why a pool member is not up. Of one that is up: what an operator must know. Reasons of a server as a whole
        name the VIPs they are about, unless they are about all."""
        checks = {check: self.health.state(check) for check in self.checks(pool, server, vip)}
        down_for = self.down_for(pool, server) if vip is None else ()
        return self._why(pool, server, vip, self.fault(pool, server), checks, down_for)

    def _why(
        self,
        pool: str,
        server: bytes,
        vip: bytes | None,
        fault: Fault,
        checks: Mapping[Check, CheckState],
        down: Sequence[bytes],
    ) -> str:
        if fault.reason:
            return fault.reason
        lossy = ""
        if self._sending.losing():
            lossy = next((self._sending.words(self._egress(s.mode, server)) for s in self._index.of_pool(pool)), "")
        its = (one for one in self._conflicts.of(pool, server) if vip in (None, one.vip))
        conflicts = sorted(map(memberconflicts.words, its))
        sizes = sorted({self._blackholes.words(server, check.vip, check.mode) for check in checks})
        failing: dict[str, set[bytes]] = {}
        for check, state in checks.items():
            if not state.up:
                failing.setdefault(self.health.reason(check), set()).add(check.vip)
        vips = {check.vip for check in checks}
        reasons = sorted(_about(reason, of, vips, down) for reason, of in failing.items())
        unheard = self._handshakes.words(pool, server)
        return "; ".join(filter(None, (lossy, *conflicts, *sizes, "; ".join(reasons), unheard)))

    def failed_checks(self, pool: str, server: bytes) -> tuple[int, dict[str, int]]:
        """How many probes of a server failed since its checks began: in total, and by monitor name."""
        names = [monitor.name for service in islice(self._index.of_pool(pool), 1) for monitor in service.monitors]
        failed = {check: self.health.state(check).failures for check in self.checks(pool, server)}
        if not any(failed.values()):
            return 0, dict.fromkeys(names, 0)
        of_monitor: dict[str, dict[Check, None]] = {name: {} for name in names}
        for requirement in self._requirements.of(pool, server):
            for name, check in zip(names, requirement.checks, strict=False):
                of_monitor[name][check] = None
        return sum(failed.values()), {name: sum(failed[c] for c in checks) for name, checks in of_monitor.items()}

    def fault(self, pool: str, server: bytes) -> Fault:
        """Why a member cannot be reached at all."""
        service = next(iter(self._index.of_pool(pool)), None)
        if service is None:
            return NO_FAULT
        fault = self._reachability.fault(server, service.mode)
        if not fault.reason and not self._sending.sound:
            sending = self._sending.of(self._egress(service.mode, server))
            return Fault(sending.fault, sending.remedy)
        return fault

    def remedy(self, look: Look) -> str:
        """The command that makes a member reachable again; "": there is none."""
        if look.fault.remedy:
            return look.fault.remedy
        failing = [check for check, state in look.checks.items() if not state.up]
        return next(filter(None, map(self.health.remedy, failing)), "")

    def follow_checks(self, pools: Collection[str]) -> None:
        """Run the checks that the services of these pools require now, and no others."""
        new: dict[Check, bool | None] = {}
        gone: dict[Check, None] = {}
        for uuid in pools:
            change = self._requirements.follow(uuid, self._index.of_pool(uuid), self.health.up)
            new |= change.new
            gone |= dict.fromkeys(change.gone)
            required, told = self._requirements.servers(uuid), self._told.pop(uuid, {})
            if told := {server: text for server, text in told.items() if server in required}:
                self._told[uuid] = told
        kept = new.keys() & gone.keys()  # one pool gave up what another took on
        for check in new if self._believed else ():
            users = self._requirements.users(check)
            was_up = any(self._believed.get((user, check.vip), {}).get(check.server) for user in users)
            new[check] = new[check] or was_up or None
        self.health.follow(new, [check for check in gone if check not in kept])
        self._changes.follow(pools, self._word)

    def ask_anew(self, pools: Collection[str]) -> None:
        """Forget what is known of the servers of these pools, and ask them again."""
        checks = [
            check
            for uuid in pools
            for server in self._requirements.servers(uuid)
            for check in self.checks(uuid, server)
        ]
        its = dict.fromkeys(check for check in checks if set(self._requirements.users(check)) <= set(pools))
        self.health.follow(dict.fromkeys(its), its)

    def renamed(self, old: str, new: str) -> None:
        """A served interface has another name."""
        self._reachability.rename(old, new)

    def follow_layout(self) -> None:
        """See which members of all pools can be reached, if links, addresses or routes changed since that was done."""
        if self._looked_at != self._network.layout:
            self._looked_at = self._network.layout
            self.follow_reachability(self._index.pools)

    def follow_reachability(self, pools: Iterable[str]) -> None:
        """See which members of these pools can be reached: those that cannot lose their slots at once."""
        modes = {uuid: service.mode for uuid in pools for service in self._index.of_pool(uuid)}
        members = [(mode, self._index.members(uuid).addresses) for uuid, mode in modes.items()]
        changed = self._reachability.follow(members, self._interfaces.by_name, self._index.reaches)
        if changed:
            self.members_changed(
                (uuid, server)
                for uuid, (mode, servers) in zip(modes, members, strict=True)
                for server in servers
                if (server, mode) in changed
            )
            self.health.probe_now(
                {server for server, mode in changed if not self._reachability.fault(server, mode).reason}
            )

    def sending_changed(self) -> None:
        """An interface stopped sending, or sends again."""
        self.members_changed(
            (uuid, server) for uuid in self._index.pools for server in self._index.members(uuid).addresses
        )

    def check_changed(self, check: Check) -> None:
        """A check's result changed."""
        self.members_changed((pool, check.server) for pool in self._requirements.users(check))

    def members_changed(self, members: Iterable[tuple[str, bytes]]) -> None:
        """What is known of these servers of pools changed."""
        for uuid, server in members:
            self._changes.server(uuid, server, self._word)
            monitored = server in self._requirements.servers(uuid)
            for vip in self._requirements.vips(uuid) if monitored else ():
                self._changed(uuid, vip, server, self.is_up(uuid, server, vip))
            up, some = self.is_up(uuid, server), bool(self.down_for(uuid, server))
            if not up and not self.is_known(uuid, server):
                continue
            told = "up" if up and not some else f"{'up' if up else 'down'}: {self.why(uuid, server)}"
            if self._told.setdefault(uuid, {}).get(server, "" if monitored else "up") != told:
                self._told[uuid][server] = told
                about, name = subjects.member(self._index, uuid, server)
                kind = kinds.SERVER_IMPAIRED if up and some else kinds.SERVER_UP if up else kinds.SERVER_DOWN
                self._tell(kind, about, f"{name} is {told}")

    def _word(self, service: plan.Service, server: plan.Server, address: bytes) -> str:
        uuid = service.pool_uuid
        seen = operstate.Seen(
            monitored=bool(self._requirements.of(uuid, address)),
            up=self.is_up(uuid, address),
            known=self.is_known(uuid, address),
            fault=self.fault(uuid, address).reason,
        )
        return operstate.server(server, service.pool_enabled, seen, operstate.NO_GRACE).word

    def _passes(self, pool: str, server: bytes, vip: bytes | None) -> bool:
        """Whether a server that can be reached is up for a VIP, or for all."""
        required = self._requirements.of(pool, server, vip)
        return self._accepted(self.health.up(required), pool, server, vip, required)

    def _accepted(
        self, passed: bool, pool: str, server: bytes, vip: bytes | None, required: Collection[Requirement]
    ) -> bool:
        """Whether one that passed what is required of it, if anything, has no VIP's ARP answered against it."""
        return passed and not (required and self._conflicts.answers(pool, server, vip))

    def _egress(self, mode: str, server: bytes) -> int | None:
        """The interface that frames for a server leave by."""
        return self._next_hops.of((server,), mode)[0].interface

    def _fits_in_tunnel(self, check: Check, size: int) -> None:
        self._path_mtus.learn(check.server, size + rewrite.overhead(check.mode) if size else 0)

    async def _look(self, check: Check) -> LookResult:
        """Look at a server whose VIP is silent."""
        facts = await self.examiner.glance(check)
        return LookResult(facts.reached, findings.cause(facts))


def _about(reason: str, of: Set[bytes], vips: Set[bytes], down: Sequence[bytes]) -> str:
    """A reason with the VIPs that it is about. vips: those of the server; down: those for which it is not up alone."""
    named = f"{'VIP' if len(of) == 1 else 'VIPs'} {', '.join(map(socket.inet_ntoa, sorted(of)))}"
    if of & set(down):
        return f"down for {named}: {reason}"
    return reason if of == vips else f"{named}: {reason}"
