"""Tells from whom conflicts over the VIPs come: from pool members, known by their MAC addresses, or from strangers.

A member that answers ARP for a VIP is down: it takes the engine's clients away, past the table and all other servers,
and would do so unseen while its probes pass. (There is no outage where all members answer: their clients reach them.) A
member that only names the VIP in requests of its own cannot be asked again: that is reported, and no more.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable

from dataplane import plan
from dataplane.forwarding.values import Interface
from dataplane.vip.conflicts import Conflict, ConflictWatch, Kind

EVERY = 10.0
"""Seconds between two looks for others who claim a VIP, where no monitor is quicker."""

Key = tuple[str, bytes]
"""A pool's uuid, and the member's address."""
_NONE: frozenset[Conflict] = frozenset()


class MemberConflicts:
    """Who claims the VIPs of some services. neighbour: the MAC address of an address on an interface; changed: gets the
    VIP whose conflicts changed, and the members whose own did; repeated: gets a VIP that strangers claim again;
    engines: the MAC addresses of the other engines, which are no strangers."""

    def __init__(
        self,
        neighbour: Callable[[int, bytes], bytes | None],
        changed: Callable[[bytes, Collection[Key]], None],
        repeated: Callable[[bytes], None] = lambda vip: None,
        engines: Callable[[], Collection[bytes]] = frozenset,
    ) -> None:
        self._engines = engines
        self._were: frozenset[bytes] = frozenset()  # the other engines, when they changed last
        self._neighbour = neighbour
        self._changed = changed
        self._repeated = repeated
        self._services: tuple[plan.Service, ...] = ()
        self._members: dict[Key, frozenset[Conflict]] = {}
        self._theirs: frozenset[Conflict] = frozenset()
        self.watch = ConflictWatch(self._heard, self._heard_again)

    def follow(self, services: Iterable[plan.Service], interfaces: Iterable[Interface]) -> None:
        """Ask for the VIPs of these services, on these interfaces."""
        self._services = tuple(service for service in services if service.enabled)
        vips: dict[bytes, float] = {}
        for service in self._services:
            vip = socket.inet_aton(service.vip)
            vips[vip] = min(vips.get(vip, EVERY), *(m.send_interval for m in service.monitors), EVERY)
        self.watch.follow(vips, interfaces)
        self.match()

    def match(self) -> set[Key]:
        """Find members by their MAC addresses again. Returns those whose conflicts changed."""
        found: dict[Key, frozenset[Conflict]] = {}
        for service in self._services:
            conflicts: dict[tuple[int, bytes], set[Conflict]] = {}
            for conflict in self.watch.of(socket.inet_aton(service.vip)):
                conflicts.setdefault((conflict.interface, conflict.mac), set()).add(conflict)
            interfaces = {interface for interface, _ in conflicts}
            for server in service.servers if conflicts else ():
                address = socket.inet_aton(server.address)
                macs = ((interface, self._neighbour(interface, address)) for interface in interfaces)
                mine = frozenset(conflict for there, mac in macs if mac for conflict in conflicts.get((there, mac), ()))
                if mine:
                    key = service.pool_uuid, address
                    found[key] = found.get(key, _NONE) | mine
        before, self._members = self._members, found
        self._theirs = frozenset().union(*found.values())
        return {key for key in before.keys() | found.keys() if before.get(key) != found.get(key)}

    def engines_changed(self) -> None:
        """Other engines came or went. What one that went claimed while it was there makes nobody a stranger."""
        there = frozenset(self._engines())
        self.watch.forget(self._were - there)
        self._were = there
        self.match()

    def of(self, pool: str, server: bytes) -> frozenset[Conflict]:
        """A member's conflicts over VIPs of its pool."""
        return self._members.get((pool, server), _NONE)

    def answers(self, pool: str, server: bytes, vip: bytes | None = None) -> bool:
        """Whether a member answers ARP for a VIP of its pool: for this one, or for any."""
        conflicts = self._members.get((pool, server))
        return conflicts is not None and any(
            conflict.kind is Kind.ANSWER and vip in (None, conflict.vip) for conflict in conflicts
        )

    def strangers(self, vip: bytes) -> tuple[Conflict, ...]:
        """The conflicts over a VIP that are no member's."""
        return tuple(conflict for conflict in self.watch.of(vip) if self._is_strange(conflict))

    async def others(self, vip: bytes) -> frozenset[bytes]:
        """Who else has a VIP, asked now: the MAC addresses of those who answer for it and are no members of its pools.
        A member that is not prepared is down, and keeps no VIP from being announced."""
        found = await self.watch.holders(vip)
        servers = {
            socket.inet_aton(server.address)
            for service in (self._services if found else ())
            if socket.inet_aton(service.vip) == vip
            for server in service.servers
        }
        indices = {index for index, _ in found}
        members = {(index, self._neighbour(index, server)) for index in indices for server in servers}
        return frozenset(mac for index, mac in found if (index, mac) not in members)

    async def close(self) -> None:
        """End."""
        await self.watch.close()

    def _heard(self, vip: bytes) -> None:
        self._changed(vip, self.match())

    def _heard_again(self, conflict: Conflict) -> None:
        if self._is_strange(conflict):
            self._repeated(conflict.vip)

    def _is_strange(self, conflict: Conflict) -> bool:
        return conflict not in self._theirs and conflict.mac not in self._engines()


def words(conflict: Conflict) -> str:
    """A member's conflict in words for an operator."""
    vip = socket.inet_ntoa(conflict.vip)
    if conflict.kind is Kind.ANSWER:
        return f"server answers ARP for the VIP {vip}: clients go past the engine"
    if conflict.kind is Kind.ANNOUNCEMENT:
        return f"server announces the VIP {vip} as its own by gratuitous ARP"
    return f"server's own ARP requests name the VIP {vip} as their sender (arp_announce)"
