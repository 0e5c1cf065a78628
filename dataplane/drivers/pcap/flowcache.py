"""A cache of flows for the forwarding decision: what stays the same from one packet of a flow to the next is kept.

`decision.decide` is the definition, and decides the first packet of every flow. While no value changes, and the flow's
slot is stable, another packet with the same Ethernet header, protocol, addresses and ports goes where that one went:
the VIP, the service, the server and the next hop depend on nothing else. What depends on the packet itself (that it is
well-formed, its size, its new headers) is done for each. A test compares the two frame by frame, verdict by verdict.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from dataplane.forwarding import decision, rewrite
from dataplane.forwarding.decision import DROPPED, ETH_HLEN, ETH_P_IP, FORWARDED, IP_HLEN, TCP_HLEN, UDP_HLEN, Verdict
from dataplane.forwarding.handshakes import TcpFlow
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.rewrite import DF, MF, OFFSET
from dataplane.forwarding.tracking import Flow, Flows, MemberId, is_stable
from dataplane.forwarding.values import TCP, UDP, Interface, ServiceKey
from dataplane.plan import L2

MOST = 1 << 14
"""Flows that are kept, some 5 MiB; when there are more, all are forgotten."""

_Key = tuple[bytes, bytes, int, bytes]
"""The interface's MAC address; Ethernet header and the IP header's first byte; protocol; addresses and ports."""
_FLOW = struct.Struct("!15sxH2xHxB2x12s")
_PORTS = struct.Struct("!HH")
_SHORTEST = _FLOW.size
_PLAIN = ETH_P_IP + b"\x45"  # no tag, no options: the ports stand where _FLOW has them
_LAYER4 = ETH_HLEN + IP_HLEN
_MALFORMED = Verdict(DROPPED, "malformed")


class _Entry(NamedTuple):
    """A cached flow: where its packets go."""

    room: int  # bytes of the largest packet that fits as it is
    ethernet: bytes  # Ethernet header of what leaves
    tunnel: rewrite.Tunnel | None  # None in layer 2
    egress: int  # index of the interface
    service: ServiceKey
    member: MemberId  # the server
    sampled: TcpFlow | None  # the flow itself, where its handshake is looked at


def _well_formed(frame: bytes, size: int, protocol: int) -> bool:
    """`decision.well_formed` of a packet of a kept flow, which has no options, and is no fragment."""
    if len(frame) < ETH_HLEN + size or int.from_bytes(frame[ETH_HLEN:_LAYER4], "big") % 0xFFFF:
        return False
    left = size - IP_HLEN
    if protocol == UDP:
        return left >= UDP_HLEN and UDP_HLEN <= (frame[_LAYER4 + 4] << 8 | frame[_LAYER4 + 5]) <= left
    return left >= TCP_HLEN and TCP_HLEN <= (frame[_LAYER4 + 12] >> 4) * 4 <= left


class FlowCache:
    """Decides on the frames of one thread."""

    def __init__(self, values: LookupTables, flows: Flows) -> None:
        self.values, self.flows = self._values, self._flows = values, flows
        self._entries: dict[_Key, _Entry] = {}
        self._version = -1

    def decide(self, frame: bytes, interface: Interface, now: int, segment: int = 0) -> Verdict:
        """As `decision.decide`, byte for byte and memory for memory."""
        values = self._values
        if values.version != self._version:
            self._entries, self._version = {}, values.version
        if len(frame) < _SHORTEST:
            return decision.decide(frame, interface, values, self._flows, now, segment)
        head, size, fragment, protocol, flow = _FLOW.unpack_from(frame)
        key = interface.mac, head, protocol, flow
        entry = self._entries.get(key)
        if entry is None or fragment & (MF | OFFSET):
            return self._first(frame, interface, now, segment, key)
        if not _well_formed(frame, size, protocol):
            return _MALFORMED
        if segment or size > entry.room:
            return decision.decide(frame, interface, values, self._flows, now, segment)
        packet = frame[ETH_HLEN : ETH_HLEN + size]
        if entry.tunnel is not None:
            number = 0 if fragment & DF else self._flows.identification(entry.member.address)
            packet = entry.tunnel.packet(packet, number)
        frames = (entry.ethernet + packet,)
        member, told = entry.member, ""
        if entry.sampled is not None:
            told = self._flows.handshakes.note(entry.sampled, member.address, frame[_LAYER4:], now)
        # what Verdict(…) would do, without its own __new__: that takes a tenth of all the time here
        return tuple.__new__(
            Verdict, (FORWARDED, "", frames, entry.egress, entry.service, member.pool, member.address, size, told)
        )

    def _first(self, frame: bytes, interface: Interface, now: int, segment: int, key: _Key) -> Verdict:
        """Decide, and keep an entry if the flow goes there for as long as no value changes."""
        version = self._version
        verdict = decision.decide(frame, interface, self._values, self._flows, now, segment)
        if verdict.action == FORWARDED and len(verdict.frames) == 1 and not segment and key[1].endswith(_PLAIN):
            entry = self._entry(verdict, key)
            if entry is not None and self._values.version == version:
                if len(self._entries) >= MOST:
                    self._entries.clear()
                self._entries[key] = entry
        return verdict

    def _entry(self, verdict: Verdict, key: _Key) -> _Entry | None:
        """What is to be kept of a verdict; None where the next packet of the flow may be decided otherwise."""
        values, (_, _, protocol, ends) = self._values, key
        service = values.services.get(verdict.service) if verdict.service is not None else None
        pool, egress = values.pools.get(verdict.pool), values.interfaces.get(verdict.interface)
        if service is None or pool is None or egress is None or protocol not in (TCP, UDP):
            return None
        flow = Flow(ends[:4], ends[4:8], protocol, *_PORTS.unpack_from(ends, 8))
        if not is_stable(flow, service, pool):
            return None
        target = next((t for t in pool.targets if t.address == verdict.server), None)
        if target is None:
            return None
        ethernet, member = verdict.frames[0][:ETH_HLEN], MemberId.of(pool, target)
        sampled = TcpFlow(ends[:4], ends[4:8], ends[8:]) if protocol == TCP else None
        if sampled is not None and not self._flows.handshakes.samples(sampled):
            sampled = None
        if pool.mode == L2:
            return _Entry(egress.mtu, ethernet, None, egress.index, service.key, member, sampled)
        room = min(egress.mtu, target.path_mtu or egress.mtu) - rewrite.overhead(pool.mode)
        room = min(room, 0xFFFF - rewrite.overhead(pool.mode))
        tunnel = rewrite.Tunnel(pool.mode, target.source, target.address)
        return _Entry(room, ethernet, tunnel, egress.index, service.key, member, sampled)
