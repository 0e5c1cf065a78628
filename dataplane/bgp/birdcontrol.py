"""BIRD's control socket: one command in, its answer out (BIRD User's Guide, section 4; doc/reply_codes in its source).

A line of an answer begins with a code of four digits; the last line of an answer has a blank behind its code, others
have a hyphen, or begin with a blank. Codes from 8000 on are errors.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from dataplane.client import short_path
from dataplane.errors import EngineError

SOCKET = "bird.ctl"
"""The socket's name in the folder of a BIRD."""
ANSWERS_WITHIN = 5.0
"""Seconds for an answer: BIRD reads a configuration of ten thousand routes in a tenth of one."""
_ERRORS = 8000


class Line(NamedTuple):
    """A line of an answer."""

    code: int  # what it is
    text: str


def parse(answer: str) -> list[Line]:
    """The lines of a whole answer; one that begins with a blank has the code of that before."""
    found: list[Line] = []
    for line in answer.splitlines():
        if line[:4].isdecimal() and line[4:5] in (" ", "-"):
            found.append(Line(int(line[:4]), line[5:]))
        elif found:
            found.append(Line(found[-1].code, line[1:]))
    return found


def is_whole(answer: bytes) -> bool:
    """Whether an answer has its last line."""
    last = answer[answer.rfind(b"\n", 0, -1) + 1 :] if answer.endswith(b"\n") else b""
    return last[:4].isdigit() and last[4:5] == b" "


def ask(folder: Path, command: str) -> list[Line]:
    """BIRD's answer to a command. Raises EngineError for one that it refuses, in its words; OSError where it does not
    answer."""
    with _connection(folder) as connection:
        connection.sendall(f"{command}\n".encode())
        lines = parse(_received(connection))
    if refused := [line.text for line in lines if line.code >= _ERRORS]:
        raise EngineError(f"BIRD refused {command}: {'; '.join(refused)}")
    return lines


def process(folder: Path) -> int:
    """The process that answers on the socket; 0 for none."""
    with suppress(OSError), _connection(folder) as connection:
        return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
    return 0


def end(pid: int, seconds: float = 3.0) -> None:
    """Have a BIRD close its sessions and end: killed where it does not in time."""
    try:
        held = os.pidfd_open(pid)
    except OSError:
        return
    try:
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(held, signum)
            if select.select([held], [], [], seconds)[0]:
                return
    finally:
        os.close(held)


@contextmanager
def _connection(folder: Path) -> Iterator[socket.socket]:
    """A connection whose greeting was read."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWERS_WITHIN)
        with short_path(folder / SOCKET) as name:
            connection.connect(name)
        _received(connection)
        yield connection


def _received(connection: socket.socket) -> str:
    answer, deadline = b"", time.monotonic() + ANSWERS_WITHIN
    while not is_whole(answer):
        more = connection.recv(1 << 16)
        if not more or time.monotonic() > deadline:
            raise ConnectionResetError("BIRD answers no more")
        answer += more
    return answer.decode("utf-8", "replace")
