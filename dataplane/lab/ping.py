"""Sends ICMP echo requests (RFC 792) until one is answered."""

from __future__ import annotations

import os
import socket
import struct
import time

from dataplane.forwarding.rewrite import checksum

REQUEST, REPLY = 8, 0
RESEND = 1.0
"""Seconds after which an unanswered request is sent again."""


def answered(address: str, patience: float) -> bool:
    """Whether an address answers within so many seconds. Needs a raw socket; asks from the calling thread's network
    namespace."""
    deadline = time.monotonic() + patience
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.connect((address, 0))  # ignores answers from other hosts
        body = os.urandom(20)
        while (left := deadline - time.monotonic()) > 0:
            raw.send(_message(REQUEST, body))
            if _heard(raw, _message(REPLY, body), min(left, RESEND)):
                return True
    return False


def _heard(raw: socket.socket, wanted: bytes, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while (left := deadline - time.monotonic()) > 0:
        raw.settimeout(left)
        try:
            packet = raw.recv(65535)
        except OSError:  # nothing yet, or an address that has no neighbour
            return False
        if packet[(packet[0] & 0x0F) * 4 :] == wanted:
            return True
    return False


def _message(kind: int, body: bytes) -> bytes:
    summed = checksum(struct.pack("!BBH", kind, 0, 0) + body)
    return struct.pack("!BBH", kind, 0, summed) + body
