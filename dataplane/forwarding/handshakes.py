"""Whether clients get the servers' answers, as far as the clients' own packets show it.

Under direct server return the answers never come by here. What does is what clients make of them. One that gets the
SYN-ACK goes on, with an ACK, or with an RST where it has given up meanwhile. One that gets nothing sends its SYN again,
of the same sequence number, after a second or so (RFC 6298), and nothing else: a client that gives up in SYN-SENT sends
no segment (RFC 9293 section 3.10). So any segment without SYN says that the client was answered. One whom the server
refuses by an RST falls silent, and counts as neither.

One TCP flow in 64 is looked at, chosen by its client and ports: whole packets that are forwarded as they are. A SYN
begins a flow; one of another sequence number, or to another server, begins it anew. A SYN counts as a repetition only
half a second after the one before: copies of a frame do not count. A flow that is answered is forgotten. Of the others,
the one that was silent longest makes room for a new one. What the counts say of a server is judged in
`dataplane.engine.wayback`.

`program/handshakes.h` is the same in C.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from dataplane.forwarding.bounded import Bounded
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.values import TCP, HandshakeTally

OPENINGS = 1 << 14
"""Flows that are remembered."""
SAMPLED_BELOW = 1 << 26
"""The hashes of sampled flows are below this one: of 32 bits, one in 64."""
UNANSWERED_SYNS = 3
"""SYNs of one flow that say that its client gets no answer: two may be bad luck."""
REPEATED_AFTER = 500_000_000
"""Nanoseconds after a SYN from which on another one is a repetition of it."""
BEGUN, ANSWERED, ANSWERED_LATE, UNANSWERED = "begun", "answered", "answered_late", "unanswered"
"""What a segment tells of its flow ("": nothing). BEGUN: it is a first SYN. ANSWERED: the client goes on.
ANSWERED_LATE: it goes on after it was counted as unanswered. UNANSWERED: it repeated its SYN so often that it gets no
answer."""
SYN, ACK = 0x02, 0x10
_FACTOR = 0x9E3779B1
_SEGMENT = struct.Struct("!4x4s5xB")  # of a TCP header: sequence number, flags


class TcpFlow(NamedTuple):
    """A flow of TCP as its packets to the VIP show it."""

    client: bytes  # 4 bytes
    vip: bytes  # 4 bytes
    ports: bytes  # 4 bytes: the client's, the service's


class Opening(NamedTuple):
    """A sampled flow whose client was not seen to go on after its SYN."""

    server: bytes  # 4 bytes
    sequence: bytes  # of the SYN, 4 bytes
    syns: int  # SYNs that count, UNANSWERED_SYNS at most
    seen: int  # nanoseconds: when the last of them came


class Handshakes:
    """The sampled flows that were not answered yet. sampled_below: as SAMPLED_BELOW."""

    def __init__(self, size: int = OPENINGS, sampled_below: int = SAMPLED_BELOW) -> None:
        self.openings: Bounded[TcpFlow, Opening] = Bounded(size)
        self._sampled_below = sampled_below

    def samples(self, flow: TcpFlow) -> bool:
        """Whether a flow is one of those that are looked at."""
        word = int.from_bytes(flow.client, "little") ^ int.from_bytes(flow.ports, "little")
        return word * _FACTOR & 0xFFFFFFFF < self._sampled_below

    def note(self, flow: TcpFlow, server: bytes, tcp: bytes, now: int) -> str:
        """Note a segment of a sampled flow that goes to a server. Returns what it tells of the flow. tcp: its header,
        and what follows; now: nanoseconds of a steady clock."""
        sequence, flags = _SEGMENT.unpack_from(tcp)
        known = self.openings.get(flow)
        if not flags & SYN:
            if known is None:
                return ""
            del self.openings[flow]
            if known.server != server:  # the flow was moved
                return ""
            return ANSWERED if known.syns < UNANSWERED_SYNS else ANSWERED_LATE
        if flags & ACK:
            return ""
        if known is None or (known.server, known.sequence) != (server, sequence):
            self.openings.put(flow, Opening(server, sequence, 1, now))
            return BEGUN
        if known.syns >= UNANSWERED_SYNS or now - known.seen < REPEATED_AFTER:
            return ""
        self.openings.put(flow, known._replace(syns=known.syns + 1, seen=now))
        return UNANSWERED if known.syns + 1 == UNANSWERED_SYNS else ""


def add(event: str, tally: HandshakeTally) -> None:
    """Count what a segment told."""
    if event == BEGUN:
        tally.begun += 1
    elif event == UNANSWERED:
        tally.unanswered += 1
    else:
        tally.answered += 1
        if event == ANSWERED_LATE:
            tally.late += 1


def unanswered_clients(
    openings: Iterable[tuple[TcpFlow, Opening]], values: LookupTables
) -> dict[tuple[str, bytes], set[bytes]]:
    """The clients of flows that were not answered, by pool and server."""
    found: dict[tuple[str, bytes], set[bytes]] = {}
    for flow, opening in openings:
        if opening.syns >= UNANSWERED_SYNS:
            service = values.service(flow.vip, TCP, int.from_bytes(flow.ports[2:], "big"))
            if service is not None:
                found.setdefault((service.pool, opening.server), set()).add(flow.client)
    return found
