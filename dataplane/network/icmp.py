"""ICMP messages on raw sockets (RFC 792), and the socket options that go with them (raw(7), ip(7))."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from functools import lru_cache

from dataplane.forwarding.rewrite import checksum

ECHO_REPLY, UNREACHABLE, ECHO_REQUEST, EXCEEDED = 0, 3, 8, 11
HLEN = 8
"""Bytes of an echo message's header."""

_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, number
# linux/icmp.h
_SOL_RAW, _ICMP_FILTER = 255, 1
# linux/in.h
_IP_PKTINFO, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE = 8, 10, 3


def echo_request(identifier: int, number: int, payload: bytes) -> bytes:
    """An echo request. identifier, number: 16 bits each."""
    message = _HEADER.pack(ECHO_REQUEST, 0, 0, identifier, number) + payload
    return _HEADER.pack(ECHO_REQUEST, 0, checksum(message), identifier, number) + payload


def message(packet: bytes) -> bytes:
    """The ICMP message in an IP packet."""
    return packet[(packet[0] & 0x0F) * 4 :]


def receive_only(made: socket.socket, types: Iterable[int]) -> None:
    """Have a raw socket receive only ICMP messages of these types. Raises OSError."""
    wanted = sum(1 << type_ for type_ in types)
    made.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~wanted & 0xFFFFFFFF))


def forbid_fragments(made: socket.socket) -> None:
    """Send packets with DF, whatever the kernel knows about the path's MTU. Raises OSError."""
    made.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE)


@lru_cache(maxsize=8192)
def ancillary(mark: int, source: bytes) -> list[tuple[int, int, bytes]]:
    """The ancillary data for a packet's mark (0: none) and source address (b"": the kernel's choice)."""
    data = []
    if mark:
        data.append((socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", mark)))
    if source:
        data.append((socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4s", 0, source, bytes(4))))
    return data
