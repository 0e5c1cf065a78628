"""What a TCP probe costs at least: `python -m tests.bench.knocking PORT SECONDS`, the addresses on standard input.

One epoll loop connects to each address once a second, spread over it, and resets what was taken. It prints the
processor time of one connection in seconds. `once` connects to each address once, as fast as it can.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import sys
import time

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


_AT_ONCE = 256
"""Connections that are open at a time, where no time is kept."""


class _Loop:
    """An epoll, and the connections that are begun."""

    def __init__(self, port: int) -> None:
        self._epoll, self._port = select.epoll(), port
        self.waiting = dict[int, socket.socket]()
        self.taken = 0

    def ask(self, address: str) -> None:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if made.connect_ex((address, self._port)) != errno.EINPROGRESS:
            made.close()
        else:
            self.waiting[made.fileno()] = made
            self._epoll.register(made, select.EPOLLOUT)

    def hear(self, seconds: float) -> None:
        for fd, _ in self._epoll.poll(seconds):
            ready = self.waiting.pop(fd)
            self.taken += ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            ready.close()  # takes it out of the epoll, too


def knock(addresses: list[str], port: int, seconds: float) -> float:
    """Processor time a connection. Raises RuntimeError where fewer than nine in ten were taken."""
    loop, begun, asked = _Loop(port), time.monotonic(), 0
    used = time.process_time()
    while (now := time.monotonic() - begun) < seconds:
        while asked < now * len(addresses):
            loop.ask(addresses[asked % len(addresses)])
            asked += 1
        loop.hear(0.01)
    used = time.process_time() - used
    return used / _most(loop.taken, asked)


def once(addresses: list[str], port: int) -> None:
    """Connect to each address. Raises RuntimeError where fewer than nine in ten were taken within a second of the
    last."""
    loop = _Loop(port)
    for address in addresses:
        loop.ask(address)
        loop.hear(0 if len(loop.waiting) < _AT_ONCE else 1)
    ends = time.monotonic() + 1
    while loop.waiting and time.monotonic() < ends:
        loop.hear(0.1)
    _most(loop.taken, len(addresses))


def _most(taken: int, asked: int) -> int:
    if taken < 0.9 * asked:
        raise RuntimeError(f"{taken} of {asked} connections were taken")
    return taken


if __name__ == "__main__":
    print(knock(sys.stdin.read().split(), int(sys.argv[1]), float(sys.argv[2])))
