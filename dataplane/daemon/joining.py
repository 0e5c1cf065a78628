"""The engine among those of other hosts, where its host shares a store: what is needed for that is loaded then."""

from __future__ import annotations

import asyncio
import platform
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataplane import statedir
from dataplane.engine.engine import Engine
from dataplane.errors import ClusterError, EngineError

if TYPE_CHECKING:
    from dataplane.membership.answering import Answer
    from dataplane.membership.membership import Membership
    from dataplane.membership.record import EngineRecord

LOOK_EVERY = 0.2
"""Seconds between two looks at what the engine says of itself, and at whether its host shares a store."""
FIRST = 1.0
"""Seconds that a start waits for whether another engine has its name. It goes on where etcd does not answer."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Joining:
    """Of one engine. state: the state directory; name: the engine's; instance: its name among all on this machine."""

    def __init__(self, state: Path, name: str, instance: str) -> None:
        self._shared, self._name, self._instance = state / statedir.SHARED, name, instance
        self._membership: Membership | None = None
        self._fault = ""  # why it is not known which store the host shares
        self._news: list[str] = []  # what happened before there was somebody to tell
        self.answer: Answer = _not_yet  # answers what other hosts ask

    async def begin(self) -> None:
        """Before the engine takes anything: raises EngineError where another one has its name."""
        await self._look()
        if self._membership is not None and (why := await self._membership.refusal(FIRST)):
            raise EngineError(why, remedy="--name gives another one a name")

    async def run(self, engine: Engine, bgp: Callable[[], Mapping[str, Any] | None]) -> None:
        """Say what becomes of the engine, for ever. bgp: what there is to tell of its sessions with routers."""
        while True:
            await self._look()
            if self._membership is not None:
                self._membership.say(self._record(engine, bgp()))
            while self._news:
                engine.events.add(self._news.pop(0))
            await asyncio.sleep(LOOK_EVERY)

    def report(self) -> dict[str, Any] | None:
        """What there is to tell; None where the host shares no store."""
        return None if self._membership is None else self._membership.report()

    async def close(self, *, leave: bool) -> None:
        """End. leave: the others hear of it at once."""
        if self._membership is not None:
            await self._membership.close(leave=leave)

    async def _look(self) -> None:
        """Whether the host shares a store."""
        if self._shared.exists() == (self._membership is not None):
            return
        if self._membership is not None:
            await self._membership.close(leave=True)
            self._membership = None
            return
        from dataplane.cluster import address
        from dataplane.membership.membership import Membership

        try:
            found = address.remembered(self._shared.parent)
        except ClusterError as exc:
            if exc.what != self._fault:
                self._news.append(f"the engines of other hosts are not known: {exc.what}")
            self._fault = exc.what
            return
        if found is not None:
            self._fault = ""
            self._membership = Membership(
                found, self._name, self._record(None, None), self._news.append, lambda line: self.answer(line)
            )
            self._membership.start()

    def _record(self, engine: Engine | None, bgp: Mapping[str, Any] | None) -> EngineRecord:
        """What is said of the engine. None: of one that has not started yet."""
        from dataplane.membership.record import EngineRecord

        # a boot's number tells hosts apart that are copies of each other
        said = EngineRecord(f"{_BOOT.read_text('ascii').strip()} {self._instance}", platform.node())
        if engine is None:
            return said
        interfaces = engine.interfaces.served()
        peers = bgp["peers"] if bgp else ()
        up = sum(peer["state"] == "established" for peer in peers)
        return EngineRecord(
            said.identity,
            said.host,
            engine.group,
            tuple(sorted(socket.inet_ntoa(address) for one in interfaces for address in one.addresses)),
            tuple(sorted(one.mac.hex(":") for one in interfaces)),
            version=max(0, engine.version),
            bgp=f"{up} of {len(peers)} peers established" if peers else "",
        )


async def _not_yet(_: bytes) -> dict[str, Any]:
    return {"error": "it is starting"}
