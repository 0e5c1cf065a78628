"""Finds out which other BGP speaker holds TCP port 179 in this network namespace."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

PORT = 179
_LISTENING = "0A"  # TCP_LISTEN, include/net/tcp_states.h


def taken() -> str:
    """Who listens on the port, in words; "" where nobody does."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asking.bind(("", PORT))
            asking.listen(1)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                return ""  # BIRD will say what it lacks
            return _listener() or "a process that is not to be seen from here"
    return ""


def _listener() -> str:
    inodes = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/thread-self/net/{table}").read_text("ascii").splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == PORT:
                    inodes.add(f"socket:[{words[9]}]")
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with suppress(OSError):
            if any(os.readlink(held) in inodes for held in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text('utf-8', 'replace').strip()}, process {process.name}"
    return ""
