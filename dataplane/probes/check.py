"""What a probe is about, how it fails, and the text that monitors send and match."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass

from ..plan import L2, Monitor

TCP = "HEALTH_MONITOR_TCP"
UDP = "HEALTH_MONITOR_UDP"
PING = "HEALTH_MONITOR_PING"
HTTP = "HEALTH_MONITOR_HTTP"
EXTERNAL = "HEALTH_MONITOR_EXTERNAL"


@dataclass(frozen=True, slots=True)
class Check:
    """One monitor of one server for one VIP. Addresses are 4 bytes; port is where the probe goes; mode: the way it
    travels (plan.MODES)."""

    vip: bytes
    server: bytes
    port: int
    monitor: Monitor
    mode: str = L2


class ProbeFailed(Exception):
    """A probe's negative outcome. reason: what an operator reads; silent: nothing was heard from the VIP at all, so
    that the server itself may be dead."""

    def __init__(self, reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.silent = silent


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
