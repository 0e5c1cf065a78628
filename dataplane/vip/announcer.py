"""Announces owned VIPs: gratuitous ARP, as a request and as a reply, because stacks differ in which they believe
(RFC 5227 section 3, RFC 826; arp_accept in ip-sysctl). Repeated, because one frame may be lost.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

from dataplane.forwarding.values import Interface
from dataplane.runtime import tasks

BROADCAST = b"\xff" * 6
REPEATS = 3
INTERVAL = 1.0
"""Seconds between repetitions."""

_ETH_P_ARP = 0x0806
_HEADER = struct.pack("!HHBB", 1, 0x0800, 6, 4)


def gratuitous(mac: bytes, vip: bytes) -> tuple[bytes, bytes]:
    """The two frames, a request and a reply, that tell a segment that a VIP is at a MAC address (42 bytes each)."""
    ethernet = BROADCAST + mac + struct.pack("!H", _ETH_P_ARP) + _HEADER
    request = ethernet + struct.pack("!H", 1) + mac + vip + bytes(6) + vip
    reply = ethernet + struct.pack("!H", 2) + mac + vip + BROADCAST + vip
    return request, reply


class Rounds:
    """When all owned VIPs are announced again: each time a period is over. Pure: the caller has the clock."""

    def __init__(self) -> None:
        self._period = 0.0
        self._next = 0.0

    def due(self, period: float, now: float) -> bool:
        """Whether a round is due. period: seconds, 0 = there are none; another one than before begins now."""
        if period != self._period:
            self._period, self._next = period, now + period
        if not period or now < self._next:
            return False
        self._next = now + period  # what was missed is not made up for
        return True


class Announcer:
    """Announces VIPs on interfaces, each a few times; a VIP withdrawn meanwhile is announced no further."""

    def __init__(self) -> None:
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        self._wire: socket.socket | None = None

    def announce(self, vip: bytes, interfaces: Iterable[Interface]) -> None:
        """Announce now, and again every INTERVAL seconds, REPEATS times in all."""
        self.withdraw(vip)
        self._tasks[vip] = tasks.once(self._repeat(vip, tuple(interfaces)))

    def withdraw(self, vip: bytes) -> None:
        """Stop repeating. ARP has no way to take an address back: caches run out, or follow the next owner's call."""
        task = self._tasks.pop(vip, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Stop everything."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def _repeat(self, vip: bytes, interfaces: tuple[Interface, ...]) -> None:
        for _ in range(REPEATS):
            for interface in interfaces:
                with suppress(OSError):  # a link that is down now says it again at the next turn
                    self._send(interface, gratuitous(interface.mac, vip))
            await asyncio.sleep(INTERVAL)

    def _send(self, interface: Interface, frames: Iterable[bytes]) -> None:
        """By one socket for all: closing one takes the kernel milliseconds, a VIP."""
        if self._wire is None:
            self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        for frame in frames:
            self._wire.sendto(frame, (interface.name, 0))
