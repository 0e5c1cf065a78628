"""What ICMP reports about the tunnels to servers: path MTUs, and why a tunnel does not work.

Only messages count that go to the engine's own address and quote a packet in one of its tunnels to a known server.
Fragmentation needed comes from routers and tells the path's MTU (RFC 1191, RFC 2003 section 5.1); any other unreachable
message tells why a server's tunnel does not work. The kernel hands all of them to a raw socket: none is a frame for a
VIP, so no driver sees it.

Anybody can send such a message. A path MTU is believed only from a message that quotes a measuring packet of the
engine, by its identification: nobody else knows that (RFC 5927 section 7.2). And it is believed only when a second
measuring packet of the same size is answered with the same MTU. A message that quotes anything else only makes the
engine measure the path.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from dataplane.forwarding import rewrite
from dataplane.forwarding.rewrite import IP_HLEN
from dataplane.network import icmp, tunnels
from dataplane.runtime.rawsocket import RawListener

FLOOR = 576
"""Bytes. A smaller report counts as this; routers from before RFC 1191 report 0."""
LIFE = 600.0
"""Seconds after which a report is forgotten and larger packets are sent again."""
MEASURE_EVERY = 60.0
"""Seconds between two full-size packets into a tunnel. Clients' traffic does not measure a path: no router reports
packets without DF, and the server gets them in fragments that a decapsulating program cannot reassemble."""
CONFIRM_AFTER = 1.0
"""Seconds until a path is measured again to confirm a report: hosts send one a second, often (RFC 1812 4.3.2.8)."""
HINTED_EVERY = 5.0
"""Seconds at least between two measurements of a path that follow reports which quote no measuring packet."""
_ANSWERED_WITHIN = 5.0
"""Seconds in which a measuring packet is reported."""
_SILENT_AFTER = 2.0
"""Seconds after a measuring packet from which on no router is taken to report it: they do in milliseconds."""
_LIMITED = 10.0
"""Seconds. Hosts limit how many unreachable messages they send (RFC 1812 section 4.3.2.8)."""
_DISCARD = 9  # RFC 863
_DF, _TTL = 0x4000, 64
_PROTOCOL, _PORT, _FRAGMENTATION_NEEDED = 2, 3, 4
_CODES = {
    0: "network unreachable", 1: "host unreachable", 5: "source route failed", 6: "network unknown", 7: "host unknown",
    9: "network prohibited", 10: "host prohibited", 11: "network unreachable for its TOS",
    12: "host unreachable for its TOS", 13: "communication prohibited",
}  # fmt: skip
"""The codes of unreachable messages (RFC 792, RFC 1812 section 5.2.7.1)."""


Tunnel = tuple[bytes, str]
"""A server and the mode in which it is reached."""


class Report(NamedTuple):
    """A router's report of a path MTU."""

    tunnel: Tunnel  # the path
    mtu: int  # bytes of the largest packet towards the server
    identification: int  # of the packet that was too big


class _Sent(NamedTuple):
    """A measuring packet."""

    tunnel: Tunnel
    size: int  # bytes, the tunnel's headers with them
    when: float  # time.monotonic()


def reported(message: bytes, own: Collection[bytes], servers: Collection[bytes]) -> Report | None:
    """The path MTU that an ICMP message reports; None if it reports none.

    message: from its type on; own: the engine's addresses; servers: those that tunnels lead to.
    """
    server = _quoted(message, own, servers)
    if server is None or message[1] != _FRAGMENTATION_NEEDED:
        return None
    return Report(
        (server, _mode(message)), max(FLOOR, struct.unpack_from("!H", message, 6)[0]), int.from_bytes(message[12:14])
    )


class Refusal(NamedTuple):
    """Why a tunnel does not reach a server."""

    server: bytes  # where the tunnel leads
    protocol: int  # the tunnel's IP protocol
    reason: str  # in words for an operator


def refused(message: bytes, reporter: bytes, own: Collection[bytes], servers: Collection[bytes]) -> Refusal | None:
    """Why a tunnel does not work, as an ICMP message tells it; None if it tells nothing about one.

    Linux answers protocol unreachable when nothing handles the tunnel's protocol. It answers port unreachable when
    something does, but no tunnel device matches the packet (tunnel4_rcv and gre_rcv in net/ipv4). A question to the
    server's own address, which diagnosis asks in the tunnel, tells nothing: a program may decapsulate for VIPs alone.
    """
    server = _quoted(message, own, servers)
    if server is None or message[1] == _FRAGMENTATION_NEEDED:
        return None
    code = message[1]
    protocol = message[17]
    tunnel = tunnels.NAMES_BY_PROTOCOL[protocol]
    if code in (_PROTOCOL, _PORT) and reporter == server:
        if _inner_target(message) == server:
            return None
        said = "protocol" if code == _PROTOCOL else "port"
        told = f"the server does not decapsulate {tunnel}: it answers ICMP {said} unreachable"
    else:
        said = _CODES.get(code, f"unreachable, code {code}")
        told = f"the {tunnel} tunnel does not reach the server: {socket.inet_ntoa(reporter)} answers {said}"
    return Refusal(server, protocol, told)


def _quoted(message: bytes, own: Collection[bytes], servers: Collection[bytes]) -> bytes | None:
    """The server whose tunnel an unreachable message quotes; None if it quotes no tunnel of ours."""
    if len(message) < 8 + IP_HLEN or message[0] != icmp.UNREACHABLE:
        return None
    quoted = message[8:]
    if quoted[0] >> 4 != 4 or quoted[9] not in tunnels.NAMES_BY_PROTOCOL:
        return None
    source, server = quoted[12:16], quoted[16:20]
    return server if source in own and server in servers else None


def _mode(message: bytes) -> str:
    """The mode of the tunnel that an unreachable message quotes."""
    return next(mode for mode, protocol in tunnels.PROTOCOLS.items() if protocol == message[17])


def _inner_target(message: bytes) -> bytes:
    """Where the packet in that tunnel goes; b"" where the message does not quote so much."""
    at = 8 + rewrite.overhead(_mode(message)) + 16
    return message[at : at + 4]


def send_measuring(mark: int, source: bytes, vip: bytes, size: int, identification: int) -> None:
    """Send a packet of `size` bytes with DF and an identification towards a VIP, with a probe's mark: a router reports
    it if it is too big. Raises OSError."""
    udp = struct.pack("!HHHH", _DISCARD, _DISCARD, size - IP_HLEN, 0)  # without a checksum, RFC 768
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, identification, _DF, _TTL, socket.IPPROTO_UDP, 0, source, vip)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        icmp.forbid_fragments(probe)
        probe.sendto(header + udp + bytes(size - IP_HLEN - len(udp)), (socket.inet_ntoa(vip), 0))


class PathMtus:
    """Listens for reports on a raw socket and remembers them. changed: called when a path MTU has changed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._known: dict[bytes, tuple[int, float]] = {}
        self._tried: dict[bytes, tuple[int, float]] = {}
        self._refusals: dict[tuple[bytes, int], tuple[str, float]] = {}
        self._due: dict[Tunnel, float] = {}
        self._measured: dict[Tunnel, float] = {}
        self._sent: dict[int, _Sent] = {}
        self._claims: dict[Tunnel, tuple[int, int]] = {}
        self._own: Collection[bytes] = ()
        self._servers: Collection[bytes] = ()
        self._listener = RawListener(socket.IPPROTO_ICMP, self.heard, size=65536)

    def follow(self, own: Collection[bytes], servers: Collection[bytes]) -> None:
        """Believe reports about tunnels from the engine's own addresses to these servers. Raises OSError."""
        self._own, self._servers = frozenset(own), frozenset(servers)
        if self._servers:
            self._listener.opened()
        else:
            self.close()

    def get(self, server: bytes) -> int:
        """The path MTU towards a server, in bytes, reported or found by trying; 0 if none is known."""
        return min(filter(None, (self.reported(server), _now(self._tried, server))), default=0)

    def reported(self, server: bytes) -> int:
        """The path MTU that a router reports towards a server, in bytes; 0 if none does."""
        return _now(self._known, server)

    def unreported(self, tunnel: Tunnel, since: float) -> bool:
        """Whether the tunnel was measured after `since` (time.monotonic()) and no router will report that any more.

        If it was not, it is measured as soon as it may be.
        """
        now = time.monotonic()
        measured, due = self._measured.get(tunnel, since), self._due.get(tunnel, now)
        if measured <= since:
            if tunnel in self._due:
                self._due[tunnel] = min(due, measured + HINTED_EVERY)
            return False
        return now - measured >= _SILENT_AFTER and due > now + CONFIRM_AFTER

    def learn(self, server: bytes, mtu: int) -> None:
        """Remember a path MTU that was found by trying, because no router reports it; 0 forgets it."""
        before = self.get(server)
        if mtu:
            self._tried[server] = mtu, time.monotonic() + LIFE
        else:
            self._tried.pop(server, None)
        if self.get(server) != before:
            self._changed()

    def refusal(self, server: bytes, mode: str, since: float) -> str:
        """Why a server's tunnel does not work, as reported after `since` (time.monotonic()) or shortly before; else
        ""."""
        reason, when = self._refusals.get((server, tunnels.PROTOCOLS[mode]), ("", 0.0))
        return reason if when >= since - _LIMITED else ""

    def due(self, tunnels: Collection[Tunnel]) -> list[Tunnel]:
        """Those of the tunnels that are to be measured now. All other tunnels' times are forgotten."""
        now = time.monotonic()
        for known in (self._due, self._measured, self._claims):
            for gone in [tunnel for tunnel in known if tunnel not in tunnels]:
                del known[gone]
        return [tunnel for tunnel in tunnels if self._due.get(tunnel, now) <= now]

    def measuring(self, tunnel: Tunnel, full: int) -> dict[int, int]:
        """The packets that measure a tunnel now: identification and size, the tunnel's headers with it. full: bytes of
        the largest packet that leaves. What is known to fit is tried too: beyond a narrow link there may be another."""
        now = time.monotonic()
        self._due[tunnel], self._measured[tunnel] = now + MEASURE_EVERY, now
        self._sent = {number: sent for number, sent in self._sent.items() if now - sent.when < _ANSWERED_WITHIN}
        packets = {}
        for size in {full, min(full, self.get(tunnel[0]) or full)}:
            number = 1 + secrets.randbelow(0xFFFF)
            while number in self._sent:
                number = 1 + secrets.randbelow(0xFFFF)
            self._sent[number], packets[number] = _Sent(tunnel, size, now), size
        return packets

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def heard(self, packet: bytes) -> None:
        """Take an ICMP packet, from whomever."""
        message = icmp.message(packet)
        refusal = refused(message, packet[12:16], self._own, self._servers)
        if refusal is not None:
            self._refusals[refusal.server, refusal.protocol] = refusal.reason, time.monotonic()
        report = reported(message, self._own, self._servers)
        if report is not None:
            self._reported(report)

    def _reported(self, report: Report) -> None:
        now, tunnel = time.monotonic(), report.tunnel
        sent = self._sent.pop(report.identification, None)
        if sent is None or sent.tunnel != tunnel or now - sent.when >= _ANSWERED_WITHIN or report.mtu >= sent.size:
            if report.mtu < (self.get(tunnel[0]) or report.mtu + 1) and tunnel in self._due:
                self._due[tunnel] = min(self._due[tunnel], self._measured[tunnel] + HINTED_EVERY)
            return
        before, claim = self.reported(tunnel[0]), (sent.size, report.mtu)
        if before and before <= report.mtu:
            self._known[tunnel[0]] = before, now + LIFE
        elif self._claims.get(tunnel) != claim:
            self._claims[tunnel], self._due[tunnel] = claim, now + CONFIRM_AFTER
        else:
            del self._claims[tunnel]
            self._known[tunnel[0]], self._due[tunnel] = (report.mtu, now + LIFE), now + CONFIRM_AFTER
            self._changed()


def _now(mtus: Mapping[bytes, tuple[int, float]], server: bytes) -> int:
    mtu, until = mtus.get(server, (0, 0.0))
    return mtu if time.monotonic() < until else 0
