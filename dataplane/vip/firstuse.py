"""Asks for a new VIP before it is announced for the first time: it may be somebody's address (RFC 5227).

It sends two ARP probes, once since the VIP was configured. A VIP that an engine of this state directory has announced
before is not asked for: an engine that starts again, or takes over, announces at once. `record` remembers which those
are.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable

from dataplane.events import kinds
from dataplane.events.model import Subject, Tell
from dataplane.forwarding.values import Interface
from dataplane.runtime import tasks
from dataplane.vip.record import VipRecord

AGAIN, AT_MOST = 1.0, 10.0
"""Seconds until a VIP that somebody else has is asked for again: AGAIN at first, doubled each time up to AT_MOST."""
AT_ONCE = 256
"""VIPs that are asked for at a time: the probes of more would not fit into a socket's buffer."""


class FirstUse:
    """Says whether a VIP may be announced. Used on the engine's event loop.

    record: the VIPs that were announced before, None: all were; ask: finds who answers for a VIP, by MAC address;
    changed: gets a VIP that may be announced now, or that somebody else was found to have; tell: hears of
    events; engines: the MAC addresses of engines of other hosts, which may have it.
    """

    def __init__(
        self,
        record: VipRecord | None,
        ask: Callable[[bytes], Awaitable[Collection[bytes]]],
        changed: Callable[[bytes], None],
        tell: Tell,
        engines: Callable[[], Collection[bytes]] = frozenset,
    ) -> None:
        self._record, self._ask, self._changed, self._tell, self._engines = record, ask, changed, tell, engines
        self._asking: dict[bytes, asyncio.Task[None]] = {}
        self._holders: dict[bytes, tuple[str, ...]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def start(self, planned: Iterable[bytes], running: Iterable[bytes]) -> None:
        """The engine starts. planned: all VIPs of its plan; running: those that were found running."""
        if self._record is not None:
            self._record.start(planned)
            for vip in running:
                self._record.add(vip)

    def follow(self, interfaces: Iterable[Interface]) -> None:
        """The engine serves these interfaces from now on."""
        if self._record is not None:
            self._record.follow(interface.mac for interface in interfaces)

    def allows(self, vip: bytes) -> bool:
        """Whether a VIP may be announced. One that is new is asked for from now on, until it may."""
        if self._record is None or vip in self._record:
            return True
        if vip not in self._asking:
            self._asking[vip] = tasks.once(self._ask_until_free(vip, self._record))
        return False

    def reason(self, vip: bytes) -> str:
        """Who has a VIP, which is therefore not announced, in words; "" where nobody was found."""
        holders = self._holders.get(vip)
        return f"{', '.join(holders)} answers ARP for it" if holders else ""

    def forget(self, vip: bytes) -> None:
        """A VIP is no longer configured: if it comes back, it is new."""
        self._holders.pop(vip, None)
        task = self._asking.pop(vip, None)
        if task is not None:
            task.cancel()
        if self._record is not None:
            self._record.remove(vip)

    async def close(self) -> None:
        """End."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        if self._record is not None:
            self._record.close()

    async def _ask_until_free(self, vip: bytes, record: VipRecord) -> None:
        pause = AGAIN
        while holders := await self._answering(vip):
            if self._holders.get(vip) != holders:
                self._holders[vip] = holders
                address = socket.inet_ntoa(vip)
                text = f"VIP {address} is not announced: {self.reason(vip)}"
                self._tell(kinds.VIP_REFUSED, Subject("vip", address), text)
                self._changed(vip)
            await asyncio.sleep(pause)
            pause = min(2 * pause, AT_MOST)
        self._holders.pop(vip, None)
        del self._asking[vip]
        record.add(vip)
        self._changed(vip)

    async def _answering(self, vip: bytes) -> tuple[str, ...]:
        async with self._room:
            found = await self._ask(vip)
        others = self._record.others().union(self._engines()) if found and self._record is not None else frozenset()
        return tuple(sorted(mac.hex(":") for mac in found if mac not in others))
