"""Echo requests of the PING monitor, and of the look at a server's own address: one raw socket for all (RFC 792)."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct

from ..rawsocket import RawListener
from ..rewrite import checksum
from .check import Check
from .tcp import silence

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_SOL_RAW, _ICMP_FILTER = 255, 1  # linux/icmp.h
_IP_PKTINFO = 8  # linux/in.h
_HEADER = struct.Struct("!BBHHH")

Sent = tuple[bytes, int]
"""The address asked, and the request's number."""


class Pings:
    """Sends echo requests and hands out the answers. Its socket is opened at the first request."""

    def __init__(self) -> None:
        self._listener = RawListener(socket.IPPROTO_ICMP, self._received, size=2048, prepare=_only_replies)
        self._waiting: dict[Sent, asyncio.Future[None]] = {}
        self._numbers = itertools.count(1)
        self._id = os.getpid() & 0xFFFF

    async def probe(self, check: Check, mark: int, source: bytes) -> bool:
        """The PING monitor: whether the VIP answers through the server. Raises ProbeFailed."""
        if not await self.ask(check.vip, check.monitor.receive_timeout, mark, source):
            raise silence(check)
        return True

    async def ask(self, address: bytes, timeout: float, mark: int = 0, source: bytes = b"") -> bool:
        """Whether an address answers an echo request in time, sent by a mark's way from an address of ours."""
        number = next(self._numbers)
        sent = (address, number)
        answered = self._waiting[sent] = asyncio.get_running_loop().create_future()
        try:
            self._send(address, number, mark, source)
            async with asyncio.timeout(timeout):
                await answered
        except TimeoutError:
            return False
        except OSError:
            return False  # no way there
        finally:
            del self._waiting[sent]
        return True

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _send(self, address: bytes, number: int, mark: int, source: bytes) -> None:
        payload = number.to_bytes(8, "big")
        head = _HEADER.pack(_ECHO_REQUEST, 0, 0, self._id, number & 0xFFFF)
        head = _HEADER.pack(_ECHO_REQUEST, 0, checksum(head + payload), self._id, number & 0xFFFF)
        self._listener.opened().sendmsg([head, payload], ancillary(mark, source), 0, (socket.inet_ntoa(address), 0))

    def _received(self, packet: bytes) -> None:
        message = packet[(packet[0] & 0x0F) * 4 :]
        if len(message) < 16 or message[4:6] != self._id.to_bytes(2, "big"):
            return
        answered = self._waiting.get((packet[12:16], int.from_bytes(message[8:16], "big")))
        if answered is not None and not answered.done():
            answered.set_result(None)


def _only_replies(made: socket.socket) -> None:
    made.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF))


def ancillary(mark: int, source: bytes) -> list[tuple[int, int, bytes]]:
    """What tells a raw socket a packet's mark and source address (socket(7), ip(7): IP_PKTINFO)."""
    told = []
    if mark:
        told.append((socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", mark)))
    if source:
        told.append((socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4s", 0, source, bytes(4))))
    return told
