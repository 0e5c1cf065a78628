"""The VIPs that an engine serves: put into the driver, announced while they are owned, defended, withdrawn."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from dataplane import plan
from dataplane.forwarding import translate
from dataplane.forwarding.driver import Driver
from dataplane.forwarding.values import Interface, Vip
from dataplane.plan.index import ServiceIndex
from dataplane.vip.announcer import Announcement, Announcer, State
from dataplane.vip.conflicts import Conflict
from dataplane.vip.defence import Defence
from dataplane.vip.firstuse import FirstUse
from dataplane.vip.rounds import Rounds


class VipOwner:
    """Made and used on the engine's event loop.

    is_up: whether a service has a server that takes new flows; tell: gets the text of an event; taken: why a VIP must
    not be this engine's at all, "" = it may; first_use: asks for VIPs that are new, None: all may be announced.

    A VIP that is not to be announced is put into the driver as not owned: nothing answers ARP for it. What reaches the
    engine all the same is forwarded.
    """

    def __init__(
        self,
        driver: Driver,
        index: ServiceIndex,
        is_up: Callable[[plan.Service], bool],
        announcers: Sequence[Announcer],
        tell: Callable[[str], None],
        taken: Callable[[bytes], str] = lambda vip: "",
        first_use: FirstUse | None = None,
    ) -> None:
        self._taken, self._first_use = taken, first_use
        self._refused: dict[bytes, str] = {}
        self._driver, self._index, self._is_up = driver, index, is_up
        self._announcers, self._tell = announcers, tell
        self._put: dict[bytes, Vip] = {}
        self._defence = Defence(tell, self._announce)
        self._rounds = Rounds()
        self._reached: set[tuple[int, bytes]] = set()

    def served(self) -> Collection[Vip]:
        """The VIPs as the driver has them."""
        return self._put.values()

    def announcements(self, vip: bytes) -> Mapping[str, Announcement]:
        """What each announcer, by its name, made of a VIP."""
        if reason := self.refusal(vip):
            return {announcer.name: Announcement(State.WITHDRAWN, reason) for announcer in self._announcers}
        return {announcer.name: announcer.state(vip) for announcer in self._announcers}

    def refusal(self, vip: bytes) -> str:
        """Why a VIP that is to be announced is not: somebody else has it; "" where that is not so."""
        return self._refused.get(vip) or (self._first_use.reason(vip) if self._first_use else "")

    def follow(self, interfaces: Collection[Interface], has_carrier: Callable[[int], bool]) -> None:
        """These interfaces are served. Announces anew where a segment may hold something else by now: a link came back,
        or with another MAC address. has_carrier: of an interface by its index."""
        before = self._reached
        self._reached = {(i.index, i.mac) for i in interfaces if has_carrier(i.index)}
        if self._first_use is not None:
            self._first_use.follow(interfaces)
        for announcer in self._announcers:
            announcer.follow(interfaces)
        if self._reached - before:
            self._announce_owned()

    def put(self, vips: Iterable[bytes]) -> None:
        """Have the driver and the announcers follow what became of some VIPs. Raises DriverError."""
        wanted = {}
        for address in vips:
            services = self._index.of_vip(address)
            if services:
                wanted[address] = self._permitted(translate.vip(address, services, self._is_up))
            elif address in self._put:
                self._remove(address)
        for address, value in wanted.items():
            before = self._put.get(address)
            if before != value:
                self._driver.put_vip(value)
                self._put[address] = value
                self._changed(before, value)

    def look_again(self) -> list[bytes]:
        """The VIPs that must not be this engine's are others than before: which."""
        return [vip for vip in self._put if self._taken(vip) != self._refused.get(vip, "")]

    def _permitted(self, value: Vip) -> Vip:
        """A VIP as it may be put: not owned while somebody else has it, or may have it."""
        address, reason = value.address, self._taken(value.address)
        if reason and self._refused.get(address) != reason:
            self._tell(f"VIP {socket.inet_ntoa(address)} is not announced: {reason}")
        self._refused.pop(address, None)
        if reason:
            self._refused[address] = reason
        if value.owned and (reason or not (self._first_use is None or self._first_use.allows(address))):
            return replace(value, owned=False)
        return value

    def announce_again(self, period: float, now: float) -> None:
        """Announce all owned VIPs anew if a period is over. period: its seconds, 0 = there is none; now: of a monotonic
        clock."""
        if self._rounds.due(period, now):
            self._announce_owned()

    def conflicts_changed(self, vip: bytes, strangers: Collection[Conflict], *, by_members: bool) -> None:
        """Who else claims a VIP changed. strangers: the conflicts with others than pool members; by_members: those with
        members are not as before, and caches may hold what they said."""
        owned = self._owns(vip)
        self._defence.heard(vip, strangers, owned=owned)
        if by_members and owned:
            self._announce(vip)

    def conflict_again(self, vip: bytes) -> None:
        """A stranger claims a VIP once more."""
        self._defence.heard_again(vip, owned=self._owns(vip))

    async def close(self) -> None:
        """Announce no more."""
        if self._first_use is not None:
            await self._first_use.close()
        for announcer in self._announcers:
            await announcer.close()

    def _owns(self, vip: bytes) -> bool:
        value = self._put.get(vip)
        return value is not None and value.owned

    def _remove(self, address: bytes) -> None:
        del self._put[address]
        self._refused.pop(address, None)
        if self._first_use is not None:
            self._first_use.forget(address)
        self._withdraw(address)
        self._driver.remove_vip(address)
        self._tell(f"VIP {socket.inet_ntoa(address)} is no longer served")

    def _changed(self, before: Vip | None, now: Vip) -> None:
        state = "up" if now.up else "down"
        self._tell(f"VIP {socket.inet_ntoa(now.address)} is {state}{', announced' if now.owned else ''}")
        if now.owned and not (before and before.owned):
            self._announce(now.address)
        elif not now.owned:
            self._withdraw(now.address)

    def _announce_owned(self) -> None:
        for vip in self._put.values():
            if vip.owned:
                self._announce(vip.address)

    def _announce(self, vip: bytes) -> None:
        for announcer in self._announcers:
            announcer.announce(vip)

    def _withdraw(self, vip: bytes) -> None:
        for announcer in self._announcers:
            announcer.withdraw(vip)
