"""A server's program: takes TCP connections on a port, of one address or of all, and answers each with a line.

python -m tests.broken.listener PORT [ADDRESS]
"""

from __future__ import annotations

import socket
import sys


def main(port: int, address: str = "0.0.0.0") -> None:
    """Serve for ever."""
    with socket.create_server((address, port)) as listening:
        while True:
            connection, _ = listening.accept()
            with connection:
                try:
                    connection.sendall(b"hello\n")
                except OSError:  # a probe that has reset its connection
                    continue


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
