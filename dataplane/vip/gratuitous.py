"""Announces VIPs to their segments: gratuitous ARP, as a request and as a reply, because stacks differ in which they
believe (RFC 5227 section 3, RFC 826; arp_accept in ip-sysctl). Repeated, because one frame may be lost.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from dataplane.forwarding.values import Interface
from dataplane.runtime import tasks
from dataplane.vip import arp
from dataplane.vip.announcer import Announcement, Known, State

REPEATS = 3
INTERVAL = 1.0
"""Seconds between repetitions."""


def frames(mac: bytes, vip: bytes) -> tuple[bytes, bytes]:
    """The two frames, a request and a reply, that tell a segment that a VIP is at a MAC address (42 bytes each)."""
    return arp.request(mac, vip, vip), arp.reply(mac, vip, arp.BROADCAST, vip)


class GratuitousArp:
    """Announces each VIP a few times; one that is withdrawn meanwhile is announced no further."""

    name = "arp"

    def __init__(self) -> None:
        self._interfaces: tuple[Interface, ...] = ()
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        self._states: dict[bytes, Announcement] = {}
        self._wire: socket.socket | None = None

    def follow(self, interfaces: Iterable[Interface]) -> None:
        """Announce on these from the next `announce` on."""
        self._interfaces = tuple(interfaces)

    def takes(self, vip: Known) -> bool:
        """Whether the engine answers ARP for a VIP."""
        return vip.by_arp

    def announce(self, vip: Known) -> None:
        """Announce now, and again every INTERVAL seconds, REPEATS times in all."""
        address = vip.address
        self.withdraw(address)
        self._states[address] = Announcement(State.ANNOUNCED)
        self._tasks[address] = tasks.once(self._repeat(address, self._interfaces))

    def withdraw(self, vip: bytes) -> None:
        """Stop repeating. ARP cannot take an address back: caches run out, or follow the next owner's call."""
        self._states.pop(vip, None)
        task = self._tasks.pop(vip, None)
        if task is not None:
            task.cancel()

    def state(self, vip: bytes) -> Announcement:
        """Failed where the last call left by none of the interfaces."""
        return self._states.get(vip, Announcement(State.WITHDRAWN))

    async def retire(self) -> None:
        """ARP cannot take an address back."""

    async def close(self) -> None:
        """Stop everything."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        self._states.clear()
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def _repeat(self, vip: bytes, interfaces: tuple[Interface, ...]) -> None:
        for _ in range(REPEATS):
            self._states[vip] = self._call(vip, interfaces)
            await asyncio.sleep(INTERVAL)

    def _call(self, vip: bytes, interfaces: tuple[Interface, ...]) -> Announcement:
        failed = []
        for interface in interfaces:
            try:
                self._send(interface, frames(interface.mac, vip))
            except OSError as exc:  # a link that is down now says it again at the next turn
                failed.append(f"{interface.name}: {exc.strerror}")
        if len(failed) < len(interfaces):
            return Announcement(State.ANNOUNCED)
        return Announcement(State.FAILED, "; ".join(failed) or "no interface is served")

    def _send(self, interface: Interface, calls: Iterable[bytes]) -> None:
        """Sends by one socket for all VIPs: closing a socket takes the kernel milliseconds."""
        if self._wire is None:
            self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        for frame in calls:
            self._wire.sendto(frame, (interface.name, 0))
