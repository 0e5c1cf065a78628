"""What a probe is about, how it fails, and the text that monitors send and match."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from dataplane.plan import L2, Monitor


@dataclass(frozen=True, slots=True)
class Check:
    """One monitor of one server for one VIP. Addresses are 4 bytes; port is where the probe goes; mode: the way it
    travels (plan.MODES)."""

    vip: bytes
    server: bytes
    port: int
    monitor: Monitor
    mode: str = L2
    hashed: int = field(init=False, repr=False, compare=False)
    """The hash of all that: tables of thousands of checks are asked all the time."""

    def __post_init__(self) -> None:
        value = hash((self.vip, self.server, self.port, self.monitor, self.mode))
        object.__setattr__(self, "hashed", value)

    def __hash__(self) -> int:
        return self.hashed


class ProbeFailed(Exception):
    """A probe's negative outcome. reason: what an operator reads; silent: nothing was heard from the VIP at all, so
    that the server itself may be dead."""

    def __init__(self, reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.silent = silent


Outcome = bool | ProbeFailed
"""Of a probe: True, the server was heard; False, its silence counts as good; else why it is bad."""

Done = Callable[[Outcome], None]
"""Told the outcome, once; never before `Probe.start` has returned."""


class Run(Protocol):
    """A probe that runs."""

    def cancel(self) -> object:
        """End it without an outcome, unless it has ended."""


class Probe(Protocol):
    """What a check's monitor does, with all that does not change from one run to the next worked out."""

    def start(self, mark: int, source: bytes, done: Done) -> Run:
        """Run once by a mark, from an address of ours."""


def ended(done: Done, outcome: Outcome) -> Run:
    """A run that ended before it began."""
    return asyncio.get_running_loop().call_soon(done, outcome)


_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([rnt0\\]))")


def wire(text: str) -> bytes:
    r"""A monitor's text as bytes: \r, \n, \t, \0, \\ and \xHH are the bytes that they mean, as in the appliance."""
    pieces, last = [], 0
    for found in _ESCAPE.finditer(text):
        pieces.append(text[last : found.start()].encode())
        code, letter = found.groups()
        pieces.append(bytes.fromhex(code) if code else _ESCAPES[letter].encode())
        last = found.end()
    return b"".join((*pieces, text[last:].encode()))


def failure(exc: OSError, port: int, protocol: str = "tcp") -> ProbeFailed:
    """What a socket's error means for a probe of the VIP."""
    if exc.errno == errno.ECONNREFUSED:
        said = "connection refused" if protocol == "tcp" else "ICMP port unreachable"
        return ProbeFailed(f"port {port} is closed on the VIP: {said}")
    if exc.errno in (errno.EHOSTUNREACH, errno.ETIMEDOUT):
        return ProbeFailed("no way to the VIP through this server: host unreachable", silent=True)
    return ProbeFailed(os.strerror(exc.errno) if exc.errno else str(exc))
