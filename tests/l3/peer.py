"""A server's program: `python -m tests.l3.peer NAME PORT`.

TCP: a first line `send N` is answered with N bytes of a pattern; `take` with the SHA-256 of all that followed, once the
client has shut its side. UDP: a datagram is answered with the name, its length and its SHA-256, from the address that
was asked.
"""

from __future__ import annotations

import hashlib
import itertools
import socket
import struct
import sys
import threading

IP_PKTINFO = 8


def pattern(size: int) -> bytes:
    """Bytes that betray a piece lost or swapped."""
    return b"".join(struct.pack("!I", n) for n in range(-(-size // 4)))[:size]


def main(name: str, port: int) -> None:
    with (
        socket.create_server(("", port), backlog=128) as listening,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        datagrams.bind(("", port))
        threading.Thread(target=_answer_datagrams, args=(datagrams, name), daemon=True).start()
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_converse, args=(connection, name), daemon=True).start()


def _converse(connection: socket.socket, name: str) -> None:
    with connection, connection.makefile("rb") as stream:
        try:
            words = stream.readline().split()
            if words[:1] == [b"send"]:
                connection.sendall(pattern(int(words[1])))
            elif words[:1] == [b"take"]:
                digest = hashlib.sha256()
                for piece in itertools.takewhile(bool, (stream.read(65536) for _ in itertools.count())):
                    digest.update(piece)
                connection.sendall(f"{name} {digest.hexdigest()}".encode())
        except OSError:  # a monitor's probe is reset
            return


def _answer_datagrams(datagrams: socket.socket, name: str) -> None:
    while True:
        data, control, _, client = datagrams.recvmsg(65536, socket.CMSG_SPACE(12))
        asked = next(body for level, kind, body in control if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO))
        told = f"{name} {len(data)} {hashlib.sha256(data).hexdigest()}".encode()
        source = struct.pack("=i4s4s", 0, asked[8:12], bytes(4))
        datagrams.sendmsg([told], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, client)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
