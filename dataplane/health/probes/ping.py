"""The PING monitor: echo requests to the VIP through the server, all from one raw socket (RFC 792)."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Callable
from functools import partial

from dataplane.health.probes.check import Check, Done, Run
from dataplane.health.probes.poller import Poller
from dataplane.health.probes.tcp import silence
from dataplane.network import icmp
from dataplane.runtime.rawsocket import RawListener

Sent = tuple[bytes, int]
"""The address that was asked, and the request's number."""


class PingSocket:
    """Sends echo requests and hands out their answers. The socket is opened by the first request."""

    def __init__(self, poller: Poller) -> None:
        self._listener = RawListener(socket.IPPROTO_ICMP, self._received, size=2048, prepare=_only_replies)
        self._poller = poller
        self._waiting: dict[Sent, PingRun] = {}
        self._numbers = itertools.count(1)
        self._id = os.getpid() & 0xFFFF

    def probe(self, check: Check) -> PingProbe:
        """The probe of a check: whether the VIP answers an echo request through the server."""
        return PingProbe(self, check)

    def ask(
        self, address: bytes, timeout: float, done: Callable[[bool], None], mark: int = 0, source: bytes = b""
    ) -> Run:
        """Send an echo request. done: called with whether its answer came within `timeout` seconds."""
        number = next(self._numbers)
        try:
            self._send(address, number, mark, source)
        except OSError:  # no route
            return asyncio.get_running_loop().call_soon(done, False)
        made = self._waiting[address, number] = PingRun(self, (address, number), done)
        made.wait(self._poller, timeout)
        return made

    def forget(self, sent: Sent) -> None:
        """Stop waiting for an answer."""
        del self._waiting[sent]

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _send(self, address: bytes, number: int, mark: int, source: bytes) -> None:
        request = icmp.echo_request(self._id, number & 0xFFFF, number.to_bytes(8, "big"))
        self._listener.opened().sendmsg([request], icmp.ancillary(mark, source), 0, (socket.inet_ntoa(address), 0))

    def _received(self, packet: bytes) -> None:
        message = icmp.message(packet)
        if len(message) < 16 or message[4:6] != self._id.to_bytes(2, "big"):
            return
        answered = self._waiting.get((packet[12:16], int.from_bytes(message[8:16], "big")))
        if answered is not None:
            answered.end(True)


class PingProbe:
    """The PING probe of a check."""

    def __init__(self, pings: PingSocket, check: Check) -> None:
        self._pings = pings
        self._check = check

    def start(self, mark: int, source: bytes, done: Done) -> Run:
        """Send one echo request."""
        check = self._check
        return self._pings.ask(check.vip, check.monitor.receive_timeout, partial(self._heard, done), mark, source)

    def _heard(self, done: Done, answered: bool) -> None:
        done(answered or silence(self._check))


class PingRun:
    """One request that waits for its answer."""

    __slots__ = ("_done", "_pings", "_sent", "_timeout")

    def __init__(self, pings: PingSocket, sent: Sent, done: Callable[[bool], None]) -> None:
        self._pings, self._done = pings, done
        self._sent: Sent | None = sent

    def wait(self, poller: Poller, timeout: float) -> None:
        """Give up after `timeout` seconds."""
        self._timeout = poller.after(timeout, partial(self.end, False))

    def cancel(self) -> None:
        """End without an outcome."""
        if self._sent is not None:
            self._timeout.cancel()
            self._pings.forget(self._sent)
            self._sent = None

    def end(self, answered: bool) -> None:
        """End with an outcome: whether the answer came in time."""
        self.cancel()
        self._done(answered)


def _only_replies(made: socket.socket) -> None:
    icmp.receive_only(made, (icmp.ECHO_REPLY,))
