"""What is reported of the tunnels: ICMP to the engine's own address, quoting a tunnel of ours to a known server.
Fragmentation needed comes from routers and is the path's MTU (RFC 1191, RFC 2003 section 5.1); any other unreachable is
why a server's tunnel does not work.

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


_PROTOCOL, _PORT = 2, 3
_CODES = {
    0: "network unreachable", 1: "host unreachable", 5: "source route failed", 6: "network unknown", 7: "host unknown",
    9: "network prohibited", 10: "host prohibited", 11: "network unreachable for its TOS",
    12: "host unreachable for its TOS", 13: "communication prohibited",
}  # fmt: skip
"""The codes of unreachable messages (RFC 792, RFC 1812 section 5.2.7.1)."""


class Report(NamedTuple):
    """A router's word: the largest packet, in bytes, towards a server."""

    server: bytes
    mtu: int


def reported(message: bytes, own: Collection[bytes], servers: Collection[bytes]) -> Report | None:
    """What an ICMP message (from its type on) reports of a tunnel; None for any other message.

    own: the engine's addresses; servers: those that tunnels lead to.
    """
    server = _quoted(message, own, servers)
    if server is None or message[1] != _FRAGMENTATION_NEEDED:
        return None
    return Report(server, max(FLOOR, struct.unpack_from("!H", message, 6)[0]))


class Refusal(NamedTuple):
    """Why a tunnel does not reach a server, in words for an operator."""

    server: bytes
    reason: str


def refused(message: bytes, reporter: bytes, own: Collection[bytes], servers: Collection[bytes]) -> Refusal | None:
    """What an ICMP message says against a tunnel; None for any other message.

    Linux answers protocol unreachable where nothing takes the tunnel's protocol, and port unreachable where something
    does, but no tunnel of its own is this one (tunnel4_rcv and gre_rcv in net/ipv4).
    """
    server = _quoted(message, own, servers)
    if server is None or message[1] == _FRAGMENTATION_NEEDED:
        return None
    code = message[1]
    tunnel = "GRE" if message[17] == IPPROTO_GRE else "IP-in-IP"
    if code in (_PROTOCOL, _PORT) and reporter == server:
        said = "protocol" if code == _PROTOCOL else "port"
        return Refusal(server, f"the server does not decapsulate {tunnel}: it answers ICMP {said} unreachable")
    said = _CODES.get(code, f"unreachable, code {code}")
    return Refusal(
        server, f"the {tunnel} tunnel does not reach the server: {socket.inet_ntoa(reporter)} answers {said}"
    )


def _quoted(message: bytes, own: Collection[bytes], servers: Collection[bytes]) -> bytes | None:
    """The server of the tunnel of ours that an unreachable message quotes."""
    if len(message) < 8 + IP_HLEN or message[0] != _UNREACHABLE:
        return None
    quoted = message[8:]
    if quoted[0] >> 4 != 4 or quoted[9] not in (IPPROTO_IPIP, IPPROTO_GRE):
        return None
    source, server = quoted[12:16], quoted[16:20]
    return server if source in own and server in servers else None


class PathMtus:
    """The reports that count, from a raw socket."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._known: dict[bytes, tuple[int, float]] = {}
        self._refusals: dict[bytes, tuple[str, float]] = {}
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

    def refusal(self, server: bytes, since: float) -> str:
        """Why a server's tunnel does not work, when that was said since then (time.monotonic()); else nothing."""
        reason, when = self._refusals.get(server, ("", 0.0))
        return reason if when >= since else ""

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
        message = packet[(packet[0] & 0x0F) * 4 :]
        refusal = refused(message, packet[12:16], self._own, self._servers)
        if refusal is not None:
            self._refusals[refusal.server] = refusal.reason, time.monotonic()
        report = reported(message, self._own, self._servers)
        if report is not None:
            before = self.get(report.server)
            mtu = min(report.mtu, before or report.mtu)
            self._known[report.server] = mtu, time.monotonic() + LIFE
            if mtu != before:
                self._changed()
