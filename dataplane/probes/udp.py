"""The UDP monitor: send to the VIP through the server. Where no answer is wanted, silence is good, and only what speaks
against the server is bad: ICMP port unreachable, or an answer that means maintenance."""

from __future__ import annotations

import asyncio
import socket

from .check import Check, ProbeFailed, failure, wire
from .tcp import READ, missing, silence


async def probe(check: Check, mark: int, source: bytes) -> bool:
    """Send one datagram and listen. Whether the server was heard. Raises ProbeFailed."""
    monitor = check.monitor
    answers: list[bytes] = []
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            made.bind((socket.inet_ntoa(source), 0))
            made.connect((socket.inet_ntoa(check.vip), check.port))
            made.send(wire(monitor.request))
            async with asyncio.timeout(monitor.receive_timeout):
                while True:
                    answers.append(await loop.sock_recv(made, READ))
                    if _good(check, answers[-1]):
                        return True
    except TimeoutError as exc:
        if monitor.response:
            raise missing(check, b"".join(answers)) if answers else silence(check) from exc
        return bool(answers)
    except OSError as exc:
        raise failure(exc, check.port, "udp") from exc


def _good(check: Check, answer: bytes) -> bool:
    monitor = check.monitor
    if monitor.maintenance and wire(monitor.maintenance) in answer:
        raise ProbeFailed(f"under maintenance: it answered {monitor.maintenance!r}")
    return not monitor.response or wire(monitor.response) in answer
