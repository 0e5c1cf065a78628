"""A TCP server that takes one connection: `python -m tests.dataplane.sink IP PORT`.

It says `ready`, then reads to the end, answers `done`, and says how many bytes came.
"""

from __future__ import annotations

import socket
import sys


def main(address: str, port: int) -> None:
    """Serve one client."""
    with socket.create_server((address, port)) as listening:
        print("ready", flush=True)
        connection, _ = listening.accept()
        total = 0
        while piece := connection.recv(65536):
            total += len(piece)
        connection.sendall(b"done")
        print(total, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
