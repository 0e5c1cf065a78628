"""What a TCP probe costs at least: `python -m tests.bench.knocking PORT SECONDS [GRAIN]`, the addresses on standard
input.

One epoll loop connects to each address once a second, spread over it, and resets what was taken. It prints the
processor time of one connection in seconds. With a grain, in seconds, connections that are due within it begin together
at its end; it prints how many seconds after their times 99 % of them begin. `once` connects to each address once, as
fast as it can.
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

    def hear_all(self) -> None:
        """Until all were taken, for a second at most."""
        ends = time.monotonic() + 1
        while self.waiting and time.monotonic() < ends:
            self.hear(0.1)


def free(seconds: float = 0.3) -> float:
    """The part of a processor that a program gets which wants one."""
    used, begun = time.process_time(), time.monotonic()
    while (took := time.monotonic() - begun) < seconds:
        pass
    return (time.process_time() - used) / took


def knock(addresses: list[str], port: int, seconds: float) -> float:
    """Processor time a connection. Raises RuntimeError where fewer than nine in ten were taken."""
    loop, begun, asked = _Loop(port), time.monotonic(), 0
    used = time.process_time()
    while (now := time.monotonic() - begun) < seconds:
        while asked < now * len(addresses):
            loop.ask(addresses[asked % len(addresses)])
            asked += 1
        loop.hear(0.01)
    loop.hear_all()
    used = time.process_time() - used
    return used / _most(loop.taken, asked)


def late(addresses: list[str], port: int, seconds: float, grain: float) -> float:
    """Seconds after their times within which 99 % of the connections begin. Raises RuntimeError where fewer than nine
    in ten were taken."""
    loop, begun, found, wakes = _Loop(port), time.monotonic(), list[float](), 1
    while (now := time.monotonic() - begun) < seconds:
        if now >= wakes * grain:
            wakes = int(now / grain) + 1
            while (due := len(found) / len(addresses)) < (wakes - 1) * grain:
                loop.ask(addresses[len(found) % len(addresses)])
                found.append(now - due)
        loop.hear(max(0.0, begun + wakes * grain - time.monotonic()))
    loop.hear_all()
    _most(loop.taken, len(found))
    return sorted(found)[len(found) * 99 // 100]


def once(addresses: list[str], port: int) -> None:
    """Connect to each address. Raises RuntimeError where fewer than nine in ten were taken within a second of the
    last."""
    loop = _Loop(port)
    for address in addresses:
        loop.ask(address)
        loop.hear(0 if len(loop.waiting) < _AT_ONCE else 1)
    loop.hear_all()
    _most(loop.taken, len(addresses))


def _most(taken: int, asked: int) -> int:
    if taken < 0.9 * asked:
        raise RuntimeError(f"{taken} of {asked} connections were taken")
    return taken


if __name__ == "__main__":
    given = sys.stdin.read().split(), int(sys.argv[1]), float(sys.argv[2])
    print(late(*given, float(sys.argv[3])) if len(sys.argv) > 3 else knock(*given))
