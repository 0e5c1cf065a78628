"""Traffic without end: `python -m tests.lab.flood IP PORT udp|tcp`. TCP: connections opened and reset."""

from __future__ import annotations

import select
import socket
import struct
import sys
from contextlib import suppress
from typing import Never


def udp(to: tuple[str, int]) -> Never:
    """Send datagrams from 64 sockets, and read what is answered."""
    wires = []
    for _ in range(64):
        wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        wire.connect(to)
        wires.append(wire)
    while True:
        for wire in wires:
            with suppress(OSError):
                for _ in range(8):
                    wire.send(b"x" * 32)
        for wire in select.select(wires, [], [], 0)[0]:
            with suppress(OSError):
                wire.recv(100)


def tcp(to: tuple[str, int]) -> Never:
    """Open connections and reset them."""
    while True:
        with suppress(OSError), socket.create_connection(to, timeout=2) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.recv(100)


if __name__ == "__main__":
    {"udp": udp, "tcp": tcp}[sys.argv[3]]((sys.argv[1], int(sys.argv[2])))
