"""The VIPs that an engine serves: put into the driver, announced while they are owned, defended, withdrawn."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from dataplane import plan
from dataplane.events import kinds
from dataplane.events.model import Kind, Subject, Tell
from dataplane.forwarding import translate
from dataplane.forwarding.driver import Driver
from dataplane.forwarding.values import Interface, Vip
from dataplane.plan.index import ServiceIndex
from dataplane.vip.announcer import Announcement, Announcer, Known, State
from dataplane.vip.conflicts import Conflict
from dataplane.vip.defence import Defence
from dataplane.vip.firstuse import FirstUse
from dataplane.vip.placed import Alone, Placed, Share
from dataplane.vip.rounds import Rounds


class VipOwner:
    """Puts, announces, defends and withdraws the VIPs. Made and used on the engine's event loop.

    is_up: whether a service has a server that takes new flows; tell: hears of events; taken: why a VIP must not be this
    engine's at all, "" = it may; first_use: asks for VIPs that are new, None: all may be announced; on_segment: whether
    a network of the engine's holds a VIP; speaks: whether the engine tells routers at all; placed: tells the engine's
    share in VIPs that other engines have, too; is_settled: whether a service's servers have been looked at.

    A VIP that is not to be announced, or that routers alone are told of, is put into the driver as not owned: nothing
    answers ARP for it. Its packets that reach the engine all the same are forwarded.
    """

    def __init__(
        self,
        driver: Driver,
        index: ServiceIndex,
        is_up: Callable[[plan.Service], bool],
        announcers: Sequence[Announcer],
        tell: Tell,
        taken: Callable[[bytes], str] = lambda vip: "",
        first_use: FirstUse | None = None,
        on_segment: Callable[[bytes], bool] = lambda vip: True,
        speaks: Callable[[], bool] = lambda: False,
        placed: Placed | None = None,
        is_settled: Callable[[plan.Service], bool] = lambda service: True,
    ) -> None:
        self._placed = placed or Alone()
        self._taken, self._first_use = taken, first_use
        self._on_segment, self._speaks = on_segment, speaks
        self._refused: dict[bytes, str] = {}
        self._driver, self._index, self._is_up, self._is_settled = driver, index, is_up, is_settled
        self._announcers, self._tell = list(announcers), tell
        self._put: dict[bytes, Vip] = {}
        self._said: dict[bytes, str] = {}  # what was told of those last
        self._known: dict[bytes, Known] = {}  # those that are announced somehow
        self._interfaces: Collection[Interface] = ()
        self._defence = Defence(tell, self._announce)
        self._rounds = Rounds()
        self._reached: set[tuple[int, bytes]] = set()

    def add(self, announcer: Announcer) -> None:
        """Have another announcer make VIPs known, too."""
        self._announcers.append(announcer)
        announcer.follow(self._interfaces)
        for known in self._known.values():
            if announcer.takes(known):
                announcer.announce(known)

    def served(self) -> Collection[Vip]:
        """The VIPs as the driver has them."""
        return self._put.values()

    def is_routed(self, vip: bytes) -> bool:
        """Whether routers are to be told of a VIP."""
        return vip in self._known and self._known[vip].route is not None

    def announced(self) -> list[bytes]:
        """The VIPs that are announced: the engine answers ARP for them, or routers have been told of them."""
        return [
            vip
            for vip, known in self._known.items()
            if known.by_arp
            or any(one.takes(known) and one.state(vip).state is State.ANNOUNCED for one in self._announcers)
        ]

    def unheard(self, vip: bytes) -> str:
        """Why routers are not told of a VIP that they are to be told of, in words; "" where they are."""
        if not self.is_routed(vip):
            return ""
        found = [(one.name, one.state(vip)) for one in self._announcers if one.takes(self._known[vip])]
        return "; ".join(f"{name}: {made.reason}" for name, made in found if made.state is State.FAILED)

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
        self._interfaces = interfaces
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
                wanted[address] = self._permitted(*self._wanted(address, services))
            elif address in self._put:
                self._remove(address)
        for address, (value, known) in wanted.items():
            before = self._put.get(address)
            if before != value:
                self._driver.put_vip(value)
                self._put[address] = value
            was = self._known.get(address)
            self._say(value, was, known)
            if before != value or was != known:
                self._changed(address, was, known)

    def look_again(self) -> list[bytes]:
        """The VIPs to put again: whether they may be this engine's has changed, or which segment they stand on."""
        return [
            vip
            for vip, value in self._put.items()
            if self._taken(vip) != self._refused.get(vip, "")
            or (self.is_routed(vip) and value.owned != self._on_segment(vip))
        ]

    def _wanted(self, address: bytes, services: Iterable[plan.Service]) -> tuple[Vip, Known | None]:
        """A VIP as it is to be put, and as it is to be known."""
        routed = self._speaks() and any(service.route is not None for service in services)
        on_segment = not routed or self._on_segment(address)
        value = translate.vip(address, services, self._is_up, on_segment=on_segment)
        route = translate.route(services, self._is_up) if routed else None
        share = self._placed.share(address) or self._as_before(address)
        if value.owned and not share.answers:
            if self._first_use is not None:
                self._first_use.allows(address)  # asked for now, it need not be when it is this engine's
            value = replace(value, owned=False)
        route = route if share.tells else None
        return value, Known(address, value.owned, route) if value.owned or route else None

    def _as_before(self, address: bytes) -> Share:
        known = self._known.get(address)
        return Share(known is not None and known.by_arp, known is not None and known.route is not None)

    def _permitted(self, value: Vip, known: Known | None) -> tuple[Vip, Known | None]:
        """A VIP as it may be put and known: not at all while somebody else has it, or may have it."""
        address, reason = value.address, self._taken(value.address)
        if reason and self._refused.get(address) != reason:
            self._told(kinds.VIP_REFUSED, address, f"not announced: {reason}")
        self._refused.pop(address, None)
        if reason:
            self._refused[address] = reason
        if reason or (value.owned and not (self._first_use is None or self._first_use.allows(address))):
            return replace(value, owned=False), None
        return value, known

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

    async def retire(self) -> None:
        """Have announcers withdraw what can be withdrawn, and wait until others have heard it."""
        await asyncio.gather(*(announcer.retire() for announcer in self._announcers))

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
        self._said.pop(address, None)
        self._refused.pop(address, None)
        if self._first_use is not None:
            self._first_use.forget(address)
        self._withdraw(address)
        self._driver.remove_vip(address)
        self._told(kinds.VIP_REMOVED, address, "no longer served")

    def _say(self, now: Vip, was: Known | None, known: Known | None) -> None:
        """Tell what a VIP is, if that is not what was told last."""
        services = self._index.of_vip(now.address)
        new = not now.up and any(one.enabled and not self._is_settled(one) for one in services)
        says, gone = _words(now, known, new=new), was is not None and known is None
        if self._said.get(now.address) != says:
            self._said[now.address] = says
            kind = kinds.VIP_WITHDRAWN if gone else kinds.VIP_SILENT if known is None else kinds.VIP_ANNOUNCED
            self._told(kind, now.address, f"{says}, no longer announced" if gone and now.up else says)

    def _changed(self, address: bytes, was: Known | None, known: Known | None) -> None:
        self._known.pop(address, None)
        if known is not None:
            self._known[address] = known
        for announcer in self._announcers:
            takes, took = (one is not None and announcer.takes(one) for one in (known, was))
            if known is not None and takes:
                if not took or known != was:
                    announcer.announce(known)
            elif took or known is None:
                announcer.withdraw(address)

    def _told(self, kind: Kind, vip: bytes, what: str) -> None:
        address = socket.inet_ntoa(vip)
        self._tell(kind, Subject("vip", address), f"VIP {address} is {what}")

    def _announce_owned(self) -> None:
        for vip in self._put.values():
            if vip.owned:
                self._announce(vip.address)

    def _announce(self, vip: bytes) -> None:
        known = self._known.get(vip)
        for announcer in self._announcers:
            if known is not None and announcer.takes(known):
                announcer.announce(known)

    def _withdraw(self, vip: bytes) -> None:
        self._known.pop(vip, None)
        for announcer in self._announcers:
            announcer.withdraw(vip)


def _words(vip: Vip, known: Known | None, *, new: bool) -> str:
    """What a VIP is, for people. new: nobody knows yet whether it is up."""
    told = ["announced"] * bool(known and known.by_arp) + ["told to routers"] * bool(known and known.route)
    if new:
        return f"{', '.join(told) or 'not announced yet'}: its servers have not been looked at"
    return ", ".join(["up" if vip.up else "down", *told])
