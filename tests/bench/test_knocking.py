"""The bare loops that probes are measured against."""

import socket
from threading import Thread

from .knocking import free, late


def test_connections_due_within_a_grain_begin_together_at_its_end() -> None:
    """A hundred a second, in grains of a fifth of a second: the first of each waits nearly that long."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:

        def serve() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        serving = Thread(target=serve)
        serving.start()
        took = late(["127.0.0.1"] * 100, server.getsockname()[1], 0.5, 0.2)
        server.shutdown(socket.SHUT_RDWR)
        serving.join()
    assert took >= 0.18


def test_a_program_gets_a_part_of_a_processor() -> None:
    assert 0 < free(0.01) <= 1.01
