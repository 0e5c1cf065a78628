"""The engine among those of other hosts, if its host shares a store. The modules for that are loaded only then."""

from __future__ import annotations

import asyncio
import platform
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataplane import plan, statedir
from dataplane.daemon.deadmanswitch import DeadManSwitch
from dataplane.engine.engine import Engine
from dataplane.errors import ClusterError, EngineError
from dataplane.events import kinds
from dataplane.events.model import THIS_ENGINE, Kind, Subject
from dataplane.forwarding.driver import ALWAYS
from dataplane.plan.history import Held
from dataplane.vip.placed import Placed, Share

if TYPE_CHECKING:
    from dataplane.membership.answering import Answer
    from dataplane.membership.membership import Membership
    from dataplane.membership.record import EngineRecord

LOOK_EVERY = 0.2
"""Seconds between two looks at what the engine says of itself, and at whether its host shares a store."""
FIRST = 1.0
"""Seconds that a start waits for what etcd has of the engine's name and of places. It goes on where none answers."""
LEAVING = 3.0
"""Seconds that an end waits for others to take its VIPs."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Joining(Placed):
    """Of one engine. state: the state directory; name: the engine's; instance: its name among all on this machine;
    joins: the host is to share a store, which the state directory does not say yet."""

    def __init__(self, state: Path, name: str, instance: str, *, joins: bool) -> None:
        self._shared, self._name, self._instance = state / statedir.SHARED, name, instance
        self._memory, self._joins = state / f"{name}.places", joins
        self._inode = (
            state.stat().st_ino
        )  # containers of one host have its boot, and may have one path for their states
        self._membership: Membership | None = None
        self._engine: Engine | None = None
        self._switch = DeadManSwitch()
        self._mark: plan.Mark | None = None  # of the plan that is followed
        self._others = frozenset[bytes](), frozenset[bytes]()  # addresses and MAC addresses that the engine was told
        self._fault = ""  # why it is not known which store the host shares
        self._seen: Future[dict[str, list[Held]]] | None = None  # what others saw before this engine began
        self._news: list[tuple[Kind, Subject, str]] = []  # what happened before there was somebody to tell
        self.answer: Answer = _not_yet  # answers what other hosts ask

    async def begin(self) -> None:
        """Called before the engine takes anything. Raises EngineError where another engine has its name."""
        await self._look()
        if self._membership is not None and (why := await self._membership.refusal(FIRST)):
            raise EngineError(why, remedy="--name gives another one a name")
        if self._seen is not None:
            with suppress(ClusterError, TimeoutError):
                async with asyncio.timeout(FIRST):
                    await asyncio.shield(asyncio.wrap_future(self._seen))

    def recall(self, engine: Engine) -> None:
        """Tell an engine what others saw before it began, once that is known."""
        if self._seen is None or not self._seen.done():
            return
        seen, self._seen = self._seen, None
        if seen.exception() is None:
            of_wall = engine.clock.of_wall
            changes = seen.result().items()
            told = {name: [replace(one, since=of_wall(one.since, 0)) for one in held] for name, held in changes}
            if pools := engine.pools.recall(told):
                engine.put_anew(pools)

    def follow(self, planned: plan.Plan) -> None:
        """Take over the plan of an engine that is about to start."""
        if self._membership is not None:
            services = [service for service in planned.services.values() if service is not None]
            self._membership.follow(planned.common or plan.Common(), services)

    def applied(self, engine: Engine) -> None:
        """An engine took over a plan, and is about to put it."""
        if self._membership is not None and engine.mark != self._mark:
            self._membership.follow(engine.common, engine.planned)
            self._mark = engine.mark

    async def run(self, engine: Engine, bgp: Callable[[], Mapping[str, Any] | None]) -> None:
        """Report what becomes of the engine, for ever. bgp: reports its sessions with routers."""
        self._engine = engine
        self._switch.connect(engine.driver)
        try:
            if self._membership is None:  # what a former run left may have been another one's
                self._switch.answer_until(ALWAYS)
            await self._follow(engine, bgp)
        finally:
            self._switch.disconnect()

    async def _follow(self, engine: Engine, bgp: Callable[[], Mapping[str, Any] | None]) -> None:
        while True:
            await self._look()
            self.recall(engine)
            if self._membership is not None:
                self.applied(engine)
                carrier = any(engine.network.is_up(one.index) for one in engine.interfaces.served())
                self._membership.say(self._record(engine, bgp()), carrier=carrier)
                others = self._membership.addresses, self._membership.macs
                if others != self._others:
                    self._others = others
                    engine.others_changed()
                self._rest(engine)
                if self._membership.first:
                    self._membership.sharing.tell(engine.pools.changes())
            while self._news:
                engine.events.tell(*self._news.pop(0))
            await asyncio.sleep(LOOK_EVERY)

    def share(self, vip: bytes) -> Share | None:
        """The engine's share in a VIP, by the VIP's place."""
        if self._membership is None:
            return None if self._joins else Share()
        role = self._membership.role(vip)
        return None if role is None else Share(role.answers, role.tells)

    def addresses(self) -> frozenset[bytes]:
        """The IPv4 addresses of the other engines."""
        return self._membership.addresses if self._membership else frozenset()

    def macs(self) -> frozenset[bytes]:
        """The MAC addresses of the other engines."""
        return self._membership.macs if self._membership else frozenset()

    def report(self) -> dict[str, Any] | None:
        """The membership's report; None: the host shares no store."""
        return None if self._membership is None else self._membership.report()

    async def leave(self) -> None:
        """The engine ends. Have others take its VIPs."""
        if self._membership is not None:
            await self._membership.leave(LEAVING)

    async def close(self, *, leave: bool) -> None:
        """End. leave: tell the others at once."""
        if self._membership is not None:
            await self._membership.close(leave=leave)

    async def _look(self) -> None:
        """Whether the host shares a store."""
        if self._shared.exists() == (self._membership is not None):
            return
        if self._membership is not None:
            await self._membership.close(leave=True)
            self._membership, self._mark = None, None
            self._switch.answer_until(ALWAYS)
            self._changed(self._engine.index.vips if self._engine else ())
            return
        from dataplane.cluster import address
        from dataplane.membership.membership import Membership

        try:
            found = address.remembered(self._shared.parent)
        except ClusterError as exc:
            if exc.what != self._fault:
                text = f"the engines of other hosts are not known: {exc.what}"
                self._note(kinds.CLUSTER_LOST, THIS_ENGINE, text)
            self._fault = exc.what
            return
        if found is not None:
            self._fault, self._joins = "", False
            said = self._record(self._engine, None)
            self._membership = Membership(
                found,
                self._name,
                said,
                self._memory,
                self._note,
                self._changed,
                lambda line, tell: self.answer(line, tell),
                self._switch.answer_until,
            )
            self._membership.start()
            self._seen = self._membership.sharing.recall()

    def _note(self, kind: Kind, about: Subject, text: str) -> None:
        self._news.append((kind, about, text))

    def _changed(self, vips: Collection[bytes]) -> None:
        if self._engine is not None:
            self._engine.shares_changed(vips)
            self._rest(self._engine)

    def _rest(self, engine: Engine) -> None:
        """Check servers, or have that rest."""
        rests = self._membership is not None and self._membership.stands_by
        if engine.members.health.rest(rests):
            how = "the checks of its servers rest until it is active" if rests else "its servers are checked again"
            engine.events.tell(
                kinds.CHECKS_REST if rests else kinds.CHECKS_BACK, THIS_ENGINE, f"hm_on_standby is false: {how}"
            )

    def _record(self, engine: Engine | None, bgp: Mapping[str, Any] | None) -> EngineRecord:
        """What is said of the engine. None: of one that has not started yet."""
        from dataplane.membership.record import EngineRecord

        # a boot's number tells hosts apart that are copies of each other
        identity = f"{_BOOT.read_text('ascii').strip()} {self._instance} {self._inode}"
        said = EngineRecord(identity, platform.node())
        if engine is None:
            return said
        attached = [
            (address, str(IPv4Network((address, length), strict=False)))
            for one in engine.interfaces.served()
            for address, length in engine.network.networks(one.index)
        ]
        peers = bgp["peers"] if bgp else ()
        up = sum(peer["state"] == "established" for peer in peers)
        return EngineRecord(
            said.identity,
            said.host,
            engine.group,
            tuple(socket.inet_ntoa(address) for address, _ in attached),
            tuple(one.mac.hex(":") for one in engine.interfaces.served()),
            tuple(network for _, network in attached),
            version=max(0, engine.version),
            bgp=f"{up} of {len(peers)} peers established" if peers else "",
            peerless=bool(peers) and not up,
            announced=tuple(sorted(socket.inet_ntoa(vip) for vip in engine.vips.announced())),
            forwards_on=not engine.driver.ends_with_process(),
        )


async def _not_yet(_line: bytes, _tell: Callable[[str], None]) -> AsyncIterator[bytes]:
    yield b'{"error": "it is starting"}'
