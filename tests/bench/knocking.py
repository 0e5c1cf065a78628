"""What a TCP probe costs at least: `python -m tests.bench.knocking PORT SECONDS`, the addresses on standard input.

One epoll loop connects to each address once a second, spread over it, and resets what was taken. It prints the
processor time of one connection in seconds.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import sys
import time

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def knock(addresses: list[str], port: int, seconds: float) -> float:
    """Processor time a connection. Raises RuntimeError where fewer than nine in ten were taken."""
    epoll, waiting = select.epoll(), dict[int, socket.socket]()
    begun, asked, taken = time.monotonic(), 0, 0
    used = time.process_time()
    while (now := time.monotonic() - begun) < seconds:
        while asked < now * len(addresses):
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            if made.connect_ex((addresses[asked % len(addresses)], port)) != errno.EINPROGRESS:
                made.close()
            else:
                waiting[made.fileno()] = made
                epoll.register(made, select.EPOLLOUT)
            asked += 1
        for fd, _ in epoll.poll(0.01):
            ready = waiting.pop(fd)
            taken += ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            ready.close()  # takes it out of the epoll, too
    used = time.process_time() - used
    if taken < 0.9 * asked:
        raise RuntimeError(f"{taken} of {asked} connections were taken")
    return used / taken


if __name__ == "__main__":
    print(knock(sys.stdin.read().split(), int(sys.argv[1]), float(sys.argv[2])))
