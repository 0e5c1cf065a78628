"""Examines a pool member from outside, by ARP, ping, TCP and tunnel, and collects the `Facts` that are judged.

Everything that can be asked at the same time is. Each question has a time limit, so an examination ends within `LIMIT`
seconds.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from dataplane.diagnosis import witness
from dataplane.diagnosis.echo import Answer, Echoes
from dataplane.diagnosis.findings import CLOSED, EXPIRES, FAR, OPEN, REFUSED, REPLIES, SILENT, Facts
from dataplane.diagnosis.witness import ECHO, Answers, Probes, Witness
from dataplane.errors import NetworkError
from dataplane.forwarding import rewrite
from dataplane.forwarding.values import Interface
from dataplane.health.probes.check import Check, FindRoute, Outcome, ProbeFailed
from dataplane.health.probes.connection import connection
from dataplane.health.probes.factory import ProbeFactory
from dataplane.network import icmp, ownhost
from dataplane.network.ownhost import OwnHost
from dataplane.network.pathmtu import PathMtus
from dataplane.network.reachability import NO_FAULT, Fault
from dataplane.network.state import Network
from dataplane.plan import L2, MONITOR_HTTP, MONITOR_TCP, MONITOR_UDP
from dataplane.vip import arp
from dataplane.vip.conflicts import ConflictWatch

PATIENCE = 1.0
"""Seconds that a question waits for its answer."""
SMALLEST, GRAIN = 576, 4
"""Bytes: the smallest packet size that is searched, and the precision of the result."""
LIMIT = 12.0
"""Seconds of one examination, at most."""

Interfaces = Callable[[], Iterable[Interface]]
Tell = Callable[[str], None]


class Examiner:
    """Examines servers. find_route: finds the route of a check's probes; interfaces: those that are
    served; silent: says where the next hop of the route to a server is silent; own_host: looks at this host."""

    def __init__(
        self,
        network: Network,
        conflicts: ConflictWatch,
        probes: ProbeFactory,
        path_mtus: PathMtus,
        find_route: FindRoute,
        interfaces: Interfaces,
        silent: Callable[[bytes], str],
        own_host: OwnHost,
    ) -> None:
        self._network, self._conflicts, self._probes = network, conflicts, probes
        self._path_mtus, self._find_route, self._interfaces = path_mtus, find_route, interfaces
        self._silent, self._own_host = silent, own_host
        self._echoes = Echoes()

    def close(self) -> None:
        """Close its sockets."""
        self._echoes.close()

    async def glance(self, check: Check) -> Facts:
        """A short examination: enough to tell why a VIP is silent."""
        return await self._look(check, time.monotonic(), thorough=False)

    async def answers(self, check: Check, patience: float) -> tuple[bool | None, str]:
        """Whether a server answers pings for a check's VIP, and why it does not; None: that cannot be known. With a TTL
        of 1, no other host answers for a server that only forwards. patience: seconds."""
        try:
            mark, source = await self._find_route(check)
        except NetworkError as exc:
            return None, str(exc)
        ttl = 1 if check.mode == L2 else 64
        echo, host = await asyncio.gather(
            self._echoes.ping(check.vip, patience, mark, source, ttl=ttl),
            self._echoes.ping(check.server, patience, 0, source),
        )
        said = _said(echo, check.server)
        if said == REPLIES:
            return True, ""
        if said == SILENT and host is None:
            return None, "the server does not answer"
        return False, "server answers, VIP does not"

    async def examine(self, checks: tuple[Check, ...], others: Mapping[str, str], tell: Tell) -> Facts:
        """Find out all there is about a server and one VIP.

        checks: the server's monitors for that VIP, at least one; others: the addresses of all servers by their MAC
        addresses; tell: called with each step, in words.
        """
        check = checks[0]
        name = socket.inet_ntoa(check.server)
        tell(f"{name}: asking by ARP, ping and TCP, on its own address and on the VIP")
        began = time.monotonic()
        facts, failing = await asyncio.gather(self._look(check, began, thorough=True), self._failing(checks))
        facts = replace(facts, failing=failing, others=others)
        if facts.no_route or not facts.served:
            return facts
        tell(f"{name}: asking with packets of full size")
        full, fits = await self._fits(check, facts)
        return replace(facts, full=full, fits=fits)

    async def _look(self, check: Check, began: float, *, thorough: bool) -> Facts:
        server, vip = check.server, check.vip
        facts = Facts(socket.inet_ntoa(server), socket.inet_ntoa(vip), check.mode, check.port)
        if (held := ownhost.holding(self._network, vip)).reason:
            near = self._network.attached(server, self._interfaces())
            return replace(facts, own=held, engine=socket.inet_ntoa(near[1]) if near else "")
        try:
            mark, source = await self._find_route(check)
        except NetworkError as exc:
            return replace(facts, no_route=str(exc))
        attached = self._network.attached(server, self._interfaces())
        route = self._network.route_to(server)
        index = attached[0].index if attached else route.index if route else 0
        served = next((i for i in self._interfaces() if i.index == index), None)
        gateway = server if check.mode == L2 or route is None else route.gateway
        mac = self._network.neighbour(index, gateway)
        on_link = attached is not None and gateway == server
        asked = (
            self._macs(index, server, None, on_link),
            self._macs(index, server, arp.NOBODY, on_link),
            self._macs(index, server, socket.inet_aton(FAR), on_link and thorough),
            self._macs(index, vip, None, served is not None and thorough),
        )
        answers, unsigned, far, owners = await asyncio.gather(*asked)
        # A half-open monitor promises that its server's program never sees a connection.
        tcp = check.monitor.type in (MONITOR_TCP, MONITOR_HTTP) and not check.monitor.half_open
        # After ARP, which may just have told the kernel where the server is now.
        with Witness.of(Probes(mark, source, vip, server, rewrite.overhead(check.mode))) as seen:
            pings = asyncio.gather(
                self._echoes.ping(server, PATIENCE, 0, source),
                self._echoes.ping(vip, PATIENCE, mark, source),
                self._echoes.ping(vip, PATIENCE, mark, source, ttl=1),
                self._inner(check, mark, source),
            )
            (host, echo, last, inner), host_port, vip_port, said = await asyncio.gather(
                pings,
                _port(server, check.port if tcp else 0, 0, source),
                _port(vip, check.port if tcp else 0, mark, source),
                self._datagram(check),
            )
        if echo is not None and last is None:  # one lost ping, or an error that was one too many for the server
            last = await self._echoes.ping(vip, PATIENCE, mark, source, ttl=1)
        heard: dict[Answers, object] = {(vip, ECHO): echo or last, (server, ECHO): host or inner}
        if tcp:
            heard |= {(vip, check.port): vip_port != SILENT, (server, check.port): host_port != SILENT}
        if said is not None:
            heard[vip, check.port] = said
        own, own_advice = self._own(seen, heard, vip, served, resolved=mac is not None)
        return replace(
            facts,
            own=own,
            own_advice=own_advice,
            tcp=tcp,
            engine=socket.inet_ntoa(source),
            interface=served.name if served else "",
            mtu=served.mtu if served else 1500,
            neighbour=mac.hex(":") if mac else "",
            permanent=self._network.is_permanent(index, gateway),
            on_link=on_link,
            answers=answers,
            unsigned=unsigned,
            far=far,
            owners=owners,
            host=_said(host, server) == REPLIES,
            host_port=host_port,
            echo=_said(echo, server),
            last=_said(last, server),
            vip_port=vip_port,
            inner=_said(inner, server),
            next_hop="" if check.mode == L2 else self._silent(server),
            refusal="" if check.mode == L2 else self._path_mtus.refusal(server, check.mode, began),
        )

    def _own(
        self, seen: Witness, heard: Mapping[Answers, object], vip: bytes, served: Interface | None, *, resolved: bool
    ) -> tuple[Fault, str]:
        """What is wrong with this host, and advice. heard: by answer, what the probes got of it; resolved: the next hop
        has a MAC address."""
        for (sender, port), got in heard.items():
            if not got and (interface := seen.came.get((sender, port))):
                return witness.deaf(sender, interface, seen.dropped, self._own_host.fault(sender, interface))
        if any(got for (sender, _), got in heard.items() if sender == vip):
            return NO_FAULT, ""
        if seen.looks and not seen.left and resolved:
            return witness.mute(ownhost.conntrack_full())
        return (self._own_host.fault(vip, served.name) if served else NO_FAULT), ""

    async def _macs(self, index: int, address: bytes, sender: bytes | None, wanted: bool) -> frozenset[str]:
        """The MAC addresses that answer ARP for an address, as text. sender: the address that asks (None: own)."""
        if not wanted:
            return frozenset()
        try:
            return frozenset(mac.hex(":") for mac in await self._conflicts.macs(index, address, sender))
        except OSError:
            return frozenset()

    async def _inner(self, check: Check, mark: int, source: bytes) -> Answer | None:
        """Ping the server's own address inside its tunnel."""
        return None if check.mode == L2 else await self._echoes.ping(check.server, PATIENCE, mark, source)

    async def _datagram(self, check: Check) -> bool | None:
        """Whether a monitor of UDP that wants an answer hears one; None: the monitor is not of that kind."""
        if check.monitor.type != MONITOR_UDP or not check.monitor.response:
            return None
        outcome = await self._run(check)
        return not (isinstance(outcome, ProbeFailed) and outcome.silent)

    async def _failing(self, checks: Iterable[Check]) -> tuple[str, ...]:
        """Run each monitor once. Returns the reasons of those that fail."""
        outcomes = await asyncio.gather(*(self._run(check) for check in checks))
        return tuple(dict.fromkeys(outcome.reason for outcome in outcomes if isinstance(outcome, ProbeFailed)))

    async def _run(self, check: Check) -> Outcome:
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        try:
            mark, source = await self._find_route(check)
        except NetworkError as exc:
            return ProbeFailed(str(exc))
        run = self._probes.probe(check).start(mark, source, ended.set_result)
        try:
            async with asyncio.timeout(LIMIT / 2):
                return await ended
        except TimeoutError:
            return ProbeFailed(f"its monitor has not ended within {LIMIT / 2:.0f} s")
        finally:
            run.cancel()

    async def _fits(self, check: Check, facts: Facts) -> tuple[int, int]:
        """Bytes of the largest packet that should arrive at the VIP, and of the largest that does (0 if it answers no
        ping)."""
        full = self.full(check)
        return full, await self.largest(check, full) if facts.echo == REPLIES else 0

    def full(self, check: Check) -> int:
        """Bytes of the largest packet for the VIP that should arrive on a check's path; 0 if there is no route. Of path
        MTUs those count that a router reports."""
        attached = self._network.attached(check.server, self._interfaces())
        route = self._network.route_to(check.server)
        index = attached[0].index if attached else route.index if route else 0
        mtu = next((interface.mtu for interface in self._interfaces() if interface.index == index), 0)
        if check.mode == L2 or not mtu:
            return mtu
        return (self._path_mtus.reported(check.server) or mtu) - rewrite.overhead(check.mode)

    def unreported(self, check: Check, since: float) -> bool:
        """Whether no router reports how much fits on a check's path, although it was measured after `since`
        (time.monotonic()). Only then the loss of full-size packets is the only sign."""
        return check.mode == L2 or self._path_mtus.unreported((check.server, check.mode), since)

    async def arrives(self, check: Check, size: int) -> bool:
        """Whether the VIP answers a ping of that many bytes. Raises NetworkError."""
        mark, source = await self._find_route(check)
        heard = await self._echoes.ping(check.vip, PATIENCE / 2, mark, source, size=size)
        return _said(heard, check.server) == REPLIES

    async def largest(self, check: Check, full: int) -> int:
        """Bytes of the largest packet up to `full` that the VIP answers; 0 if not SMALLEST. Raises NetworkError."""
        if await self.arrives(check, full):
            return full
        low, high = SMALLEST, full
        if not await self.arrives(check, low):
            return 0
        while high - low > GRAIN:
            middle = (low + high) // 2
            low, high = (middle, high) if await self.arrives(check, middle) else (low, middle)
        return low


def _said(answer: Answer | None, server: bytes) -> str:
    """What an answer means. Time exceeded counts only if it comes from the server itself."""
    if answer is None:
        return SILENT
    if answer.type == icmp.ECHO_REPLY:
        return REPLIES
    return EXPIRES if answer.type == icmp.EXCEEDED and answer.sender == server else REFUSED


async def _port(address: bytes, port: int, mark: int, source: bytes) -> str:
    """Whether a TCP port is open, closed or silent; the connection is reset. Port 0 is not asked."""
    if not port:
        return SILENT
    try:
        with connection(mark, source) as made:
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_connect(made, (socket.inet_ntoa(address), port))
    except ConnectionRefusedError:
        return CLOSED
    except OSError:  # TimeoutError, too
        return SILENT
    return OPEN
