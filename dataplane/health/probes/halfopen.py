"""The half-open TCP probe: SYN, SYN-ACK, RST. The server's program never sees a connection.

The kernel sends the SYN from a connecting socket, and repeats it if it gets lost. A filter on that socket drops the
server's SYN-ACK, which the kernel would acknowledge, and lets a RST through, which ends the connect as refused. One raw
socket for all probes receives the SYN-ACKs and sends the RSTs that answer them, with the probe's mark, so that they
take the data's path too. The connecting socket stays open meanwhile: without it the kernel would send a RST of its own,
without the mark.

A new filter costs more than a probe. So the connecting sockets are used again (`connection`).
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from dataplane.forwarding.rewrite import checksum
from dataplane.health.probes.check import Check, Done, Outcome, Run, ended, failure
from dataplane.health.probes.connection import EVENTS, Connections
from dataplane.health.probes.poller import Poller
from dataplane.health.probes.tcp import silence
from dataplane.network.icmp import ancillary
from dataplane.runtime.rawsocket import RawListener, attach_filter

_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_FLAGS = 13
# struct sock_filter (linux/filter.h): code, jump if true, jump if false, constant
_INSTRUCTION = struct.Struct("=HBBI")
_TAKE, _DROP = _INSTRUCTION.pack(0x06, 0, 0, 0xFFFFFFFF), _INSTRUCTION.pack(0x06, 0, 0, 0)
_ONLY_RST = (
    _INSTRUCTION.pack(0x30, 0, 0, _FLAGS),  # ldb [13]: a TCP socket's filter sees packets from the TCP header on
    _INSTRUCTION.pack(0x45, 0, 1, _RST),  # jset
    _TAKE,
    _DROP,
)
_ONLY_SYN_ACK = (
    _INSTRUCTION.pack(0xB1, 0, 0, 0),  # ldx 4*([0]&0xf): a raw socket's filter sees them from the IP header on
    _INSTRUCTION.pack(0x50, 0, 0, _FLAGS),  # ldb [x + 13]
    _INSTRUCTION.pack(0x54, 0, 0, _SYN | _ACK),  # and
    _INSTRUCTION.pack(0x15, 0, 1, _SYN | _ACK),  # jeq
    _TAKE,
    _DROP,
)

Ends = tuple[bytes, int, int]
"""The VIP, its port, the probe's own port."""


class HalfOpenSockets:
    """The sockets of half-open probes. The raw one is opened by the first probe."""

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self.waiting: dict[Ends, HalfOpenRun] = {}
        self.connecting = Connections(poller, lambda made: attach_filter(made, _ONLY_RST))
        self._listener = RawListener(
            socket.IPPROTO_TCP, self._received, size=256, prepare=lambda made: attach_filter(made, _ONLY_SYN_ACK)
        )

    def probe(self, check: Check) -> HalfOpenProbe:
        """The probe of a check: whether the VIP's port answers a SYN with SYN-ACK."""
        return HalfOpenProbe(self, check)

    def take(self, mark: int, source: bytes) -> socket.socket:
        """A socket to connect. Raises OSError."""
        self._listener.opened()
        return self.connecting.take(mark, source)

    def reset(self, ends: Ends, sequence: int, mark: int, source: bytes) -> None:
        """Answer a SYN-ACK. Raises OSError."""
        vip, port, own = ends
        segment = reset(source, vip, own, port, sequence)
        self._listener.opened().sendmsg([segment], ancillary(mark, source), 0, (socket.inet_ntoa(vip), 0))

    def close(self) -> None:
        """Close all sockets."""
        self._listener.close()
        self.connecting.close()

    def _received(self, packet: bytes) -> None:
        start = (packet[0] & 0x0F) * 4
        port, own, _, acknowledged = struct.unpack_from("!HHII", packet, start)
        answered = self.waiting.get((packet[12:16], port, own))
        if answered is not None:
            answered.answered(acknowledged)


class HalfOpenProbe:
    """The half-open probe of a check."""

    def __init__(self, shared: HalfOpenSockets, check: Check) -> None:
        self.shared = shared
        self.check = check
        self.target = (socket.inet_ntoa(check.vip), check.port)

    def start(self, mark: int, source: bytes, done: Done) -> Run:
        """Send the SYN."""
        try:
            made = self.shared.take(mark, source)
        except OSError as exc:
            return ended(done, failure(exc, self.check.port))
        refusal = made.connect_ex(self.target)
        if refusal != errno.EINPROGRESS:
            self.shared.connecting.end(made)
            return ended(done, failure(OSError(refusal, os.strerror(refusal)), self.check.port))
        return HalfOpenRun(self, made, mark, source, done)


class HalfOpenRun:
    """One run of a half-open probe."""

    __slots__ = ("_done", "_ends", "_made", "_mark", "_probe", "_source", "_timeout")

    def __init__(self, probe: HalfOpenProbe, made: socket.socket, mark: int, source: bytes, done: Done) -> None:
        self._probe, self._mark, self._source, self._done = probe, mark, source, done
        self._made: socket.socket | None = made
        self._ends = probe.check.vip, probe.check.port, made.getsockname()[1]
        probe.shared.waiting[self._ends] = self
        self._timeout = probe.shared.poller.after(probe.check.monitor.receive_timeout, self._late)
        probe.shared.poller.watch(made.fileno(), EVENTS, self._refused)

    def cancel(self) -> None:
        """End without an outcome."""
        if self._made is not None:
            self._timeout.cancel()
            del self._probe.shared.waiting[self._ends]
            self._probe.shared.connecting.end(self._made)
            self._made = None

    def answered(self, sequence: int) -> None:
        """Reset the connection: its SYN-ACK has come."""
        outcome: Outcome = True
        try:
            self._probe.shared.reset(self._ends, sequence, self._mark, self._source)
        except OSError as exc:
            outcome = failure(exc, self._probe.check.port)
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        if outcome is True and self._made is not None:
            self._timeout.cancel()
            del self._probe.shared.waiting[self._ends]
            self._probe.shared.connecting.give_back(self._made, self._source)
            self._made = None
        else:
            self.cancel()
        self._done(outcome)

    def _refused(self, _events: int) -> None:
        """The connect has failed: it was refused, or there is no route."""
        assert self._made is not None
        error = self._made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:  # else it is of the socket's last connect
            self._end(failure(OSError(error, os.strerror(error)), self._probe.check.port))

    def _late(self) -> None:
        self._end(silence(self._probe.check))


def reset(source: bytes, destination: bytes, own: int, port: int, sequence: int) -> bytes:
    """A TCP segment that resets a connection (RFC 9293)."""

    def segment(check: int) -> bytes:
        return struct.pack("!HHIIBBHHH", own, port, sequence, 0, 5 << 4, _RST, 0, check, 0)

    pseudo = source + destination + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(segment(0)))
    return segment(checksum(pseudo + segment(0)))
