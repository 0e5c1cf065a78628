"""Decides which engines are there, and writes where VIPs are. Each engine writes for VIPs that it is to have next; the
placer writes for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import time

from dataplane.cluster import operations as op
from dataplane.cluster.etcd import Etcd
from dataplane.cluster.operations import Json
from dataplane.errors import ClusterError
from dataplane.membership import conclusions, places, writing
from dataplane.membership.knowledge import Knowledge
from dataplane.membership.link import Link, Standing
from dataplane.membership.places import Placer
from dataplane.placement import arbitration, placing
from dataplane.placement.model import Place, Presence
from dataplane.runtime import tasks

LOOK_EVERY = 0.5
"""Seconds after which is decided anew, whether or not something is new: leases are kept, and times run out."""
TOGETHER = 0.005
"""Seconds. What is heard together is decided on together."""
DOUBT = 0.3
"""Seconds for which more deaths than there are survivors are doubted."""
MISSING = 0.5
"""Seconds in which an engine that is heard and has gone from etcd is to register again."""
_AGAIN = 0.1
"""Seconds after a write that failed."""


class Arbiter:
    """The deciding part of a membership; on its event loop. known: what is known, which others keep up to date;
    conclude: gets what was concluded of each engine, where that is something else than before."""

    def __init__(self, known: Knowledge, link: Link, conclude: Callable[[Mapping[str, Presence]], None]) -> None:
        self._of, self._link, self._conclude = known, link, conclude
        self._dirty = asyncio.Event()
        self._makes_secret = False
        self._missing: dict[str, float] = {}  # since when an engine that is heard has gone from etcd
        self._doubted: float | None = None  # since when it is doubted what was concluded, by the loop's time
        self._decided: tuple[object, ...] = (None,) * 5  # what was decided from last
        self.lacking: Mapping[str, str] = {}  # why a VIP has fewer engines than it should have, by VIP
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = tasks.once(self._run())

    def wake(self, *, makes_secret: bool) -> None:
        """Something new is known. makes_secret: the cluster has no secret yet."""
        self._makes_secret = makes_secret
        self._dirty.set()

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        await self._dirty.wait()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._dirty.wait()
            await asyncio.sleep(TOGETHER)
            self._dirty.clear()
            try:
                await self._decide()
            except ClusterError:
                await asyncio.sleep(_AGAIN)  # the link tells of it
            except Exception as exc:  # whoever decides must not stop for one that cannot be decided
                tasks.tell("nothing was decided", exc)
                await asyncio.sleep(_AGAIN)

    async def _decide(self) -> None:
        of, link = self._of, self._link
        if link.state.standing is not Standing.MEMBER or of.name not in of.engines:
            return
        if self._makes_secret:
            await asyncio.wrap_future(link.do(lambda etcd, _: writing.secret(etcd, link.key("secret"))))
        before = of.placer or Placer("")
        answering = link.answering()
        concluded = self._patient(conclusions.presences(of.engines, before, of.left, answering), before)
        if self._doubts(concluded, before):
            return
        if concluded != of.presences:
            self._conclude(concluded)
        found = of.presences  # the same object as long as it is the same
        if found[of.name] is Presence.DEAD:
            return
        known = conclusions.remembered(found, of.engines.keys(), of.places.values())
        placer = self._placer(before, found, known)
        if placer.engine != of.name:  # whoever places may hang: what is next in a place does not wait for it
            await self._write(dict(arbitration.successions(of.places, found, of.name, time())), ())
            return
        if (placer.presences, placer.groups, placer.engine) != (before.presences, before.groups, before.engine):
            key = link.key(places.PLACER)
            await asyncio.wrap_future(
                link.do(lambda etcd, lease: writing.elect(etcd, lease, key, placer))
            )  # what is heard of it wakes this again
            return
        inputs = of.engines, of.places, found, of.common, of.vips
        waits = any(place.leavers for place in of.places.values())
        if not waits and all(one is other for one, other in zip(inputs, self._decided, strict=False)):
            return
        situation = of.situation(time())
        decided = await asyncio.to_thread(placing.place, situation)
        self.lacking = {name: one.lacking for name, one in decided.items() if one.lacking}
        compare = [op.unchanged(link.key(places.PLACER), placer.revision)]
        if await self._write(placing.changes(situation, decided), compare):
            self._decided = inputs

    def _patient(self, concluded: Mapping[str, Presence], before: Placer) -> dict[str, Presence]:
        """What is concluded, but for engines that have just gone from etcd and are heard: they come again, unless they
        are cut off."""
        now, cut = asyncio.get_running_loop().time(), {n for n, one in concluded.items() if one is Presence.CUT}
        self._missing = {name: self._missing.get(name, now) for name in cut}
        waits = {name for name, since in self._missing.items() if now - since < MISSING and name in before.presences}
        if waits:
            asyncio.get_running_loop().call_later(MISSING / 3, self._dirty.set)
        return {name: before.presences[name] if name in waits else one for name, one in concluded.items()}

    def _doubts(self, concluded: Mapping[str, Presence], before: Placer) -> bool:
        """Whether to wait for what others say: few do not hear many, and many would hear no more of few either."""
        registered = self._of.engines.keys()
        dead = {name for name in registered if concluded[name] is Presence.DEAD}
        new = {name for name in dead if before.presences.get(name, Presence.DEAD) is not Presence.DEAD}
        if len(new) <= len(registered - dead):
            self._doubted = None
            return False
        now = asyncio.get_running_loop().time()
        if self._doubted is None:
            self._doubted = now
        if now - self._doubted >= DOUBT:
            return False
        asyncio.get_running_loop().call_later(DOUBT / 3, self._dirty.set)
        return True

    def _placer(self, before: Placer, found: Mapping[str, Presence], known: set[str]) -> Placer:
        """The engine that is to place, with what it is to have concluded."""
        of = self._of
        stays = before.engine in of.engines and found.get(before.engine) is not Presence.DEAD
        engine = before.engine if stays else of.name
        groups = {**before.groups, **{name: one.record.group for name, one in of.engines.items()}}
        return Placer(
            engine,
            {name: found[name] for name in sorted(known)},
            {name: groups[name] for name in sorted(known)},
            before.revision,
        )

    async def _write(self, changes: Mapping[str, Place | None], compare: Sequence[Json]) -> bool:
        """Write places; False where somebody else was faster."""
        if not changes:
            return True
        link = self._link
        epochs = {name: place.epoch for name, place in self._of.places.items()}

        def job(etcd: Etcd, _: int) -> bool:
            return writing.write(etcd, link.key(places.FOLDER), changes, epochs, compare)

        if await asyncio.wrap_future(link.do(job)):
            return True
        await asyncio.sleep(_AGAIN)
        self._dirty.set()
        return False
