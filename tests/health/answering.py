"""The program of a crowd's servers: `python -m tests.health.answering tcp|http PORT`. It says a line once it listens.

It answers every datagram on the port with itself. tcp: takes connections and closes them; http: answers every request.
"""

from __future__ import annotations

import select
import socket
import sys
import threading

_HTTP = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"


def main() -> None:
    """Serve for ever."""
    kind, port = sys.argv[1], int(sys.argv[2])
    stream, datagram = (socket.socket(socket.AF_INET, t) for t in (socket.SOCK_STREAM, socket.SOCK_DGRAM))
    stream.bind(("", port))
    stream.listen(4096)
    datagram.bind(("", port))
    threading.Thread(target=_echo, args=(datagram,), daemon=True).start()
    print("listening", flush=True)
    if kind == "http":
        _serve(stream)
    while True:
        stream.accept()[0].close()


def _echo(made: socket.socket) -> None:
    # The answer must leave from the address that was asked: IP_PKTINFO tells it (ip(7)).
    made.setsockopt(socket.IPPROTO_IP, 8, 1)
    while True:
        data, ancillary, _, client = made.recvmsg(2048, 64)
        made.sendmsg([data], [(0, 8, bytes(4) + ancillary[0][2][4:8] + bytes(4))] if ancillary else [], 0, client)


def _serve(made: socket.socket) -> None:
    made.setblocking(False)
    poll = select.epoll()
    poll.register(made, select.EPOLLIN)
    open_: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
            if number == made.fileno():
                try:
                    connection, _ = made.accept()
                except OSError:
                    continue
                open_[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
                continue
            connection = open_[number]
            try:
                if connection.recv(4096):
                    connection.send(_HTTP)
                    continue
            except OSError:
                pass
            poll.unregister(number)
            open_.pop(number).close()


if __name__ == "__main__":
    main()
