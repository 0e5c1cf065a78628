"""One engine among those of its cluster: what it says, what it knows of the others, and what follows for its VIPs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from time import time
from typing import Any, TypeVar

from dataplane import plan
from dataplane.cluster.address import StoreAddress
from dataplane.cluster.operations import KeyValue
from dataplane.events import kinds
from dataplane.events.model import THIS_ENGINE, Subject, Tell
from dataplane.membership import conclusions, places, record, situation
from dataplane.membership import memory as remembered
from dataplane.membership.answering import Answer, Answering
from dataplane.membership.arbiter import Arbiter
from dataplane.membership.conclusions import Known, Role
from dataplane.membership.heartbeats import Heard, Heartbeats, Peer, Told
from dataplane.membership.knowledge import Knowledge
from dataplane.membership.link import Link, Standing, State
from dataplane.membership.memory import Remembered
from dataplane.membership.places import Placer
from dataplane.membership.record import EngineRecord
from dataplane.membership.sharing import Sharing
from dataplane.placement.hearing import Timing
from dataplane.placement.model import Mode, Presence
from dataplane.plan.redundancy import Redundancy

BELIEVED = 1.2
"""Seconds until hosts believe that a VIP has another MAC address: for one they take no second change of a neighbour
(`locktime` in arp(7)), and who has it now calls once a second."""

T = TypeVar("T")

SKEW = 1.0
"""Seconds by which two clocks may differ: times of the plan cross hosts."""
_REMEMBER = 0.5
"""Seconds after which what is new is remembered."""
_SECRET = "secret"
_UNHEARD = {
    Standing.CUT: "the engines of other hosts do not hear of this one, and it not of them: ",
    Standing.REFUSED: "this engine is none of the cluster's: ",
}
"""What begins to be so with a state."""
_USUAL = Redundancy()


class Membership:
    """Made and used on an event loop.

    name: the engine's; said: what it says of itself at first; memory: the file in which it remembers what etcd had;
    tell: hears of events; changed: gets the addresses of VIPs for which it is to do something else than
    before; answer: answers what other hosts ask; answer_until: as of `Heartbeats`, whose thread calls it.
    """

    def __init__(
        self,
        address: StoreAddress,
        name: str,
        said: EngineRecord,
        memory: Path,
        tell: Tell,
        changed: Callable[[Collection[bytes]], None],
        answer: Answer,
        answer_until: Callable[[int], None] = lambda time: None,
    ) -> None:
        self._address, self.name, self._tell, self._changed = address, name, tell, changed
        self._loop = asyncio.get_running_loop()
        self._carrier, self._leaving = True, False
        self.addresses: frozenset[bytes] = frozenset()  # IPv4, of the other engines
        self.macs: frozenset[bytes] = frozenset()  # of the other engines
        self._memory, self._due, self._remembered = memory, False, Remembered()
        known = remembered.read(memory, address.url)
        said = said.after(known.engines.get(name))  # others need its addresses to hear it while it starts
        self._said, self._base = said, said
        self.known = Knowledge(name, placer=known.placer, places=known.places)
        self._secret = known.secret
        self._paths = dict(known.engines)  # what each engine said last, also of those that are gone
        self._heard = Heard()
        self._roles: Mapping[bytes, Role] = {}
        self._read: set[str] = set()  # what of etcd was read at all
        self._knows = bool(known.cluster)  # where VIPs are, or were
        self._skewed: set[str] = set()
        self._beats = Heartbeats(Told(name), self._handed(self._hear), answer_until)
        self.link = Link(address, f"{record.FOLDER}{name}", self._foreign, self._handed(self._moved))
        self.sharing = Sharing(self.link)
        answering = Answering(self.link, name, answer)
        for folder, take in (
            (record.FOLDER, self._take_engines),
            (places.PLACER, self._take_placer),
            (places.FOLDER, self._take_places),
            (_SECRET, self._take_secret),
            (answering.folder, answering.heard),
        ):
            self.link.follow(folder, self._handed(take))
        self._arbiter = Arbiter(self.known, self.link, self._conclude)

    def start(self) -> None:
        """Begin. Whoever wants more from etcd has told the link before."""
        self.link.start(self._said.text())
        self._beats.start()
        self._arbiter.start()

    async def refusal(self, seconds: float) -> str:
        """Wait until it is known what etcd has, or for a time. Returns why this engine can be none of the cluster's, in
        words, as far as that is known; else ""."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.link.state.standing is Standing.JOINING or not self._has_read:
                    if self.link.state.standing in _UNHEARD:
                        break
                    await asyncio.sleep(0.005)
        return self.link.state.reason if self.link.state.standing is Standing.REFUSED else ""

    def follow(self, common: plan.Common, services: Iterable[plan.Service]) -> None:
        """Take over a plan: what engines share, and the services of all groups."""
        self.known.common, self.known.vips = common, situation.vips(services)
        self._decide()

    def say(self, said: EngineRecord, *, carrier: bool) -> None:
        """This is true of the engine from now on. Others hear of it if it is new. carrier: one of its links has a
        carrier."""
        self._base, self._carrier = said, carrier
        self._say()
        self._beat()
        self._look_at_clocks()

    def role(self, address: bytes) -> Role | None:
        """What the engine is to do for an address of a VIP. None: the same as before, since nobody has said yet."""
        if self.link.state.standing is Standing.REFUSED:
            return Role()
        return self._roles.get(address)

    @property
    def placed(self) -> bool:
        """Whether this engine is to announce a VIP, by the VIP's place."""
        return any(role.answers or role.tells for role in self._roles.values())

    @property
    def stands_by(self) -> bool:
        """Whether this engine is one of a pair, active for no VIP and draining none, and is to check no servers
        meanwhile (`hm_on_standby`)."""
        redundancy = self.known.common.redundancy.get(self._base.group, _USUAL)
        if redundancy.checked or Mode(redundancy.mode) is not Mode.ACTIVE_STANDBY or not self._roles:
            return False
        return not any(role.answers or role.tells or role.drains for role in self._roles.values())

    @property
    def first(self) -> bool:
        """Whether this engine is the first of its group. That one says what one engine of a group is to say."""
        group = self._base.group
        names = (name for name, known in self.known.engines.items() if known.record.group == group)
        return min(names, default="") == self.name

    def report(self) -> dict[str, Any]:
        """What there is to tell.

        {"cluster": URL of the store, "state": joining|member|refused|cut off, "reason": why it is not a member,
         "since": seconds since the epoch, "placer": the engine that places, "",
         "answering": seconds for which etcd has answered: nobody is found dead in the first five,
         "lacking": {VIP: why it has fewer engines than it should have}, where this engine places,
         "engines": [{"name", "presence": up|suspect|cut|dead|"" (not yet concluded), and the fields of an
                      `EngineRecord`} as etcd had them last, this one among them}],
        """
        state = self.link.state
        return {
            "cluster": self._address.url,
            "state": str(state.standing),
            "reason": state.reason,
            "since": state.since,
            "placer": self.known.placer.engine if self.known.placer else "",
            "answering": round(self.link.answering(), 1),
            "lacking": dict(self._arbiter.lacking) if self._places else {},
            "engines": [
                {"name": name, "presence": self._presence(name), **asdict(known.record)}
                for name, known in sorted(self.known.engines.items())
            ],
        }

    async def leave(self, seconds: float) -> None:
        """Have others take this engine's VIPs. Waits for that, and until hosts have heard of it, at most so long."""
        self._leaving = True
        self._say()
        had = bool(self.placed)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.placed and len(self.known.engines) > 1:
                    await asyncio.sleep(0.02)
        if had and not self.placed:
            await asyncio.sleep(BELIEVED)

    async def close(self, *, leave: bool) -> None:
        """End. leave: tell the others at once."""
        await self._arbiter.close()
        await asyncio.to_thread(self._beats.close)
        await asyncio.to_thread(self.link.close, leave=leave)

    @property
    def _places(self) -> bool:
        return self.known.placer is not None and self.known.placer.engine == self.name

    def _presence(self, name: str) -> str:
        return self.known.presences[name].value if name in self.known.presences else ""

    def _say(self) -> None:
        silent, ended = (tuple(sorted(names)) for names in (self._heard.silent, self._heard.ended))
        said = replace(self._base, silent=silent if self._carrier else (), ended=ended, leaving=self._leaving)
        if not said.same(self._said):
            self._said = replace(said, clock=time())
            self.link.say(self._said.text())

    def _beat(self) -> None:
        """Have heartbeats tell and listen to what is so now."""
        redundancy = self.known.common.redundancy.get(self._base.group, _USUAL)
        wanted = {name for name, known in self.known.engines.items() if known.record.group == self._base.group}
        if self.known.placer is not None:
            wanted |= {
                name
                for name, group in self.known.placer.groups.items()
                if group == self._base.group and self.known.presences.get(name) is not Presence.DEAD
            }
        peers = {name: self._peers(name) for name in wanted - {self.name} - self.known.left}
        epochs = {address: role.epoch for address, role in self._roles.items() if role.answers}
        timing = Timing(redundancy.heartbeat, redundancy.heartbeats)
        heirs = self.known.has_heirs(self._base.group)
        self._beats.tell(Told(self.name, self._secret, peers, timing, epochs, self._carrier, heirs))

    def _peers(self, name: str) -> tuple[Peer, ...]:
        """The paths to another engine: on every network that both are in, or by routers to its first address."""
        known = self._paths.get(name)
        if known is None:
            return ()
        found = []
        for text, network in zip(self._base.addresses, self._base.networks, strict=False):
            inside = IPv4Interface(f"{text}/{network.partition('/')[2]}").network
            found += [Peer(text, one, known.forwards_on) for one in known.addresses if IPv4Address(one) in inside]
        return tuple(found) or tuple(Peer("", one, known.forwards_on) for one in known.addresses[:1])

    def _conclude(self, presences: Mapping[str, Presence]) -> None:
        """It was concluded who is there."""
        before, self.known.presences = self.known.presences, presences
        for name, one in sorted(presences.items()):
            was = before.get(name)
            if was is not one and name != self.name and was is not None:
                kind, what = _PRESENCE[one]
                self._tell(kind, Subject("serviceengine", name), f"service engine {name} is {what}")
        self._beat()

    def _look_at_clocks(self) -> None:
        skewed = {name: skew for name, skew in self._beats.skews().items() if abs(skew) > SKEW}
        for name in sorted(skewed.keys() - self._skewed):
            behind = "behind" if skewed[name] > 0 else "ahead of"
            self._tell(
                kinds.CLOCK_SKEWED,
                Subject("serviceengine", name),
                f"the clock of service engine {name} is {abs(skewed[name]):.1f} s {behind} this one's: times of the "
                "configuration are not the same on both; have both follow NTP",
            )
        self._skewed = set(skewed)

    def _foreign(self, value: bytes) -> str:
        found = record.read(value)
        if found is not None and found.is_of(self._said.identity):
            return ""
        return f"an engine {self.name} runs already, on host {found.host if found else 'unknown'}"

    def _handed(self, take: Callable[[T], None]) -> Callable[[T], None]:
        """A function that a thread may call, for one of the loop's."""

        def hand(value: T) -> None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(take, value)

        return hand

    def _moved(self, state: State) -> None:
        if state.standing in _UNHEARD:
            self._tell(kinds.CLUSTER_LOST, THIS_ENGINE, f"{_UNHEARD[state.standing]}{state.reason}")
        self._decide()

    def _hear(self, heard: Heard) -> None:
        if heard.fault and heard.fault != self._heard.fault:
            text = f"this engine's heartbeats do not reach others: {heard.fault}"
            self._tell(kinds.HEARTBEATS_FAILED, THIS_ENGINE, text)
        self._heard = heard
        self._say()
        self._decide()

    def _take_engines(self, found: Mapping[str, KeyValue]) -> None:
        records = {name: Known(made, one.changed) for name, one in found.items() if (made := record.read(one.value))}
        before, self.known.engines = self.known.engines, records
        left = {name for name in before.keys() - records.keys() if before[name].record.leaving}
        self.known.left = (self.known.left - records.keys()) | left
        self._paths |= {name: known.record for name, known in records.items()}
        others = [known.record for name, known in records.items() if name != self.name]
        self.addresses = frozenset(socket.inet_aton(one) for other in others for one in other.addresses)
        self.macs = frozenset(bytes.fromhex(one.replace(":", "")) for other in others for one in other.macs)
        if record.FOLDER in self._read:
            for name in sorted((records.keys() ^ before.keys()) - {self.name}):
                one, there = (records.get(name) or before[name]).record, name in records
                text = f"service engine {name} of host {one.host} {'is there' if there else 'is gone'}"
                kind = kinds.MEMBER_JOINED if there else kinds.MEMBER_LEFT
                self._tell(kind, Subject("serviceengine", name), text)
        self._read.add(record.FOLDER)
        if self.name in before and self.name not in records:
            self.link.renew()  # a leader of etcd that stood still ends leases that others have kept alive
        self._beat()
        self._decide()

    def _take_placer(self, found: Mapping[str, KeyValue]) -> None:
        one = found.get("")
        read = places.read_placer(one.value, one.changed) if one else None
        if one is not None and read is None:
            read = Placer("", revision=one.changed)  # whoever is there takes its place
        if read is None and self.known.placer is not None:
            read = replace(self.known.placer, engine="", revision=0)  # what was concluded is still so
        self.known.placer = read
        self._read.add(places.PLACER)
        self._decide()

    def _take_places(self, found: Mapping[str, KeyValue]) -> None:
        self.known.places = {name: made for name, one in found.items() if (made := places.read(one.value, one.changed))}
        self._read.add(places.FOLDER)
        self._knows = True
        self._decide()

    def _take_secret(self, found: Mapping[str, KeyValue]) -> None:
        self._secret = found[""].value if "" in found else b""
        self._read.add(_SECRET)
        self._beat()
        self._decide()

    def _decide(self) -> None:
        """Something is known that was not: see what follows."""
        self._follow_roles()
        self._remember()
        if self._has_read:
            self._arbiter.wake(makes_secret=not self._secret)

    @property
    def _has_read(self) -> bool:
        return {record.FOLDER, places.PLACER, places.FOLDER, _SECRET} <= self._read

    def _remember(self) -> None:
        """Write what is known to the file, soon."""
        if not self._due and self._knows and self._secret:
            self._due = True
            self._loop.call_later(_REMEMBER, self._write)

    def _write(self) -> None:
        self._due = False
        engines = {name: known.record for name, known in self.known.engines.items()}
        known = Remembered(self._address.url, self._secret, self.known.placer, self.known.places, self._paths | engines)
        if known != self._remembered:
            self._remembered = known
            with suppress(OSError):  # it is written at the next change
                remembered.write(self._memory, known)

    def _follow_roles(self) -> None:
        if not self._knows:
            return
        heard: dict[bytes, int] = {}
        for epochs in self._heard.epochs.values():
            for address, epoch in epochs.items():
                heard[address] = max(heard.get(address, 0), epoch)
        before = self._roles
        self._roles = conclusions.roles(self.name, self.known.situation(time()), self._base.group, heard)
        moved = {one for one in before.keys() | self._roles.keys() if before.get(one) != self._roles.get(one)}
        if moved:
            self._beat()
            self._changed(moved)


_PRESENCE = {
    Presence.UP: (kinds.MEMBER_BACK, "there"),
    Presence.SUSPECT: (kinds.MEMBER_SUSPECT, "not heard by some: it keeps the VIPs that it has"),
    Presence.CUT: (kinds.MEMBER_LOST, "cut off from etcd: its VIPs go to others"),
    Presence.DEAD: (kinds.MEMBER_LOST, "dead: its VIPs go to others"),
}
