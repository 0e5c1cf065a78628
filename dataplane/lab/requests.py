"""A client that tells which server answered each of its requests: `python -m dataplane.lab.requests --to IP:PORT …`.

Each request is its own flow, from a source port that the caller chooses. TCP: an HTTP request, whose answer's body is
the server's name. UDP: a datagram, which is sent again after a while as clients do; the answer starts with the name.
One JSON object a line on standard output, as answers come: {"port": source port, "server": name or null, "error": text,
"at": seconds of CLOCK_MONOTONIC at the start, "took": s}
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
RESEND = 1.0
"""Seconds after which a datagram without an answer is sent again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one request."""

    port: int  # its source port
    server: str | None  # name of the server that answered
    error: str  # "" if it was answered correctly
    at: float  # seconds of CLOCK_MONOTONIC at its start
    took: float  # seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m dataplane.lab.requests")
    parser.add_argument("--to", required=True, metavar="IP:PORT")
    parser.add_argument("--ports", required=True, metavar="A-B", help="source ports, one request each, in this order")
    parser.add_argument("--udp", action="store_true")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds an answer may take (default: %(default)s)")
    parser.add_argument("--interval", type=float, default=0.0, help="seconds from one start to the next")
    parser.add_argument("--at-once", type=int, default=8, help="requests at once at most (default: %(default)s)")
    arguments = parser.parse_args(argv)
    host, _, port = arguments.to.partition(":")
    first, _, last = arguments.ports.partition("-")
    ask = ask_datagram if arguments.udp else ask_http
    lock = threading.Lock()

    def one(source: int) -> None:
        line = json.dumps(asdict(ask((host, int(port)), source, arguments.timeout)))
        with lock:
            print(line, flush=True)

    begun = time.monotonic()
    with ThreadPoolExecutor(arguments.at_once) as pool:
        for number, source in enumerate(range(int(first), int(last) + 1)):
            time.sleep(max(0.0, begun + number * arguments.interval - time.monotonic()))
            pool.submit(one, source)
    return 0


def ask_http(to: tuple[str, int], port: int, timeout: float) -> Answer:
    """Make one HTTP request over its own connection, which is reset at the end so that the port is free again."""
    at = time.monotonic()
    server, error = None, ""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            connection.bind(("", port))
            connection.connect(to)
            connection.sendall(f"GET / HTTP/1.0\r\nHost: {to[0]}\r\n\r\n".encode())
            with connection.makefile("rb") as stream:
                head, _, body = stream.read().partition(b"\r\n\r\n")
            if head.split()[1:2] == [b"200"]:
                server = body.decode().strip()
            else:
                error = f"answered {head[:40]!r}"
    except OSError as exc:
        error = str(exc) or type(exc).__name__
    return Answer(port, server, error, at, time.monotonic() - at)


def ask_datagram(to: tuple[str, int], port: int, timeout: float) -> Answer:
    """Send one datagram and wait for its answer."""
    at = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        try:
            wire.bind(("", port))
            wire.connect(to)  # an answer from anywhere else is not taken
        except OSError as exc:
            return Answer(port, None, str(exc), at, 0.0)
        question = f"request from port {port}".encode()
        while (left := at + timeout - time.monotonic()) > 0:
            try:
                wire.settimeout(min(left, RESEND))
                wire.send(question)
                name, _, echoed = wire.recv(65535).partition(b" ")
            except OSError:  # nothing yet, or refused by a server that is going
                continue
            error = "" if echoed == question else f"echoed {echoed!r}"
            return Answer(port, name.decode(), error, at, time.monotonic() - at)
    return Answer(port, None, "timed out", at, time.monotonic() - at)


if __name__ == "__main__":
    sys.exit(main())
