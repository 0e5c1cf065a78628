"""Echo requests that tell why a VIP is silent: with a TTL of 1, of full size, into a tunnel (RFC 792).

To a TTL of 1 a server that has the address still answers; one that would forward the packet reports time exceeded, from
its own address.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct
from typing import NamedTuple

from dataplane.forwarding.rewrite import GRE_HLEN, IP_HLEN, IPPROTO_GRE, IPPROTO_IPIP
from dataplane.network import icmp
from dataplane.runtime.rawsocket import RawListener

_OUTER = {IPPROTO_IPIP: IP_HLEN, IPPROTO_GRE: IP_HLEN + GRE_HLEN}
"""Bytes of a tunnel's headers, by its protocol."""
_SHORTEST = 60
"""Bytes of the smallest packet that is sent."""


class Answer(NamedTuple):
    """The ICMP message that came back."""

    type: int  # RFC 792
    code: int  # RFC 792
    sender: bytes  # the address that it came from


class Echoes:
    """Sends echo requests and waits for what comes back. The sockets are opened by the first request."""

    def __init__(self) -> None:
        self._listener = RawListener(socket.IPPROTO_ICMP, self._received, size=2048, prepare=_only_answers)
        self._wire: socket.socket | None = None
        self._waiting: dict[tuple[bytes, int], asyncio.Future[Answer]] = {}
        self._numbers = itertools.count(1)
        self._id = (os.getpid() ^ 0xA51E) & 0xFFFF

    async def ping(
        self,
        address: bytes,
        timeout: float,
        mark: int = 0,
        source: bytes = b"",
        *,
        ttl: int = 64,
        size: int = _SHORTEST,
        tries: int = 2,
    ) -> Answer | None:
        """Send an echo request with DF. Returns what comes back; None: nothing.

        timeout: seconds in all; size: bytes of the IP packet; tries: how often it is sent in that time.
        """
        number = next(self._numbers) & 0xFFFF
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[address, number] = answered
        packet = icmp.echo_request(self._id, number, bytes(max(_SHORTEST, size) - IP_HLEN - icmp.HLEN))
        try:
            self._listener.opened()
            wire, ancillary = self._sender(), [*icmp.ancillary(mark, source), _ttl(ttl)]
            for _ in range(tries):
                wire.sendmsg([packet], ancillary, 0, (socket.inet_ntoa(address), 0))
                await asyncio.wait([answered], timeout=timeout / tries)
                if answered.done():
                    return answered.result()
        except OSError:  # no route
            return None
        finally:
            del self._waiting[address, number]
        return None

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _sender(self) -> socket.socket:
        """The socket that sends with DF and receives nothing. Raises OSError."""
        if self._wire is None:
            made = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
            icmp.receive_only(made, ())
            icmp.forbid_fragments(made)
            self._wire = made
        return self._wire

    def _received(self, packet: bytes) -> None:
        message = icmp.message(packet)
        address, echo = packet[12:16], message
        if message[:1] != bytes([icmp.ECHO_REPLY]):
            address, echo = _quoted(message[icmp.HLEN :])
        if len(echo) < icmp.HLEN or echo[4:6] != self._id.to_bytes(2, "big"):
            return
        answered = self._waiting.get((address, int.from_bytes(echo[6:8], "big")))
        if answered is not None and not answered.done():
            answered.set_result(Answer(message[0], message[1], packet[12:16]))


def _quoted(packet: bytes) -> tuple[bytes, bytes]:
    """The destination of the echo request that an error quotes, and its ICMP header; tunnel headers are skipped."""
    if len(packet) > IP_HLEN and packet[9] in _OUTER:
        packet = packet[_OUTER[packet[9]] :]
    if len(packet) < IP_HLEN or packet[9] != socket.IPPROTO_ICMP:
        return b"", b""
    return packet[16:20], icmp.message(packet)


def _only_answers(made: socket.socket) -> None:
    icmp.receive_only(made, (icmp.ECHO_REPLY, icmp.UNREACHABLE, icmp.EXCEEDED))


def _ttl(ttl: int) -> tuple[int, int, bytes]:
    """The ancillary data for a packet's TTL (ip(7))."""
    return socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", ttl)
