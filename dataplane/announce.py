"""Announces owned VIPs: gratuitous ARP, as a request and as a reply, because stacks differ in which they believe
(RFC 5227 section 3, RFC 826; arp_accept in ip-sysctl). Repeated, because one frame may be lost.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

from .forwarding import Interface

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


class Announcer:
    """Announces VIPs on interfaces, each a few times; a VIP withdrawn meanwhile is announced no further."""

    def __init__(self) -> None:
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    def announce(self, vip: bytes, interfaces: Iterable[Interface]) -> None:
        """Announce now, and again every INTERVAL seconds, REPEATS times in all."""
        self.withdraw(vip)
        self._tasks[vip] = asyncio.create_task(self._repeat(vip, tuple(interfaces)))

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

    async def _repeat(self, vip: bytes, interfaces: tuple[Interface, ...]) -> None:
        for _ in range(REPEATS):
            for interface in interfaces:
                with suppress(OSError):  # a link that is down now says it again at the next turn
                    _send(interface, gratuitous(interface.mac, vip))
            await asyncio.sleep(INTERVAL)


def _send(interface: Interface, frames: Iterable[bytes]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind((interface.name, 0))
        for frame in frames:
            wire.send(frame)
