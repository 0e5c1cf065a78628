"""The UDP monitor: send a datagram to the VIP through the server.

If the monitor wants no answer, silence is good; only ICMP port unreachable or an answer that means maintenance is bad.
"""

from __future__ import annotations

import socket

from dataplane.health.probes.check import Check, Done, Outcome, ProbeFailed, Run, ended, failure, wire
from dataplane.health.probes.poller import READABLE, Poller
from dataplane.health.probes.tcp import READ, missing, silence


class UdpProbe:
    """The UDP probe of a check."""

    def __init__(self, check: Check, poller: Poller) -> None:
        self.check = check
        self.poller = poller
        self.target = (socket.inet_ntoa(check.vip), check.port)
        self.request = wire(check.monitor.request)
        self.wanted = wire(check.monitor.response)
        self.away = wire(check.monitor.maintenance)

    def start(self, mark: int, source: bytes, done: Done) -> Run:
        """Send one datagram and wait for the answer."""
        try:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as exc:
            return ended(done, failure(exc, self.check.port, "udp"))
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            made.bind((socket.inet_ntoa(source), 0))
            made.connect(self.target)
            made.send(self.request)
        except OSError as exc:
            made.close()
            return ended(done, failure(exc, self.check.port, "udp"))
        return UdpRun(self, made, done)

    def judge(self, answer: bytes) -> Outcome:
        """The outcome of one datagram. False: it is not the wanted answer."""
        if self.away and self.away in answer:
            return ProbeFailed(f"under maintenance: it answered {self.check.monitor.maintenance!r}")
        return not self.wanted or self.wanted in answer


class UdpRun:
    """One run of a UDP probe."""

    __slots__ = ("_answers", "_done", "_made", "_probe", "_timeout")

    def __init__(self, probe: UdpProbe, made: socket.socket, done: Done) -> None:
        self._probe = probe
        self._done = done
        self._answers = b""
        self._made: socket.socket | None = made
        self._timeout = probe.poller.after(probe.check.monitor.receive_timeout, self._late)
        probe.poller.watch(made.fileno(), READABLE, self._receive)

    def cancel(self) -> None:
        """End without an outcome."""
        if self._made is not None:
            self._timeout.cancel()
            self._probe.poller.forget(self._made.fileno())
            self._made.close()
            self._made = None

    def _end(self, outcome: Outcome) -> None:
        self.cancel()
        self._done(outcome)

    def _receive(self, _events: int) -> None:
        assert self._made is not None
        try:
            answer = self._made.recv(READ)
        except BlockingIOError:
            return
        except OSError as exc:
            self._end(failure(exc, self._probe.check.port, "udp"))
            return
        self._answers = (self._answers + answer)[:READ]
        outcome = self._probe.judge(answer)
        if outcome is not False:
            self._end(outcome)

    def _late(self) -> None:
        if self._probe.wanted:
            self._end(missing(self._probe.check, self._answers) if self._answers else silence(self._probe.check))
        else:
            self._end(False)
