"""Tells routers of VIPs, by BGP: an announcer (`dataplane.vip.announcer`) over a BIRD of the engine's own."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dataplane import plan
from dataplane.bgp import birdconfig, birdcontrol, peerstates
from dataplane.bgp.birdcontrol import Line
from dataplane.bgp.keeper import SPREAD, Patience
from dataplane.bgp.keeping import Keeping
from dataplane.bgp.sessions import Sessions
from dataplane.errors import EngineError
from dataplane.events import kinds
from dataplane.events.model import THIS_ENGINE, Tell
from dataplane.forwarding.values import Interface
from dataplane.runtime import tasks
from dataplane.vip.announcer import Announcement, Known, State

TOGETHER = 0.02
"""Seconds in which changes are gathered, so that BIRD reads its configuration once for all of them."""
LOOK_EVERY = 1.0
"""Seconds between two looks at the sessions."""


class BgpAnnouncer:
    """Announces VIPs by a BIRD. Used on the engine's event loop. folder: for BIRD's files, which nobody needs after a
    boot; forwards_on: the kernel goes on forwarding when the engine's process has ended; tell: called with events;
    heard_again: called when a router hears the engine again after none did, before routers are told anything, with the
    seconds of the gap.

    BIRD is started with the first peer, and reads its configuration anew with every change. What it refuses leaves it,
    and its files, as they were.
    """

    name = "bgp"

    def __init__(
        self,
        folder: Path,
        *,
        forwards_on: bool,
        tell: Tell,
        patience: Patience | None = None,
        heard_again: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._folder, self._tell, self._heard_again = folder, tell, heard_again
        self._keeping = Keeping(
            folder, forwards_on=forwards_on, prepare=self._prepare, heard=self._heard, tell=tell, patience=patience
        )
        self._kept = False  # there is a keeper: nobody else writes BIRD's files
        self._bgp: plan.Bgp | None = None
        self._addresses: tuple[bytes, ...] = ()
        self._routes: dict[bytes, plan.Route] = {}
        self._told: dict[bytes, float] = {}  # the VIPs that BIRD has routes to, and since when (monotonic)
        self._written: Mapping[str, str] = {}  # the text of each of BIRD's files
        self._bird = 0  # BIRD's process, 0: it does not run
        self._read = False  # BIRD has read its files as they are now
        self._fault, self._refusal = "", ""
        self._sessions = Sessions(tell)
        self._hearing = (0, 0.0)  # the BIRD that a router heard last, and when (monotonic)
        self._unheard = False  # no router hears it: BIRD gets no routes until one does
        self._dirty = asyncio.Event()
        self._busy = asyncio.Lock()
        self._jobs: list[asyncio.Task[None]] = []
        self._retired = False

    def speak(self, bgp: plan.Bgp | None) -> None:
        """Set the engine's autonomous system and its peers; None: it has none."""
        if bgp != self._bgp:
            self._bgp = bgp
            self._dirty.set()
        if not self._jobs:
            self._jobs = [tasks.forever(job) for job in (self._put_for_ever(), self._look_for_ever())]

    def follow(self, interfaces: Iterable[Interface]) -> None:
        """Use only the peers in whose subnet an address of these interfaces is."""
        addresses = tuple(address for interface in interfaces for address in interface.addresses)
        if addresses != self._addresses:
            self._addresses = addresses
            self._dirty.set()

    def takes(self, vip: Known) -> bool:
        """Whether routers are to be told of a VIP."""
        return vip.route is not None

    def announce(self, vip: Known) -> None:
        """Have BIRD announce a VIP."""
        if vip.route is not None and self._routes.get(vip.address) != vip.route:
            self._routes[vip.address] = vip.route
            self._dirty.set()

    def withdraw(self, vip: bytes) -> None:
        """Have BIRD withdraw a VIP."""
        if self._routes.pop(vip, None) is not None:
            self._dirty.set()

    def state(self, vip: bytes) -> Announcement:
        """The state of a VIP: failed if none of the routers that are to learn it can. Announced when they have had the
        time to follow: an engine that had the VIP before withdraws then, and a router that is busy reads what two
        engines tell it in any order."""
        route = self._routes.get(vip)
        if route is None:
            return Announcement(State.WITHDRAWN)
        if reason := self._fault or self._refusal:
            return Announcement(State.FAILED, reason)
        hearers = [
            peer for peer in self._peers() if peer.advertise and (not route.labels or peer.label in route.labels)
        ]
        if not hearers:
            return Announcement(State.FAILED, "no peer that is to learn it has a session with this engine")
        if any(self._sessions.is_established(peer) for peer in hearers):
            followed = time.monotonic() - self._told.get(vip, math.inf) >= SPREAD
            return Announcement(State.ANNOUNCED if followed else State.WITHDRAWN)
        return Announcement(State.FAILED, "; ".join(map(self._sessions.words, hearers)))

    def report(self) -> dict[str, Any]:
        """The speaker's state, for the engine's report.

        {"bird": its process, null where it does not run, "fault": why it does not, or what it refused, "local_as",
         "routes": VIPs that it tells of,
         "peers": [{"address", "label", "local_as", "remote_as",
                    "state": established|connect|active|idle|opensent|openconfirm|shutdown|not here,
                    "since": seconds since the epoch, null where there is no session,
                    "prefixes": that the peer was told, "bfd": up|down|init, "" where it does not watch,
                    "lost": how often the session ended lately,
                    "reason": what keeps it from being established, in words}]}
        """
        bgp = self._bgp
        return {
            "bird": self._bird or None,
            "fault": self._fault or self._refusal,
            "local_as": bgp.local_as if bgp else None,
            "routes": len(self._told),
            "peers": self._sessions.report(bgp.peers if bgp else ()),
        }

    async def retire(self) -> None:
        """Withdraw everything, and give routers the time to follow."""
        told = bool(self._told)
        self._retired = True
        self._routes.clear()
        await self._put()
        if told and self._bird:
            await asyncio.sleep(SPREAD)

    async def close(self) -> None:
        """End. BIRD also ends if everything was withdrawn; else it goes on, and its keeper waits for an engine."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self._keeping.close(ending=self._retired)

    def _peers(self) -> tuple[plan.Peer, ...]:
        """The peers with which this engine has a session, or is to have one."""
        met = birdconfig.met(self._bgp.peers, self._addresses) if self._bgp else ()
        return tuple(peer for peer in met if not peer.shutdown)

    async def _put_for_ever(self) -> None:
        keeping = False
        while True:
            await self._dirty.wait()
            await asyncio.sleep(TOGETHER)
            self._dirty.clear()
            if self._peers() and not keeping:
                self._keeping.start()
                keeping = True
            await self._put()

    async def _prepare(self) -> None:
        """Write BIRD's files before a keeper that was just found hears anything."""
        self._kept, self._written = True, {}
        await self._put()

    async def _put(self) -> None:
        """Bring BIRD's files, and BIRD, up to date."""
        if not self._kept:
            return
        async with self._busy:
            bgp, routes = self._bgp or plan.Bgp(1), {} if self._unheard else dict(self._routes)
            met = birdconfig.met(bgp.peers, self._addresses)
            wanted = {
                birdconfig.SPEAKER: birdconfig.speaker(bgp, met, self._addresses),
                birdconfig.LABELS: birdconfig.labels(bgp, routes),
                birdconfig.ROUTES: birdconfig.routes(bgp, routes),
            }
            if wanted == self._written and (self._read or not self._bird):
                self._refuse("")
                return
            before, self._written = self._written, wanted
            try:
                await asyncio.to_thread(self._write, before, wanted)
                await self._configure()
            except EngineError as exc:
                self._refuse(exc.what)
                self._written = before
                if before:
                    await asyncio.to_thread(self._write, wanted, before)
            except OSError as exc:
                self._written = {}
                self._refuse(f"BIRD's files are not written: {exc}")
            else:
                self._refuse("")
                now = time.monotonic()
                self._told = {vip: self._told.get(vip, now) for vip in routes}

    async def _configure(self) -> None:
        """Have BIRD read its files, and tell its peers. One that has ended is started anew, and reads them.

        BIRD answers before it sends what follows from the new files, and sends that before it reads another command.
        """
        if self._bird:
            with suppress(ConnectionError, FileNotFoundError, TimeoutError):
                await asyncio.to_thread(birdcontrol.ask, self._folder, "configure")
                self._read = True
                await asyncio.to_thread(birdcontrol.ask, self._folder, "show status")

    def _refuse(self, why: str) -> None:
        if why and why != self._refusal:
            self._tell(kinds.BGP_REFUSED, THIS_ENGINE, f"BGP stays as it was: {why}")
        self._refusal = why

    def _write(self, before: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Write each file as a whole, since another speaker may read the routes at any moment. The speaker's file holds
        secrets."""
        for name, text in wanted.items():
            if before.get(name) == text:
                continue
            made = self._folder / f".{name}"
            with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
                file.write(text)
            made.replace(self._folder / name)

    def _heard(self, told: Mapping[str, Any]) -> None:
        """Take in what the keeper says."""
        if "bird" in told:
            why = told["why"] or (f"BIRD, process {self._bird}, ended" if self._bird else "")
            if self._bird != told["bird"] and why:
                text = f"{why}; BIRD was started again, as process {told['bird']}"
                self._tell(kinds.BGP_RESTARTED, THIS_ENGINE, text)
            self._bird, self._read, self._fault = told["bird"], False, ""
        elif "fault" in told:
            if self._fault != told["fault"]:
                self._tell(kinds.BGP_FAILED, THIS_ENGINE, f"BGP does not run: {told['fault']}")
            self._bird, self._fault = 0, told["fault"]
            self._sessions.forget()
        elif "withdrawn" in told:
            text = f"the keeper of BIRD had withdrawn the routes to all VIPs: {told['withdrawn']}"
            self._tell(kinds.BGP_WITHDRAWN, THIS_ENGINE, text)
            self._written = {}
        self._dirty.set()

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._bird and self._bgp is not None:
                with suppress(OSError, EngineError):
                    told = await asyncio.to_thread(self._ask)
                    met = birdconfig.met(self._bgp.peers, self._addresses)
                    self._sessions.take(self._bgp.peers, met, peerstates.parse(*told))
                    self._follow_hearing(self._bgp)

    def _follow_hearing(self, bgp: plan.Bgp) -> None:
        """Watch whether a router hears the engine. When none does, its flows go elsewhere. A BIRD that was just started
        has not been heard yet, which means nothing."""
        now, peers = time.monotonic(), self._peers()
        if any(self._sessions.is_established(peer) for peer in peers):
            if self._unheard:
                noticed = max(_noticed_after(bgp, peer) for peer in peers) + LOOK_EVERY
                self._heard_again(now - self._hearing[1] + noticed)
                self._unheard = False
                self._dirty.set()
            self._hearing = (self._bird, now)
        elif peers and self._hearing[0] == self._bird and not self._unheard:
            self._unheard = True
            self._dirty.set()

    def _ask(self) -> tuple[list[Line], list[Line]]:
        watched = any(peer.bfd for peer in self._peers())
        return (
            birdcontrol.ask(self._folder, "show protocols all"),
            birdcontrol.ask(self._folder, "show bfd sessions") if watched else [],
        )


def _noticed_after(bgp: plan.Bgp, peer: plan.Peer) -> float:
    """Seconds after which a peer that is cut off is known to be."""
    if peer.bfd:
        return bgp.bfd_multiplier * max(bgp.bfd_transmit, bgp.bfd_receive) / 1000
    return float(peer.hold_time)
