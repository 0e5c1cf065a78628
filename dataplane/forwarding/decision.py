"""The forwarding decision for one frame: the definition that both drivers follow.

`decide` is a pure function over bytes. The pcap driver is this function on packet sockets; the program under `program/`
is the same decision in C, and tests compare the two frame by frame: whoever changes one changes the other.

The steps are numbered, here and in the program: 1 whose frame, 2 well-formed, 3 our own traffic come back, 4 VIP down,
5 fragments, 6 ICMP, 7 service, 8 server, 9 rewriting, 10 size, 11 counting. `tracking` holds what a later frame must
know of an earlier one; `rewrite` makes the frames that leave. From step 8 on a drop is counted for the service, too.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from dataplane.forwarding import handshakes, rewrite
from dataplane.forwarding.dropreasons import DROP_REASONS
from dataplane.forwarding.handshakes import ACK, SYN, TcpFlow
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.rewrite import MF, OFFSET
from dataplane.forwarding.tracking import Flow, Flows, FragmentKey, MemberId, Remembered, find_member
from dataplane.forwarding.values import (
    TCP,
    UDP,
    Counters,
    HandshakeTally,
    Interface,
    Pool,
    Service,
    ServiceKey,
    Tally,
    Target,
    Vip,
)
from dataplane.plan import L2

ETH_P_IP, ETH_P_ARP, ETH_P_8021Q = b"\x08\x00", b"\x08\x06", b"\x81\x00"
ICMP = 1
ETH_HLEN, VLAN_HLEN, ARP_LEN, IP_HLEN = 14, 4, 28, 20
TCP_HLEN, UDP_HLEN, ICMP_HLEN = 20, 8, 8
PORTS_LEN = 4
VLAN_ID = 0x0FFF  # of a tag's 16 bits (IEEE 802.1Q); 0: the tag has a priority alone
LARGEST_PACKET = 0xFFFF
ECHO_REQUEST = 8
ICMP_ERRORS = (3, 11, 12)  # unreachable, time exceeded, parameter problem (RFC 792)
NOWHERE = bytes(4)
EVERYWHERE = b"\xff" * 4
BROADCAST_MAC = b"\xff" * 6
_ARP_REQUEST = b"\x00\x01\x08\x00\x06\x04\x00\x01"  # Ethernet, IPv4, address lengths, request (RFC 826)
_ARP_REPLY = b"\x00\x01\x08\x00\x06\x04\x00\x02"
_HEAD = struct.Struct("!BxHxxHxB")  # of IPv4: version and header length, total length, flags and offset, protocol
_PORTS = struct.Struct("!HH")

K = TypeVar("K")

HOST, ANSWERED, FORWARDED, DROPPED = "host", "answered", "forwarded", "dropped"


class Verdict(NamedTuple):
    """What becomes of a frame."""

    action: str  # HOST (left alone), ANSWERED, FORWARDED or DROPPED
    reason: str = ""  # of a drop, one of dropreasons.DROP_REASONS
    frames: tuple[bytes, ...] = ()  # what leaves: more than one where a packet had to be fragmented
    interface: int = 0  # index of the one it leaves by
    service: ServiceKey | None = None  # of what is forwarded, and of what is dropped once the service is known
    pool: str = ""  # of what is forwarded, as what follows
    server: bytes = b""
    size: int = 0  # the bytes counted: the client's IP packet
    handshake: str = ""  # of what is forwarded: what it tells of a sampled TCP flow (`handshakes`)


_TO_HOST = Verdict(HOST)
_DROP = {reason: Verdict(DROPPED, reason) for reason in DROP_REASONS}


def decide(
    frame: bytes, interface: Interface, values: LookupTables, flows: Flows, now: int = 0, segment: int = 0
) -> Verdict:
    """What becomes of a frame received on an interface of the plan.

    frame: from its Ethernet header on, without checksum; now: nanoseconds of a steady clock; segment: bytes of each
    piece's IP packet, where the sender's stack left a TCP or UDP packet to be cut later (GSO). A piece, not the whole
    packet, must fit the egress MTU.
    """
    kind, start = frame[12:14], ETH_HLEN
    if kind == ETH_P_8021Q:
        if int.from_bytes(frame[14:16], "big") & VLAN_ID:
            return _TO_HOST  # another interface's: the driver of a VLAN's interface sees its frames without the tag
        kind, start = frame[16:18], ETH_HLEN + VLAN_HLEN
    if kind == ETH_P_IP:
        if frame[:6] != interface.mac:
            return _TO_HOST
        vip = values.vips.get(frame[start + 16 : start + 20])
        return _TO_HOST if vip is None else _packet(frame, start, vip, interface, values, flows, now, segment)
    if kind == ETH_P_ARP:
        return _arp(frame, start, interface, values, now)
    return _TO_HOST


def trial(frame: bytes, interface: Interface, values: LookupTables, flow: Flow, known: Remembered, now: int) -> Verdict:
    """What would become of a frame. Nothing is remembered. known: what is remembered of its flow."""
    flows = Flows(4, 4)
    flows.remember(flow, known)
    return decide(frame, interface, values, flows, now)


def _arp(frame: bytes, start: int, interface: Interface, values: LookupTables, now: int) -> Verdict:
    """Step 1: answers requests for an owned VIP, and probes of others' duplicate-address detection. An announcement
    (sender = target, RFC 5227) asks for nothing. Once the time is over until which this engine answers, another engine
    has its VIPs and answers."""
    if frame[:6] not in (BROADCAST_MAC, interface.mac) or len(frame) < start + ARP_LEN:
        return _TO_HOST
    if frame[start : start + 8] != _ARP_REQUEST:
        return _TO_HOST
    asker, sender = frame[start + 8 : start + 14], frame[start + 14 : start + 18]
    target = frame[start + 24 : start + 28]
    vip = values.vips.get(target)
    if vip is None or not vip.owned or sender == target or 0 < values.answers_until <= now:
        return _TO_HOST
    tag = frame[12:start]
    answer = _ARP_REPLY + interface.mac + target + asker + sender
    reply = asker + interface.mac + tag + answer + frame[start + ARP_LEN :]
    return Verdict(ANSWERED, frames=(reply,), interface=interface.index)


class _Subject(NamedTuple):
    """What a packet to a VIP is about."""

    kind: int  # one of those below
    service: Service | None = None  # None where it is about none
    pool: Pool | None = None
    flow: Flow | None = None  # of a packet with ports, or the one that an ICMP error quotes
    syn: bool = False
    member_id: MemberId | None = None  # of a later fragment: where the first went


_WHOLE, _FIRST, _LATER, _ECHO, _ERROR, _UNKNOWN, _SHORT, _OTHER_ICMP = range(8)
"""A whole packet, a first and a later fragment, a ping, an ICMP error; and what goes nowhere: a later fragment whose
first is not known, a fragment without ports, other ICMP."""
_NOWHERE = {_UNKNOWN: "fragment_unknown", _SHORT: "fragment_short", _OTHER_ICMP: "icmp_unsupported"}
_OTHER = _Subject(_WHOLE)


def _packet(
    frame: bytes,
    start: int,
    vip: Vip,
    interface: Interface,
    values: LookupTables,
    flows: Flows,
    now: int,
    segment: int,
) -> Verdict:
    """Steps 2 to 11 for a packet to a VIP. The order of the drops is part of the definition."""
    size = well_formed(frame, start)
    if not size:
        return _DROP["malformed"]
    packet = frame[start : start + size]
    source = packet[12:16]
    if _bad_source(source, values):
        return _DROP["bad_source"]
    subject = _subject(packet, values, flows, now)
    kind, service, pool = subject.kind, subject.service, subject.pool
    if _looped(frame, source, pool, values):
        return _DROP["looped"]
    if not vip.up:
        return _DROP["vip_down"]
    if kind in _NOWHERE:
        return _DROP[_NOWHERE[kind]]
    if kind == _ECHO:
        answer = frame[6:12] + interface.mac + frame[12:start] + rewrite.echo_reply(packet)
        return Verdict(ANSWERED, frames=(answer,), interface=interface.index)
    if service is None:
        return _DROP["icmp_unmatched" if kind == _ERROR else "no_service"]
    target = _server(subject, service, pool, flows, now)
    if target is None or pool is None:
        return dropped("no_server", service.key)
    if kind == _FIRST:
        flows.remember_fragments(_fragment_key(packet), service, pool, target, now)
    egress = values.interfaces.get(target.interface) if target.interface is not None else None
    if egress is None or target.mac is None:
        return dropped("no_next_hop", service.key)
    if pool.mode == L2:
        if (segment or size) > egress.mtu:
            return dropped("too_big_l2", service.key)
        frames: tuple[bytes, ...] = (target.mac + egress.mac + ETH_P_IP + packet,)
    else:
        room = min(egress.mtu, target.path_mtu or egress.mtu, LARGEST_PACKET) - rewrite.overhead(pool.mode)
        pieces = [packet]
        if (segment or size) > room:
            if packet[6] & 0x40:
                return _too_big(frame, start, packet, room, subject, service, interface, flows, now)
            if room < 68:
                return dropped("encap_failed", service.key)
            pieces = rewrite.fragmented(packet, room)
        ethernet = target.mac + egress.mac + ETH_P_IP
        frames = tuple([ethernet + packet for packet in _tunnelled(pieces, pool, target, flows)])
    told = _handshake(packet, target, flows, now) if kind == _WHOLE and len(frames) == 1 else ""
    return Verdict(FORWARDED, "", frames, egress.index, service.key, pool.uuid, target.address, size, told)


def _handshake(packet: bytes, target: Target, flows: Flows, now: int) -> str:
    """Step 11 of a whole packet that goes to a server as it is: what it tells of a sampled flow."""
    if packet[9] != TCP:
        return ""
    tcp = packet[(packet[0] & 0x0F) * 4 :]
    flow = TcpFlow(packet[12:16], packet[16:20], tcp[:4])
    return flows.handshakes.note(flow, target.address, tcp, now) if flows.handshakes.samples(flow) else ""


def _tunnelled(pieces: Sequence[bytes], pool: Pool, target: Target, flows: Flows) -> list[bytes]:
    """Step 9, layer 3: outer headers that cannot be fragmented need no identification (RFC 6864)."""
    if len(pieces) > 1:
        first = flows.identifications(target.address, len(pieces))
    else:
        first = 0 if pieces[0][6] & 0x40 else flows.identification(target.address)
    ends = target.source, target.address
    return [rewrite.tunnelled(piece, pool.mode, *ends, first + n & 0xFFFF) for n, piece in enumerate(pieces)]


def well_formed(frame: bytes, start: int) -> int:
    """Step 2: version, header length, total length against the frame, header checksum (RFC 791, RFC 1071), layer 4
    whole (RFC 9293 data offset, RFC 768 length). Fragments' layer 4 is step 5's matter; none ends beyond what a packet
    can hold. Returns the total length, 0 where it is not well-formed."""
    total: int
    first, total, fragment, protocol = _HEAD.unpack_from(frame, start)
    header = (first & 0x0F) * 4
    if first >> 4 != 4 or header < IP_HLEN or total < header or start + total > len(frame):
        return 0
    if rewrite.total(frame[start : start + header]):
        return 0
    if fragment & (MF | OFFSET):
        return total if (fragment & OFFSET) * 8 + total <= LARGEST_PACKET else 0
    at, left = start + header, total - header
    if protocol == TCP:
        whole = left >= TCP_HLEN and TCP_HLEN <= (frame[at + 12] >> 4) * 4 <= left
    elif protocol == UDP:
        whole = left >= UDP_HLEN and UDP_HLEN <= (frame[at + 4] << 8 | frame[at + 5]) <= left
    else:
        whole = protocol != ICMP or left >= ICMP_HLEN
    return total if whole else 0


def _bad_source(source: bytes, values: LookupTables) -> bool:
    """Step 2: zero, loopback, multicast, limited broadcast, or a VIP (RFC 1122 section 3.2.1.3)."""
    first = source[0]
    return first == 127 or first & 0xF0 == 0xE0 or source in (NOWHERE, EVERYWHERE) or source in values.vips


def _looped(frame: bytes, source: bytes, pool: Pool | None, values: LookupTables) -> bool:
    """Step 3: whether a packet is our own traffic come back. It comes from an engine's own address (a probe that a
    server without the VIP sent on). Or, in layer 2, a member of the pool forwarded it: it has the member's MAC address
    and another's IP address."""
    if source in values.addresses:
        return True
    if pool is None or pool.mode != L2:
        return False
    owned = values.owners(pool.uuid).get(frame[6:12])
    return owned is not None and source not in owned


def _subject(packet: bytes, values: LookupTables, flows: Flows, now: int) -> _Subject:
    """Steps 5, 6 and 7, as far as they only look."""
    first, _, fragment, protocol = _HEAD.unpack_from(packet)
    header = (first & 0x0F) * 4
    if fragment & OFFSET:
        return _later(packet, values, flows, now)
    if protocol == ICMP:
        return _Subject(_OTHER_ICMP) if fragment & MF else _icmp(packet, header, values)
    if protocol not in (TCP, UDP):
        return _OTHER
    if len(packet) < header + PORTS_LEN:
        return _Subject(_SHORT)
    client_port, port = _PORTS.unpack_from(packet, header)
    vip = packet[16:20]
    service = values.service(vip, protocol, port)
    pool = values.pools.get(service.pool) if service else None
    flow = Flow(packet[12:16], vip, protocol, client_port, port)
    flags = packet[header + 13] if protocol == TCP and len(packet) > header + 13 else 0
    syn = flags & (SYN | ACK) == SYN
    return _Subject(_FIRST if fragment & MF else _WHOLE, service, pool, flow, syn)


def _later(packet: bytes, values: LookupTables, flows: Flows, now: int) -> _Subject:
    """Step 5 for a later fragment: where its first went."""
    known = flows.fragment(_fragment_key(packet), now)
    service = values.services.get(known.service) if known else None
    pool = values.pools.get(service.pool) if service else None
    if known is None or pool is None or find_member(pool, known.member_id) is None:
        return _Subject(_UNKNOWN)
    return _Subject(_LATER, service, pool, member_id=known.member_id)


def _icmp(packet: bytes, header: int, values: LookupTables) -> _Subject:
    """Step 6: a ping, or an error that quotes a packet from the VIP; eight bytes of its layer 4 are enough."""
    kind, code = packet[header], packet[header + 1]
    if kind == ECHO_REQUEST and code == 0:
        answerable = header == IP_HLEN or rewrite.echo_options(packet[IP_HLEN:header], packet[16:20]) is not None
        return _Subject(_ECHO if answerable else _OTHER_ICMP)
    if kind not in ICMP_ERRORS:
        return _Subject(_OTHER_ICMP)
    quoted = packet[header + ICMP_HLEN :]
    length = (quoted[0] & 0x0F) * 4 if quoted else 0
    if len(quoted) < length + rewrite.QUOTED or length < IP_HLEN or quoted[0] >> 4 != 4:
        return _Subject(_ERROR)
    later = (quoted[6] & 0x1F) << 8 | quoted[7]
    if later or quoted[9] not in (TCP, UDP) or quoted[12:16] != packet[16:20]:
        return _Subject(_ERROR)
    port, client_port = struct.unpack_from("!HH", quoted, length)
    service = values.service(quoted[12:16], quoted[9], port)
    pool = values.pools.get(service.pool) if service else None
    return _Subject(_ERROR, service, pool, Flow(quoted[16:20], quoted[12:16], quoted[9], client_port, port))


def _server(subject: _Subject, service: Service, pool: Pool | None, flows: Flows, now: int) -> Target | None:
    """Step 8."""
    if pool is None:
        return None
    if subject.member_id is not None:
        return find_member(pool, subject.member_id)
    if subject.flow is None:
        return None
    if subject.kind == _ERROR:
        return flows.owner(subject.flow, service, pool, now)
    return flows.server(subject.flow, service, pool, now, syn=subject.syn)


def dropped(reason: str, service: ServiceKey | None) -> Verdict:
    """A drop that is counted for the service, too: every one from step 8 on."""
    return Verdict(DROPPED, reason, service=service)


def _too_big(
    frame: bytes,
    start: int,
    packet: bytes,
    room: int,
    subject: _Subject,
    service: Service,
    interface: Interface,
    flows: Flows,
    now: int,
) -> Verdict:
    """Step 10: the client is told what fits, but never about later fragments or errors (RFC 1122 section 3.2.2)."""
    if subject.kind in (_LATER, _ERROR):
        return dropped("too_big_unreported", service.key)
    if not flows.may_reply(now):
        return dropped("too_big_rate_limited", service.key)
    message = rewrite.too_big(packet, packet[16:20], packet[12:16], room)
    told = frame[6:12] + interface.mac + frame[12:start] + message
    return Verdict(ANSWERED, frames=(told,), interface=interface.index)


def _fragment_key(packet: bytes) -> FragmentKey:
    return FragmentKey(packet[12:16], packet[16:20], packet[9], packet[4] << 8 | packet[5])


def count(verdict: Verdict, counters: Counters) -> None:
    """Step 11: add a verdict to the counters."""
    if verdict.action == FORWARDED and verdict.service is not None:
        _add(counters.services, verdict.service, verdict.size)
        _add(counters.servers, (verdict.pool, verdict.server), verdict.size)
        if verdict.handshake:
            _add_handshake(verdict.handshake, counters.service_handshakes, verdict.service)
            _add_handshake(verdict.handshake, counters.server_handshakes, (verdict.pool, verdict.server))
    elif verdict.action == DROPPED:
        counters.dropped[verdict.reason] = counters.dropped.get(verdict.reason, 0) + 1
        if verdict.service is not None:
            drops = counters.service_drops.setdefault(verdict.service, {})
            drops[verdict.reason] = drops.get(verdict.reason, 0) + 1
    elif verdict.action == ANSWERED:
        counters.answered += 1


def _add(tallies: dict[K, Tally], key: K, size: int) -> None:
    tally = tallies.get(key)
    if tally is None:
        tally = tallies[key] = Tally()
    tally.packets += 1
    tally.bytes += size


def _add_handshake(event: str, tallies: dict[K, HandshakeTally], key: K) -> None:
    tally = tallies.get(key)
    if tally is None:
        tally = tallies[key] = HandshakeTally()
    handshakes.add(event, tally)
