"""What all probes share: the check they serve, their outcome, and the text that monitors send and match."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from dataplane.plan import L2, Monitor


@dataclass(frozen=True, slots=True)
class Check:
    """One monitor of one server for one VIP."""

    vip: bytes  # 4 bytes
    server: bytes  # its own address, 4 bytes
    port: int  # where the probe goes
    monitor: Monitor  # what the probe does
    mode: str = L2  # how packets reach the server, one of plan.MODES
    hashed: int = field(init=False, repr=False, compare=False)  # kept: tables of checks are searched all the time

    def __post_init__(self) -> None:
        value = hash((self.vip, self.server, self.port, self.monitor, self.mode))
        object.__setattr__(self, "hashed", value)

    def __hash__(self) -> int:
        return self.hashed


class ProbeRoute(NamedTuple):
    """What leads a check's probes to its server."""

    mark: int  # of the probe's socket
    source: bytes  # the engine's own address towards the server


FindRoute = Callable[[Check], Awaitable[ProbeRoute]]
"""Finds the route of a check's probes. Raises NetworkError if there is none."""


class ProbeFailed(Exception):
    """A probe's negative outcome. reason: in words for an operator; silent: nothing came from the VIP at all, so the
    server itself may be dead."""

    def __init__(self, reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.silent = silent


Outcome = bool | ProbeFailed
"""Of a probe: True if the server answered well, False if its silence counts as good, else why it failed."""

Done = Callable[[Outcome], None]
"""Called once with the outcome; never before `Probe.start` has returned."""


class Run(Protocol):
    """A probe that runs."""

    def cancel(self) -> object:
        """End it without an outcome, unless it has ended."""


class Probe(Protocol):
    """A check's monitor, with everything prepared that is the same for all runs."""

    def start(self, mark: int, source: bytes, done: Done) -> Run:
        """Run once, by a route's mark and source address."""


def ended(done: Done, outcome: Outcome) -> Run:
    """A run that has its outcome before it began."""
    return asyncio.get_running_loop().call_soon(done, outcome)


_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([rnt0\\]))")


def wire(text: str) -> bytes:
    r"""A monitor's text as bytes. \r, \n, \t, \0, \\ and \xHH are escapes, as in the appliance."""
    pieces, last = [], 0
    for found in _ESCAPE.finditer(text):
        pieces.append(text[last : found.start()].encode())
        code, letter = found.groups()
        pieces.append(bytes.fromhex(code) if code else _ESCAPES[letter].encode())
        last = found.end()
    return b"".join((*pieces, text[last:].encode()))


def failure(exc: OSError, port: int, protocol: str = "tcp") -> ProbeFailed:
    """The outcome of a probe whose socket has this error."""
    if exc.errno == errno.ECONNREFUSED:
        said = "connection refused" if protocol == "tcp" else "ICMP port unreachable"
        return ProbeFailed(f"port {port} is closed on the VIP: {said}")
    if exc.errno in (errno.EHOSTUNREACH, errno.ETIMEDOUT):
        return ProbeFailed("the VIP cannot be reached through this server: host unreachable", silent=True)
    return ProbeFailed(os.strerror(exc.errno) if exc.errno else str(exc))
