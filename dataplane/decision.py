"""The forwarding decision for one frame: the definition that both drivers follow.

`decide` is a pure function over bytes. The pcap driver is this function on packet sockets; the XDP program under `xdp/`
is the same decision in C, and tests compare the two frame by frame: whoever changes one changes the other.

The steps are numbered as in ARCHITECTURE ("Forwarding"): 1 whose frame, 2 well-formed, 3 our own traffic come back,
4 VIP down, 5 fragments, 6 ICMP, 7 service, 8 server, 9 rewriting, 10 size, 11 counting. Not done yet, and dropped by
name: fragments (`fragment_unknown`), ICMP to a VIP (`icmp_unsupported`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from .forwarding import DROP_REASONS, TCP, UDP, Counters, Interface, Pool, Service, ServiceKey, Tally, Target, Vip
from .hashing import NO_SERVER, slot_of

ETH_P_IP, ETH_P_ARP, ETH_P_8021Q = b"\x08\x00", b"\x08\x06", b"\x81\x00"
ICMP = 1
ETH_HLEN, VLAN_HLEN, ARP_LEN, IP_HLEN = 14, 4, 28, 20
TCP_HLEN, UDP_HLEN, ICMP_HLEN = 20, 8, 8
NOWHERE = bytes(4)
EVERYWHERE = b"\xff" * 4
BROADCAST_MAC = b"\xff" * 6
_ARP_REQUEST = b"\x00\x01\x08\x00\x06\x04\x00\x01"  # Ethernet, IPv4, address lengths, request (RFC 826)
_ARP_REPLY = b"\x00\x01\x08\x00\x06\x04\x00\x02"

HOST, ANSWERED, FORWARDED, DROPPED = "host", "answered", "forwarded", "dropped"


class Verdict(NamedTuple):
    """What becomes of a frame.

    action: HOST (left alone), ANSWERED, FORWARDED or DROPPED; reason: of a drop, one of forwarding.DROP_REASONS;
    frame: what leaves; interface: index of the one it leaves by; service, pool, server: who is counted, and size: the
    bytes counted (the client's IP packet), for what is forwarded.
    """

    action: str
    reason: str = ""
    frame: bytes = b""
    interface: int = 0
    service: ServiceKey | None = None
    pool: str = ""
    server: bytes = b""
    size: int = 0


_TO_HOST = Verdict(HOST)
_DROP = {reason: Verdict(DROPPED, reason) for reason in DROP_REASONS}


class Values:
    """The forwarding values, ready for lookup (implements forwarding.Tables).

    One thread may put while another decides: every change is one assignment.
    """

    def __init__(self) -> None:
        self.interfaces: dict[int, Interface] = {}
        self.addresses: frozenset[bytes] = frozenset()
        self.vips: dict[bytes, Vip] = {}
        self.pools: dict[str, Pool] = {}
        self.services: dict[ServiceKey, Service] = {}
        self._by_port: dict[tuple[bytes, int, int], Service] = {}
        self._ranges: dict[tuple[bytes, int], tuple[Service, ...]] = {}
        self._macs: dict[str, dict[bytes, frozenset[bytes]]] = {}

    def put_interface(self, interface: Interface) -> None:
        """Add or replace an interface."""
        self.interfaces[interface.index] = interface

    def remove_interface(self, index: int) -> None:
        """Remove an interface."""
        self.interfaces.pop(index, None)

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """Replace the engines' own addresses."""
        self.addresses = addresses

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool."""
        macs: dict[bytes, frozenset[bytes]] = {}
        for target in pool.targets:
            if target.mac is not None:
                macs[target.mac] = macs.get(target.mac, frozenset()) | {target.address}
        self._macs[pool.uuid] = macs
        self.pools[pool.uuid] = pool

    def remove_pool(self, uuid: str) -> None:
        """Remove a pool."""
        self.pools.pop(uuid, None)
        self._macs.pop(uuid, None)

    def put_service(self, service: Service) -> None:
        """Add or replace a service."""
        self.services[service.key] = service
        vip, protocol, port, port_end = service.key
        if port == port_end:
            self._by_port[vip, protocol, port] = service
        else:
            self._index_ranges(vip, protocol)

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service."""
        if self.services.pop(key, None) is None:
            return
        if key.port == key.port_end:
            del self._by_port[key.vip, key.protocol, key.port]
        else:
            self._index_ranges(key.vip, key.protocol)

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""
        self.vips[vip.address] = vip

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP."""
        self.vips.pop(address, None)

    def service(self, vip: bytes, protocol: int, port: int) -> Service | None:
        """The service of a VIP, protocol and port."""
        found = self._by_port.get((vip, protocol, port))
        if found is None:
            for ranged in self._ranges.get((vip, protocol), ()):
                if ranged.key.port <= port <= ranged.key.port_end:
                    return ranged
        return found

    def owners(self, pool: str) -> Mapping[bytes, frozenset[bytes]]:
        """The addresses of a pool's members by their MAC address."""
        return self._macs.get(pool, {})

    def _index_ranges(self, vip: bytes, protocol: int) -> None:
        self._ranges[vip, protocol] = tuple(
            s for s in self.services.values() if s.key[:2] == (vip, protocol) and s.key.port != s.key.port_end
        )


def decide(frame: bytes, interface: Interface, values: Values, segment: int = 0) -> Verdict:
    """What becomes of a frame received on an interface of the plan.

    frame: from its Ethernet header on, without checksum; segment: when the sender's stack left a TCP or UDP packet to
    be cut up later (GSO), the size of its pieces' IP packets: that, not the whole, must fit the egress MTU.
    """
    kind, start = frame[12:14], ETH_HLEN
    if kind == ETH_P_8021Q:
        kind, start = frame[16:18], ETH_HLEN + VLAN_HLEN
    if kind == ETH_P_IP:
        if frame[:6] != interface.mac:
            return _TO_HOST
        vip = values.vips.get(frame[start + 16 : start + 20])
        return _TO_HOST if vip is None else _packet(frame, start, vip, values, segment)
    if kind == ETH_P_ARP:
        return _arp(frame, start, interface, values)
    return _TO_HOST


def _arp(frame: bytes, start: int, interface: Interface, values: Values) -> Verdict:
    """Step 1: requests for an owned VIP are answered, probes of others' duplicate-address detection too; an
    announcement (sender = target, RFC 5227) is nobody's question."""
    if frame[:6] not in (BROADCAST_MAC, interface.mac) or len(frame) < start + ARP_LEN:
        return _TO_HOST
    if frame[start : start + 8] != _ARP_REQUEST:
        return _TO_HOST
    asker, sender, target = (
        frame[start + 8 : start + 14],
        frame[start + 14 : start + 18],
        frame[start + 24 : start + 28],
    )
    vip = values.vips.get(target)
    if vip is None or not vip.owned or sender == target:
        return _TO_HOST
    tag = frame[12:start]
    answer = _ARP_REPLY + interface.mac + target + asker + sender
    reply = asker + interface.mac + tag + answer + frame[start + ARP_LEN :]
    return Verdict(ANSWERED, frame=reply, interface=interface.index)


def _packet(frame: bytes, start: int, vip: Vip, values: Values, segment: int) -> Verdict:
    """Steps 2 to 11 for a packet to a VIP. The order of the drops is part of the definition."""
    if not _well_formed(frame, start):
        return _DROP["malformed"]
    total = frame[start + 2] << 8 | frame[start + 3]
    protocol, source = frame[start + 9], frame[start + 12 : start + 16]
    if _bad_source(source, values):
        return _DROP["bad_source"]
    fragment = (frame[start + 6] & 0x3F) << 8 | frame[start + 7]
    service, pool, port = None, None, 0
    if not fragment and protocol in (TCP, UDP):
        at = start + (frame[start] & 0x0F) * 4
        port = frame[at] << 8 | frame[at + 1]
        service = values.service(vip.address, protocol, frame[at + 2] << 8 | frame[at + 3])
        pool = values.pools.get(service.pool) if service else None
    if _looped(frame, source, pool, values):
        return _DROP["looped"]
    if not vip.up:
        return _DROP["vip_down"]
    if fragment:
        return _DROP["fragment_unknown"]
    if protocol == ICMP:
        return _DROP["icmp_unsupported"]
    if service is None:
        return _DROP["no_service"]
    target = _server(source, port, service, pool)
    if target is None:
        return _DROP["no_server"]
    egress = values.interfaces.get(target.interface) if target.interface is not None else None
    if egress is None or target.mac is None:
        return _DROP["no_next_hop"]
    if (segment or total) > egress.mtu:
        return _DROP["too_big_l2"]
    rewritten = target.mac + egress.mac + ETH_P_IP + frame[start : start + total]
    return Verdict(FORWARDED, "", rewritten, egress.index, service.key, service.pool, target.address, total)


def _well_formed(frame: bytes, start: int) -> bool:
    """Step 2: version, header length, total length against the frame, header checksum (RFC 791, RFC 1071), layer 4
    whole (RFC 9293 data offset, RFC 768 length). Fragments' layer 4 is step 5's matter."""
    header = (frame[start] & 0x0F) * 4
    total = frame[start + 2] << 8 | frame[start + 3]
    if frame[start] >> 4 != 4 or header < IP_HLEN or total < header or start + total > len(frame):
        return False
    words = sum(struct.unpack_from(f"!{header // 2}H", frame, start))
    if words % 0xFFFF:  # what is a multiple of 0xFFFF folds to 0xFFFF
        return False
    if (frame[start + 6] & 0x3F) or frame[start + 7]:
        return True
    protocol, at, left = frame[start + 9], start + header, total - header
    if protocol == TCP:
        return left >= TCP_HLEN and TCP_HLEN <= (frame[at + 12] >> 4) * 4 <= left
    if protocol == UDP:
        return left >= UDP_HLEN and UDP_HLEN <= (frame[at + 4] << 8 | frame[at + 5]) <= left
    return protocol != ICMP or left >= ICMP_HLEN


def _bad_source(source: bytes, values: Values) -> bool:
    """Step 2: zero, loopback, multicast, limited broadcast, or a VIP (RFC 1122 section 3.2.1.3)."""
    first = source[0]
    return first == 127 or first & 0xF0 == 0xE0 or source in (NOWHERE, EVERYWHERE) or source in values.vips


def _looped(frame: bytes, source: bytes, pool: Pool | None, values: Values) -> bool:
    """Step 3: from one of the engines' own addresses (a probe that a server without the VIP sent on), or forwarded by
    a member of the pool: its MAC address, another's IP address."""
    if source in values.addresses:
        return True
    if pool is None:
        return False
    owned = values.owners(pool.uuid).get(frame[6:12])
    return owned is not None and source not in owned


def _server(source: bytes, port: int, service: Service, pool: Pool | None) -> Target | None:
    """Step 8: the owner of the flow's slot."""
    if pool is None:
        return None
    address = int.from_bytes(source, "big")
    owner = pool.table[slot_of(address, port if service.by_port else 0, pool.seed, pool.slots)]
    return None if owner == NO_SERVER else pool.targets[owner]


def count(verdict: Verdict, counters: Counters) -> None:
    """Step 11: add a verdict to the counters."""
    if verdict.action == FORWARDED and verdict.service is not None:
        tally = Tally(1, verdict.size)
        counters.services[verdict.service] = counters.services.get(verdict.service, Tally()).plus(tally)
        server = verdict.pool, verdict.server
        counters.servers[server] = counters.servers.get(server, Tally()).plus(tally)
    elif verdict.action == DROPPED:
        counters.dropped[verdict.reason] = counters.dropped.get(verdict.reason, 0) + 1
    elif verdict.action == ANSWERED:
        counters.answered += 1
