"""The TCP monitor: whether the VIP takes a connection, and what it answers on it."""

from __future__ import annotations

import socket

from dataplane.health.probes.check import Check, Outcome, ProbeFailed, wire
from dataplane.health.probes.connection import ConnectionProbe, Connections, Exchange

READ = 2048
"""Bytes of an answer that are looked at, as in the appliance."""


def probe(check: Check, connections: Connections) -> ConnectionProbe:
    """The TCP probe of a check."""
    monitor = check.monitor
    wanted, away = wire(monitor.response), wire(monitor.maintenance)

    def judge(answer: bytes, whole: bool) -> bool:
        if away and away in answer:
            raise ProbeFailed(f"under maintenance: it answered {monitor.maintenance!r}")
        if wanted and wanted in answer:
            return True
        if wanted and whole:
            raise missing(check, answer)
        return whole

    def late(answer: bytes | None) -> Outcome:
        if answer is None:
            return silence(check)
        if not wanted:  # an answer could only have meant maintenance
            return True
        if answer:
            return missing(check, answer)
        return ProbeFailed(f"the VIP took the connection, and answered nothing within {monitor.receive_timeout} s")

    listens = judge if wanted or away else None
    target = (socket.inet_ntoa(check.vip), check.port)
    return ConnectionProbe(
        connections, Exchange(target, monitor.receive_timeout, wire(monitor.request), listens, READ, late)
    )


def missing(check: Check, answer: bytes) -> ProbeFailed:
    """The failure of a probe whose answer is not the one that is wanted."""
    there = "it answered nothing" if not answer else f"its answer begins {answer[:40].decode('latin-1')!r}"
    return ProbeFailed(f"its answer does not contain {check.monitor.response!r}: {there}")


def silence(check: Check) -> ProbeFailed:
    """The failure of a probe that heard nothing from the VIP."""
    return ProbeFailed(f"no answer from the VIP within {check.monitor.receive_timeout} s", silent=True)
