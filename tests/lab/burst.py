"""A client that sends a datagram from each of many ports: `python -m tests.lab.burst IP PORT COUNT`.

The ports are those from FIRST on. They stay open, and read, until standard input ends: no answer is refused with an
ICMP error, which would be forwarded as well.
"""

from __future__ import annotations

import select
import socket
import sys

FIRST = 30_000


def main(to: tuple[str, int], count: int) -> None:
    """Send all, then read."""
    wires = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for port, wire in enumerate(wires, FIRST):
        wire.bind(("", port))
        wire.sendto(b"hello", to)
    by_number = {wire.fileno(): wire for wire in wires}
    while True:
        ready = select.select([sys.stdin.fileno(), *by_number], [], [])[0]
        if sys.stdin.fileno() in ready:
            return
        for number in ready:
            by_number[number].recv(100)


if __name__ == "__main__":
    main((sys.argv[1], int(sys.argv[2])), int(sys.argv[3]))
