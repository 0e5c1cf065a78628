"""A TCP connection of a probe: connect to the VIP through the server, talk if asked to, reset the connection.

Closed with RST, always: TIME_WAIT of thousands of probes would eat the ports (SO_LINGER, socket(7)).
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
"""An answer, as far as it has come, and whether no more comes → whether it is good; not yet, if more may come. Raises
ProbeFailed where it is bad whatever comes."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is said. target: dotted address and port; request: sent once connected; judge: None where the connection is
    enough; size: bytes of the answer that are looked at; late: outcome by what has come (None: no connection) when
    `timeout` seconds are over."""

    target: tuple[str, int]
    timeout: float
    request: bytes
    judge: Judge | None
    size: int
    late: Callable[[bytes | None], Outcome]


class ConnectionProbe:
    """The probe of a script."""

    def __init__(self, poller: Poller, script: Exchange) -> None:
        self._poller = poller
        self._script = script

    def start(self, mark: int, source: bytes, done: Done) -> Run:
        """Connect and talk."""
        try:
            made = connection(mark, source)
        except OSError as exc:
            return ended(done, failure(exc, self._script.target[1]))
        error = made.connect_ex(self._script.target)
        if error not in (0, errno.EINPROGRESS):
            made.close()
            return ended(done, _failed(error, self._script))
        return ConnectionRun(self._poller, self._script, made, done)


class ConnectionRun:
    """One run."""

    __slots__ = ("_answer", "_done", "_made", "_poller", "_script", "_timeout", "_unsent")

    def __init__(self, poller: Poller, script: Exchange, made: socket.socket, done: Done) -> None:
        self._poller = poller
        self._script = script
        self._done = done
        self._answer: bytes | None = None
        self._unsent = script.request
        self._made: socket.socket | None = made
        self._timeout = poller.after(script.timeout, self._late)
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
            self._end(_failed(error, self._script))
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
                self._end(failure(exc, self._script.target[1]))
                return
        if self._unsent:
            self._poller.watch(self._made.fileno(), WRITABLE, self._send)
        elif self._script.judge is None:
            self._end(True)
        else:
            self._poller.watch(self._made.fileno(), READABLE, self._receive)

    def _receive(self) -> None:
        assert self._made is not None
        assert self._answer is not None
        assert self._script.judge is not None
        try:
            piece = self._made.recv(self._script.size - len(self._answer))
        except BlockingIOError:
            return
        except OSError as exc:
            self._end(failure(exc, self._script.target[1]))
            return
        self._answer += piece
        whole = not piece or len(self._answer) >= self._script.size
        try:
            good = self._script.judge(self._answer, whole)
        except ProbeFailed as exc:
            self._end(exc)
            return
        if good or whole:
            self._end(True)

    def _late(self) -> None:
        self._end(self._script.late(self._answer))


def _failed(error: int, script: Exchange) -> ProbeFailed:
    return failure(OSError(error, os.strerror(error)), script.target[1])


def connection(mark: int, source: bytes) -> socket.socket:
    """A socket that is not connected yet, on the way of a mark, and ends with a reset. Raises OSError."""
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
