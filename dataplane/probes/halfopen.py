"""The half-open TCP probe: SYN, SYN-ACK, RST. The server's program never sees a connection.

The kernel sends the SYN, and again if it gets lost, from a socket of ours; a filter on that socket drops the server's
SYN-ACK before the kernel would acknowledge it, and lets a RST through, which ends the connect as refused. One raw
socket for all probes hears the SYN-ACK; the RST that answers it bears the probe's mark and takes the way of the data,
too. A socket that waits is there all the time, so the kernel sends no RST of its own, which would miss the mark's way.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import socket
import struct

from ..rawsocket import RawListener
from ..rewrite import checksum
from .check import Check, failure
from .icmp import ancillary
from .tcp import connection, silence

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_FLAGS = 13
# struct sock_filter (linux/filter.h): code, jump if true, jump if false, constant
_ONLY_RST = (
    (0x30, 0, 0, _FLAGS),  # ldb [13]: a TCP socket's filter sees the packet from the TCP header on
    (0x45, 0, 1, _RST),  # jset
    (0x06, 0, 0, 0xFFFFFFFF),
    (0x06, 0, 0, 0),
)
_ONLY_SYN_ACK = (
    (0xB1, 0, 0, 0),  # ldx 4*([0]&0xf): a raw socket's sees it from the IP header on
    (0x50, 0, 0, _FLAGS),  # ldb [x + 13]
    (0x54, 0, 0, _SYN | _ACK),
    (0x15, 0, 1, _SYN | _ACK),
    (0x06, 0, 0, 0xFFFFFFFF),
    (0x06, 0, 0, 0),
)

Ends = tuple[bytes, int, int]
"""The VIP, its port, the probe's own port."""


class HalfOpens:
    """Runs half-open probes. Its raw socket is opened at the first of them."""

    def __init__(self) -> None:
        self._listener = RawListener(
            socket.IPPROTO_TCP, self._received, size=256, prepare=lambda made: attach(made, _ONLY_SYN_ACK)
        )
        self._waiting: dict[Ends, asyncio.Future[int]] = {}

    async def probe(self, check: Check, mark: int, source: bytes) -> bool:
        """Whether the VIP's port answers a SYN with SYN-ACK. Always heard. Raises ProbeFailed."""
        loop = asyncio.get_running_loop()
        self._listener.opened()
        with connection(mark, source) as made:
            attach(made, _ONLY_RST)
            refusal = made.connect_ex((socket.inet_ntoa(check.vip), check.port))
            if refusal != errno.EINPROGRESS:
                raise failure(OSError(refusal, os.strerror(refusal)), check.port)
            own: int = made.getsockname()[1]
            answered = self._waiting[check.vip, check.port, own] = loop.create_future()
            loop.add_writer(made, _ended, made, answered)
            try:
                async with asyncio.timeout(check.monitor.receive_timeout):
                    self._reset(check, own, await answered, mark, source)
            except TimeoutError as exc:
                raise silence(check) from exc
            except OSError as exc:
                raise failure(exc, check.port) from exc
            finally:
                loop.remove_writer(made)
                del self._waiting[check.vip, check.port, own]
        return True

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _received(self, packet: bytes) -> None:
        start = (packet[0] & 0x0F) * 4
        port, own, _, acknowledged = struct.unpack_from("!HHII", packet, start)
        answered = self._waiting.get((packet[12:16], port, own))
        if answered is not None and not answered.done():
            answered.set_result(acknowledged)

    def _reset(self, check: Check, own: int, sequence: int, mark: int, source: bytes) -> None:
        segment = reset(source, check.vip, own, check.port, sequence)
        self._listener.opened().sendmsg([segment], ancillary(mark, source), 0, (socket.inet_ntoa(check.vip), 0))


def _ended(made: socket.socket, answered: asyncio.Future[int]) -> None:
    """The connect is over: refused, or there is no way."""
    error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if not answered.done():
        answered.set_exception(OSError(error, os.strerror(error)))


def reset(source: bytes, destination: bytes, own: int, port: int, sequence: int) -> bytes:
    """A TCP segment that resets a connection (RFC 9293)."""

    def segment(check: int) -> bytes:
        return struct.pack("!HHIIBBHHH", own, port, sequence, 0, 5 << 4, _RST, 0, check, 0)

    pseudo = source + destination + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(segment(0)))
    return segment(checksum(pseudo + segment(0)))


def attach(made: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    """Put a filter on a socket (SO_ATTACH_FILTER, socket(7)). Raises OSError."""
    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer)))
