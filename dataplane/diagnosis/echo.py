"""Echo requests that tell why a VIP is silent: with a short life, of full size, into a tunnel (RFC 792).

With a TTL of 1 a server that has the address still answers; one that would forward the packet instead says so: time
exceeded, from its own address.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct
from typing import NamedTuple

from dataplane.forwarding.rewrite import checksum
from dataplane.runtime.rawsocket import RawListener

ECHO_REPLY, UNREACHABLE, EXCEEDED = 0, 3, 11
_ECHO_REQUEST = 8
_SOL_RAW, _ICMP_FILTER = 255, 1  # linux/icmp.h
_IP_TTL, _IP_PKTINFO = 2, 8  # linux/in.h
_IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE = 10, 3
_HEADER = struct.Struct("!BBHHH")
_IP_HLEN, _ICMP_HLEN = 20, 8
_OUTER = {4: _IP_HLEN, 47: _IP_HLEN + 4}
"""Bytes of a tunnel's header, by its protocol."""
_SHORTEST = 60


class Answer(NamedTuple):
    """What came back. type, code: of the ICMP message; sender: whose it is."""

    type: int
    code: int
    sender: bytes


class Echoes:
    """Sends echo requests and waits for what comes back. Its sockets are opened at the first request."""

    def __init__(self) -> None:
        self._listener = RawListener(socket.IPPROTO_ICMP, self._received, size=2048, prepare=_only_answers)
        self._waiting: dict[tuple[bytes, int], asyncio.Future[Answer]] = {}
        self._numbers = itertools.count(1)
        self._id = (os.getpid() ^ 0xA51E) & 0xFFFF

    async def hear(
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
        """What comes back of a request that may not be cut; None: nothing. timeout: seconds in all; size: of the IP
        packet, in bytes; tries: how often it is sent in that time."""
        number = next(self._numbers) & 0xFFFF
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[address, number] = answered
        packet = _request(self._id, number, size)
        try:
            self._listener.opened()
            for _ in range(tries):
                with socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP) as wire:
                    _prepare(wire, mark, ttl)
                    wire.sendmsg([packet], _from(source), 0, (socket.inet_ntoa(address), 0))
                await asyncio.wait([answered], timeout=timeout / tries)
                if answered.done():
                    return answered.result()
        except OSError:  # no way there
            return None
        finally:
            del self._waiting[address, number]
        return None

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _received(self, packet: bytes) -> None:
        message = packet[(packet[0] & 0x0F) * 4 :]
        address, echo = packet[12:16], message
        if message[:1] != bytes([ECHO_REPLY]):
            address, echo = _quoted(message[_ICMP_HLEN:])
        if len(echo) < _ICMP_HLEN or echo[4:6] != self._id.to_bytes(2, "big"):
            return
        answered = self._waiting.get((address, int.from_bytes(echo[6:8], "big")))
        if answered is not None and not answered.done():
            answered.set_result(Answer(message[0], message[1], packet[12:16]))


def _request(id_: int, number: int, size: int) -> bytes:
    payload = bytes(max(_SHORTEST, size) - _IP_HLEN - _ICMP_HLEN)
    head = _HEADER.pack(_ECHO_REQUEST, 0, 0, id_, number)
    return _HEADER.pack(_ECHO_REQUEST, 0, checksum(head + payload), id_, number) + payload


def _quoted(packet: bytes) -> tuple[bytes, bytes]:
    """Where an echo request went that an error quotes, and its ICMP header; a tunnel's header is looked through."""
    if len(packet) > _IP_HLEN and packet[9] in _OUTER:
        packet = packet[_OUTER[packet[9]] :]
    if len(packet) < _IP_HLEN or packet[9] != socket.IPPROTO_ICMP:
        return b"", b""
    return packet[16:20], packet[(packet[0] & 0x0F) * 4 :]


def _only_answers(made: socket.socket) -> None:
    wanted = sum(1 << kind for kind in (ECHO_REPLY, UNREACHABLE, EXCEEDED))
    made.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~wanted & 0xFFFFFFFF))


def _prepare(wire: socket.socket, mark: int, ttl: int) -> None:
    """What is sent bears a mark, may not be cut, whatever is known of the path; nothing is heard on it."""
    wire.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    wire.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE)
    wire.setsockopt(socket.IPPROTO_IP, _IP_TTL, ttl)


def _from(source: bytes) -> list[tuple[int, int, bytes]]:
    """What tells a raw socket the source address (ip(7): IP_PKTINFO)."""
    return [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4s", 0, source, bytes(4)))] if source else []
