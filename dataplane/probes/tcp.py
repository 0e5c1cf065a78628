"""The TCP monitor: connect to the VIP through the server, talk if asked to, reset the connection."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from .check import Check, ProbeFailed, failure, wire

READ = 2048
"""Bytes of an answer that are looked at, as in the appliance."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 seconds: close with RST; TIME_WAIT of thousands of probes would eat the ports."""
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h


@contextmanager
def connection(mark: int, source: bytes) -> Iterator[socket.socket]:
    """A socket that is not connected yet, on the way of a mark; it ends with a reset."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        made.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        made.bind((socket.inet_ntoa(source), 0))
        yield made


async def connect(made: socket.socket, address: bytes, port: int) -> None:
    """Connect a socket. Raises OSError. (The event loop's own way first asks what such an address could mean.)"""
    error = made.connect_ex((socket.inet_ntoa(address), port))
    if error == errno.EINPROGRESS:
        loop = asyncio.get_running_loop()
        writable = loop.create_future()
        loop.add_writer(made, _wake, writable)
        try:
            await writable
        finally:
            loop.remove_writer(made)
        error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def probe(check: Check, mark: int, source: bytes) -> bool:
    """Connect; send and match where the monitor says so. Always heard. Raises ProbeFailed."""
    monitor = check.monitor
    heard: list[bytes] = []
    connected = False
    try:
        with connection(mark, source) as made:
            async with asyncio.timeout(monitor.receive_timeout):
                await connect(made, check.vip, check.port)
                connected = True
                if monitor.request:
                    await asyncio.get_running_loop().sock_sendall(made, wire(monitor.request))
                if monitor.response or monitor.maintenance:
                    await _match(made, check, heard)
    except TimeoutError as exc:
        raise _late(check, connected, b"".join(heard)) from exc
    except OSError as exc:
        raise failure(exc, check.port) from exc
    return True


async def _match(made: socket.socket, check: Check, heard: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    wanted, away = wire(check.monitor.response), wire(check.monitor.maintenance)
    answer = b""
    while len(answer) < READ and (piece := await loop.sock_recv(made, READ - len(answer))):
        heard.append(piece)
        answer += piece
        if away and away in answer:
            raise ProbeFailed(f"under maintenance: it answered {check.monitor.maintenance!r}")
        if wanted and wanted in answer:
            return
    if wanted:
        raise missing(check, answer)


def missing(check: Check, answer: bytes) -> ProbeFailed:
    """The answer came, and is not the one that is wanted."""
    there = "it answered nothing" if not answer else f"its answer begins {answer[:40].decode('latin-1')!r}"
    return ProbeFailed(f"its answer does not contain {check.monitor.response!r}: {there}")


def _late(check: Check, connected: bool, answer: bytes) -> ProbeFailed:
    within = f"within {check.monitor.receive_timeout} s"
    if not connected:
        return silence(check)
    if answer:
        return missing(check, answer)
    return ProbeFailed(f"the VIP took the connection, and answered nothing {within}")


def silence(check: Check) -> ProbeFailed:
    """Nothing was heard from the VIP."""
    return ProbeFailed(f"no answer from the VIP within {check.monitor.receive_timeout} s", silent=True)
