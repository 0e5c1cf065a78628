"""A server's program: answers every HTTP request, after a while. `python -m tests.sight.page PORT MILLISECONDS`."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"


def main(port: int, milliseconds: int) -> None:
    """Serve for ever, one client after the other."""
    with socket.create_server(("", port)) as listening:
        while True:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                if connection.recv(2048):
                    time.sleep(milliseconds / 1000)
                    connection.sendall(ANSWER)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
