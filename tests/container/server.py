"""A pool member's program: `python -m tests.container.server TCP UDP`.

It answers an HTTP request with the number of bytes that came with it, and a datagram with the same.
"""

from __future__ import annotations

import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Counting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(b"0")

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        read = 0
        while read < left and (data := self.rfile.read(min(1 << 16, left - read))):
            read += len(data)
        self._answer(str(read).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _echo(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO: the answer comes from where the question went
        made.bind(("", port))
        while True:
            data, control, _, sender = made.recvmsg(65535, 256)
            to = control[0][2][4:8]  # ipi_spec_dst
            made.sendmsg([data], [(socket.IPPROTO_IP, 8, bytes(4) + to + bytes(4))], 0, sender)


if __name__ == "__main__":
    threading.Thread(target=_echo, args=(int(sys.argv[2]),), daemon=True).start()
    ThreadingHTTPServer(("", int(sys.argv[1])), _Counting).serve_forever()
