"""The table of handshakes: frames of one client, one after the other, and what is counted of them at the end. Every row
runs on the reference, on the flow cache, and on the XDP program.

The clients here are of sampled flows, but for the one that is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.packet import Raw

from dataplane.forwarding.handshakes import Handshakes, TcpFlow
from dataplane.forwarding.values import HandshakeTally

from .cases import frame
from .world import FAR1, VIP, WEB1, WEB2, ip

CLIENT = "192.0.2.7"
UNANSWERED = HandshakeTally(begun=1, unanswered=1)


def sampled(client: str, port: int, start: int = 1024, *, wanted: bool = True) -> int:
    """The first port of a client from there on whose flow is sampled."""
    handshakes = Handshakes()
    return next(
        sport
        for sport in range(start, 65536)
        if handshakes.samples(TcpFlow(ip(client), ip(VIP), sport.to_bytes(2, "big") + port.to_bytes(2, "big")))
        == wanted
    )


def segment(
    kind: str, /, *, port: int = 80, seq: int = 7, sport: int = 0, client: str = CLIENT, data: int = 0, **more: Any
) -> bytes:
    """kind: the flags of TCP; more: fields of the IP header."""
    tcp = TCP(sport=sport or sampled(client, port), dport=port, flags=kind, seq=seq)
    return frame(IP(src=client, dst=VIP, ttl=63, **more) / tcp / Raw(bytes(data)))


@dataclass(frozen=True)
class Row:
    """What comes at which second, and what is counted for service and server."""

    what: str
    sent: tuple[tuple[float, bytes], ...]
    counted: HandshakeTally | None = None
    server: str = WEB1
    port: int = 80  # the service's first
    left: int = 0  # flows that are remembered at the end


def thrice(sent: bytes) -> tuple[tuple[float, bytes], ...]:
    return tuple((seconds, sent) for seconds in range(3))


SYN, ACK = segment("S"), segment("A", seq=8)
ONE, TWO, THREE = thrice(SYN)
NOT_SAMPLED = sampled(CLIENT, 80, wanted=False)
QUERY = frame(IP(src=CLIENT, dst=VIP) / UDP(sport=sampled(CLIENT, 53), dport=53) / b"\0\0\0\0\0\2")

ROWS = (
    Row("a SYN", (ONE,), HandshakeTally(1), left=1),
    Row("a SYN, and the ACK", (ONE, (0.1, ACK)), HandshakeTally(1, 1)),
    Row("many ACKs", (ONE, *thrice(ACK)), HandshakeTally(1, 1)),
    Row("data first", (ONE, (1, segment("PA", seq=8, data=100))), HandshakeTally(1, 1)),
    Row("an RST: the client had given up, and was answered", (ONE, (1, segment("R", seq=8))), HandshakeTally(1, 1)),
    Row("a FIN", (ONE, (1, segment("FA", seq=8))), HandshakeTally(1, 1)),
    Row("an ACK whose SYN was never seen", ((0, ACK),)),
    Row("an RST alone", ((0, segment("R")),)),
    Row("a SYN-ACK is none of a client's", (ONE, (1, segment("SA"))), HandshakeTally(1), left=1),
    Row("a SYN repeated once: bad luck", (ONE, TWO), HandshakeTally(1), left=1),
    Row("a SYN repeated twice", (ONE, TWO, THREE), UNANSWERED, left=1),
    Row("a SYN repeated for ever", (ONE, TWO, THREE, *((n, SYN) for n in range(4, 60, 8))), UNANSWERED, left=1),
    Row("an answer after one repetition", (ONE, TWO, (1.1, ACK)), HandshakeTally(1, 1)),
    Row("an answer after all", (ONE, TWO, THREE, (4, ACK)), HandshakeTally(1, 1, 1, 1)),
    Row("a frame that comes three times", (ONE, ONE, (0.001, SYN)), HandshakeTally(1), left=1),
    Row("repetitions a little too soon", (ONE, (0.499, SYN), (0.4999, SYN)), HandshakeTally(1), left=1),
    Row("repetitions just late enough", (ONE, (0.5, SYN), (1.0, SYN)), UNANSWERED, left=1),
    Row("other sequence numbers", tuple((n, segment("S", seq=n)) for n in range(3)), HandshakeTally(3), left=1),
    Row("the same ports once more", (ONE, (0.5, ACK), TWO), HandshakeTally(2, 1), left=1),
    Row("a SYN with data", ((0, segment("S", data=100)), TWO, THREE), UNANSWERED, left=1),
    Row("a SYN with ECN's flags", ((0, segment("SEC")), TWO, THREE), UNANSWERED, left=1),
    Row("a flow that is not sampled", thrice(segment("S", sport=NOT_SAMPLED))),
    Row("IP options", thrice(segment("S", options=[IPOption_NOP()] * 4)), UNANSWERED, left=1),
    Row("a first fragment", thrice(segment("S", flags="MF", data=4))),
    Row("a priority tag", thrice(frame(SYN[14:], vlan=0xA000)), UNANSWERED, left=1),
    Row("a service of several ports", thrice(segment("S", port=8001)), UNANSWERED, WEB2, 8000, left=1),
    Row("through a tunnel", thrice(segment("S", port=90)), UNANSWERED, FAR1, 90, left=1),
    Row("too big for the server's link", thrice(segment("S", data=1480))),
    Row("too big for the tunnel", thrice(segment("S", port=90, data=1445, flags="DF")), port=90),
    Row("cut up in front of the tunnel", thrice(segment("S", port=90, data=1445)), server=FAR1, port=90),
    Row("no server", thrice(segment("S", port=443)), port=443),
    Row("a server that nobody found yet", thrice(segment("S", port=445)), port=445),
    Row("UDP", thrice(QUERY), port=53),
)
