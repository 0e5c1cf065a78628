"""What routers report of the tunnels' path: ICMP fragmentation-needed to the engine's own address (RFC 1191, RFC 2003
section 5.1), quoting a tunnel of ours to a known server.

The kernel hands every ICMP message to a raw socket; nothing of this is a frame for a VIP, so no driver sees it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from .rewrite import IP_HLEN, IPPROTO_GRE, IPPROTO_IPIP

FLOOR = 576
"""Bytes; a router that reports less (or 0, RFC 791's times) is believed as far as this."""
LIFE = 600.0
"""Seconds after which a report is forgotten, and larger packets are tried again."""
_UNREACHABLE, _FRAGMENTATION_NEEDED = 3, 4


class Report(NamedTuple):
    """A router's word: the largest packet, in bytes, towards a server."""

    server: bytes
    mtu: int


def reported(message: bytes, own: Collection[bytes], servers: Collection[bytes]) -> Report | None:
    """What an ICMP message (from its type on) reports of a tunnel; None for any other message.

    own: the engine's addresses; servers: those that tunnels lead to.
    """
    if len(message) < 8 + IP_HLEN or message[0] != _UNREACHABLE or message[1] != _FRAGMENTATION_NEEDED:
        return None
    quoted = message[8:]
    if quoted[0] >> 4 != 4 or quoted[9] not in (IPPROTO_IPIP, IPPROTO_GRE):
        return None
    source, server = quoted[12:16], quoted[16:20]
    if source not in own or server not in servers:
        return None
    return Report(server, max(FLOOR, struct.unpack_from("!H", message, 6)[0]))


class PathMtus:
    """The reports that count, from a raw socket."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._known: dict[bytes, tuple[int, float]] = {}
        self._own: Collection[bytes] = ()
        self._servers: Collection[bytes] = ()
        self._socket: socket.socket | None = None

    def follow(self, own: Collection[bytes], servers: Collection[bytes]) -> None:
        """Believe reports about tunnels from one of our own addresses to one of these servers. Raises OSError."""
        self._own, self._servers = frozenset(own), frozenset(servers)
        if self._servers and self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
            asyncio.get_running_loop().add_reader(self._socket, self._receive)
        elif not self._servers:
            self.close()

    def get(self, server: bytes) -> int:
        """Bytes of the largest packet towards a server that a router reported; 0 = nothing."""
        mtu, until = self._known.get(server, (0, 0.0))
        return mtu if time.monotonic() < until else 0

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            packet = self._socket.recv(65536)
        except OSError:
            return
        report = reported(packet[(packet[0] & 0x0F) * 4 :], self._own, self._servers)
        if report is not None:
            before = self.get(report.server)
            mtu = min(report.mtu, before or report.mtu)
            self._known[report.server] = mtu, time.monotonic() + LIFE
            if mtu != before:
                self._changed()
