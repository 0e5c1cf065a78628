"""A datagram echo server that says who it is: `python -m dataplane.lab.udpecho NAME PORT`.

It answers every datagram with its name, a space and the datagram. Like any echo service (RFC 862) it also listens on
TCP. It accepts a connection and closes it, which is enough for a TCP health monitor.
"""

from __future__ import annotations

import select
import socket
import struct
import sys

IP_PKTINFO = 8  # linux/in.h; Python's socket module does not name it before 3.12
LARGEST = 65535


def main(name: str, port: int) -> None:
    """Serve for ever."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connections,
    ):
        datagrams.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        datagrams.bind(("", port))
        connections.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connections.bind(("", port))
        connections.listen(128)
        while True:
            for ready in select.select([datagrams, connections], [], [])[0]:
                if ready is datagrams:
                    _answer(datagrams, name.encode())
                else:
                    connections.accept()[0].close()


def _answer(datagrams: socket.socket, name: bytes) -> None:
    """Answer from the address that was asked. By default the kernel would use the interface's address, not the VIP."""
    data, control, _, client = datagrams.recvmsg(LARGEST, socket.CMSG_SPACE(12))
    asked = next(body for level, kind, body in control if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO))
    source = struct.pack("=i4s4s", 0, asked[8:12], bytes(4))
    datagrams.sendmsg([name, b" ", data], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, client)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
