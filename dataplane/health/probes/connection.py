"""A TCP connection of a probe: connect to the VIP through the server, exchange data if asked to, reset the connection.

It always ends with RST: TIME_WAIT of thousands of probes would use up the ports (SO_LINGER, socket(7)).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from dataplane.health.probes.check import Done, Outcome, ProbeFailed, Run, ended, failure
from dataplane.health.probes.poller import READABLE, WRITABLE, Poller

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h

Judge = Callable[[bytes, bool], bool]
"""Takes the answer so far, and whether it is complete; returns whether it is good. Raises ProbeFailed if it is bad
whatever follows."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is sent on a connection, and what must come back."""

    target: tuple[str, int]  # dotted address and port
    timeout: float  # seconds for all of it
    request: bytes  # sent once connected
    judge: Judge | None  # None: the connection is enough
    size: int  # bytes of the answer that are looked at
    late: Callable[[bytes | None], Outcome]  # the outcome at the timeout, by what has come; None: no connection


class ConnectionProbe:
    """A probe that makes one exchange."""

    def __init__(self, poller: Poller, exchange: Exchange) -> None:
        self._poller = poller
        self._exchange = exchange

    def start(self, mark: int, source: bytes, done: Done) -> Run:
        """Begin to connect."""
        try:
            made = connection(mark, source)
        except OSError as exc:
            return ended(done, failure(exc, self._exchange.target[1]))
        error = made.connect_ex(self._exchange.target)
        if error not in (0, errno.EINPROGRESS):
            made.close()
            return ended(done, _failed(error, self._exchange))
        return ConnectionRun(self._poller, self._exchange, made, done)


class ConnectionRun:
    """One run."""

    __slots__ = ("_answer", "_done", "_made", "_poller", "_exchange", "_timeout", "_unsent")

    def __init__(self, poller: Poller, exchange: Exchange, made: socket.socket, done: Done) -> None:
        self._poller = poller
        self._exchange = exchange
        self._done = done
        self._answer: bytes | None = None
        self._unsent = exchange.request
        self._made: socket.socket | None = made
        self._timeout = poller.after(exchange.timeout, self._late)
        poller.watch(made.fileno(), WRITABLE, self._connected)

    def cancel(self) -> None:
        """End without an outcome."""
        if self._made is not None:
            self._timeout.cancel()
            self._poller.forget(self._made.fileno())
            self._made.close()
            self._made = None

    def _end(self, outcome: Outcome) -> None:
        self.cancel()
        self._done(outcome)

    def _connected(self) -> None:
        assert self._made is not None
        error = self._made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._end(_failed(error, self._exchange))
            return
        self._answer = b""
        self._send()

    def _send(self) -> None:
        assert self._made is not None
        if self._unsent:
            try:
                self._unsent = self._unsent[self._made.send(self._unsent) :]
            except BlockingIOError:
                pass
            except OSError as exc:
                self._end(failure(exc, self._exchange.target[1]))
                return
        if self._unsent:
            self._poller.watch(self._made.fileno(), WRITABLE, self._send)
        elif self._exchange.judge is None:
            self._end(True)
        else:
            self._poller.watch(self._made.fileno(), READABLE, self._receive)

    def _receive(self) -> None:
        assert self._made is not None
        assert self._answer is not None
        assert self._exchange.judge is not None
        try:
            piece = self._made.recv(self._exchange.size - len(self._answer))
        except BlockingIOError:
            return
        except OSError as exc:
            self._end(failure(exc, self._exchange.target[1]))
            return
        self._answer += piece
        whole = not piece or len(self._answer) >= self._exchange.size
        try:
            good = self._exchange.judge(self._answer, whole)
        except ProbeFailed as exc:
            self._end(exc)
            return
        if good or whole:
            self._end(True)

    def _late(self) -> None:
        self._end(self._exchange.late(self._answer))


def _failed(error: int, exchange: Exchange) -> ProbeFailed:
    return failure(OSError(error, os.strerror(error)), exchange.target[1])


def connection(mark: int, source: bytes) -> socket.socket:
    """A socket with a mark and a source address, not connected yet, that ends with a reset. Raises OSError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        made.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        made.bind((socket.inet_ntoa(source), 0))
    except OSError:
        made.close()
        raise
    return made
