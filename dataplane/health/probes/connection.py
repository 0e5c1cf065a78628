"""A TCP connection of a probe: connect to the VIP through the server, exchange data if asked to, reset the connection.

It always ends with RST: TIME_WAIT of thousands of probes would use up the ports (SO_LINGER, socket(7)).

A new socket, its options, its place in the epoll and its end cost as much as all the rest of a probe in this process.
So sockets of probes that ended well are used again: connecting them to nowhere (AF_UNSPEC, connect(2)) resets their
connection, and gives them a new port the next time.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from dataplane.health.probes.check import Done, Outcome, ProbeFailed, Run, ended, failure
from dataplane.health.probes.poller import BROKEN, EDGE, READABLE, WRITABLE, Poller

EVENTS = WRITABLE | READABLE | EDGE
"""Of every socket of `Connections`."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h
_NOWHERE = struct.pack("=H14x", socket.AF_UNSPEC)
_BEGUN = 0, errno.EINPROGRESS
_SPARE = 256
"""Sockets kept for later probes."""

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


class Connections:
    """Sockets for probes, watched with EVENTS. prepare: called with each new one."""

    def __init__(self, poller: Poller, prepare: Callable[[socket.socket], object] = lambda _: None) -> None:
        self.poller = poller
        self._prepare = prepare
        self._spare: dict[bytes, list[socket.socket]] = {}
        self._spared = 0
        self._disconnect = ctypes.PyDLL(None).connect  # it never waits: other threads need no turn meanwhile

    def take(self, mark: int, source: bytes) -> socket.socket:
        """A socket to connect, with a mark and a source address. Raises OSError."""
        spare = self._spare.get(source)
        if spare:
            self._spared -= 1
            made = spare.pop()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            return made
        made = connection(mark, source)
        self._prepare(made)
        return made

    def give_back(self, made: socket.socket, source: bytes) -> None:
        """Reset a socket's connection, and keep it for later probes."""
        number = made.fileno()
        self.poller.pause(number)
        if self._spared >= _SPARE or self._disconnect(number, _NOWHERE, len(_NOWHERE)):
            self.end(made)
            return
        self._spare.setdefault(source, []).append(made)
        self._spared += 1

    def end(self, made: socket.socket) -> None:
        """Reset a socket's connection, if it has one, and close it."""
        self.poller.forget(made.fileno())
        made.close()

    def close(self) -> None:
        """Close the sockets that are kept."""
        for made in (made for spare in self._spare.values() for made in spare):
            self.end(made)
        self._spare.clear()
        self._spared = 0


class ConnectionProbe:
    """A probe that makes one exchange."""

    def __init__(self, connections: Connections, exchange: Exchange) -> None:
        self.connections = connections
        self.exchange = exchange

    def start(self, mark: int, source: bytes, done: Done) -> Run:
        """Begin to connect."""
        try:
            made = self.connections.take(mark, source)
        except OSError as exc:
            return ended(done, failure(exc, self.exchange.target[1]))
        error = made.connect_ex(self.exchange.target)
        if error not in _BEGUN:
            self.connections.end(made)
            return ended(done, _failed(error, self.exchange))
        return ConnectionRun(self, made, source, done)


class ConnectionRun:
    """One run."""

    __slots__ = ("_answer", "_done", "_made", "_probe", "_source", "_timeout", "_unsent")

    def __init__(self, probe: ConnectionProbe, made: socket.socket, source: bytes, done: Done) -> None:
        self._probe, self._source, self._done = probe, source, done
        self._answer: bytes | None = None
        self._made: socket.socket | None = made
        poller = probe.connections.poller
        self._timeout = poller.after(probe.exchange.timeout, self._late)
        poller.watch(made.fileno(), EVENTS, self._connected)

    def cancel(self) -> None:
        """End without an outcome."""
        if self._made is not None:
            self._timeout.cancel()
            self._probe.connections.end(self._made)
            self._made = None

    def _end(self, outcome: Outcome) -> None:
        if outcome is True and self._made is not None:
            self._timeout.cancel()
            self._probe.connections.give_back(self._made, self._source)
            self._made = None
        else:
            self.cancel()
        self._done(outcome)

    def _connected(self, events: int) -> None:
        assert self._made is not None
        exchange = self._probe.exchange
        if events & BROKEN:
            error = self._made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:  # else it is of the socket's last connection
                self._end(_failed(error, exchange))
            return
        self._answer = b""
        if exchange.request:
            self._unsent = exchange.request
            self._send(events)
        else:
            self._sent(events)

    def _send(self, events: int) -> None:
        assert self._made is not None
        try:
            while self._unsent:
                self._unsent = self._unsent[self._made.send(self._unsent) :]
        except BlockingIOError:
            self._wait(self._send)
        except OSError as exc:
            self._end(failure(exc, self._probe.exchange.target[1]))
        else:
            self._sent(events)

    def _sent(self, events: int) -> None:
        if self._probe.exchange.judge is None:
            self._end(True)
            return
        self._wait(self._receive)
        if events & READABLE:
            self._receive(events)

    def _wait(self, ready: Callable[[int], None]) -> None:
        assert self._made is not None
        self._probe.connections.poller.watch(self._made.fileno(), EVENTS, ready)

    def _receive(self, _events: int) -> None:
        """Take all that has come: nothing is told of it again."""
        exchange = self._probe.exchange
        assert exchange.judge is not None
        assert self._answer is not None
        while self._made is not None:
            try:
                piece = self._made.recv(exchange.size - len(self._answer))
            except BlockingIOError:
                return
            except OSError as exc:
                self._end(failure(exc, exchange.target[1]))
                return
            self._answer += piece
            whole = not piece or len(self._answer) >= exchange.size
            try:
                good = exchange.judge(self._answer, whole)
            except ProbeFailed as exc:
                self._end(exc)
                return
            if good or whole:
                self._end(True)

    def _late(self) -> None:
        self._end(self._probe.exchange.late(self._answer))


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
