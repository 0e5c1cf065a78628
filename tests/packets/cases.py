"""The packet table: what becomes of each frame, in words. Every case runs on the reference and on the XDP program.

A case says what is sent and what is expected: `to(server)` the same IP packet to that server's MAC address, `host` the
frame is left alone, `drop(reason)`, or `reply(frame)`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from dataplane.forwarding import decision
from dataplane.forwarding.driver import ALWAYS
from dataplane.forwarding.tracking import SECOND
from dataplane.forwarding.values import Interface

from .world import (
    DNS,
    DOWN_ANNOUNCED_VIP,
    DOWN_VIP,
    ETH0,
    ETH1,
    ETH2,
    FAR1,
    FAR2,
    FAR3,
    JUMBO,
    MACS,
    ON_ETH1,
    ROUTER_MAC,
    SECOND_VIP,
    VIP,
    WEB1,
    WEB2,
    mac,
)

CLIENT = "192.0.2.7"
CLIENT_MAC = mac(0x77)
BROADCAST = b"\xff" * 6
LONG = 10**6
"""Seconds."""


@dataclass(frozen=True)
class Expected:
    """What becomes of a frame."""

    action: str
    reason: str = ""  # of a drop
    frames: tuple[bytes, ...] = ()  # what leaves
    interface: int = 0  # that it leaves by
    server: str = ""  # of what is forwarded
    size: int = 0  # of what is forwarded, the bytes counted
    port: int = 0  # of a drop that is counted for a service, the service's


@dataclass(frozen=True)
class Case:
    """One row: what the frame is, the frame, where it is received, what becomes of it; before: frames that come just
    before it; until: when ARP is answered no more, in seconds from when the frame comes, None: it always is."""

    what: str
    frame: bytes
    expected: Expected
    interface: Interface = ETH0
    before: tuple[bytes, ...] = ()
    until: int | None = None

    def answers_until(self, now: int) -> int:
        """As it is put into tables. now: nanoseconds of the clock."""
        return ALWAYS if self.until is None else max(1, now + self.until * SECOND)


HOST = Expected(decision.HOST)


def drop(reason: str, port: int = 0) -> Expected:
    """port: of the service that the drop is counted for, 0: of none."""
    return Expected(decision.DROPPED, reason, port=port)


def packet(layers: Packet) -> bytes:
    return bytes(layers)


def frame(
    ip_packet: Packet | bytes, *, dst: bytes = ETH0.mac, src: bytes = CLIENT_MAC, vlan: int | None = None
) -> bytes:
    """An Ethernet frame around an IP packet; vlan: the tag's 16 bits (priority and VID)."""
    tag = b"" if vlan is None else b"\x81\x00" + vlan.to_bytes(2, "big")
    return dst + src + tag + b"\x08\x00" + bytes(ip_packet)


def to(server: str, ip_packet: Packet | bytes, egress: Interface = ETH0) -> Expected:
    """The IP packet, every byte of it, from the egress interface's MAC address to the server's."""
    data = bytes(ip_packet)
    out = MACS[server] + egress.mac + b"\x08\x00" + data
    return Expected(decision.FORWARDED, "", (out,), egress.index, server, len(data))


def tcp(
    port: int = 80, *, src: str = CLIENT, dst: str = VIP, sport: int = 40000, data: bytes = b"", **more: Any
) -> Any:
    return IP(src=src, dst=dst, ttl=63, **more) / TCP(sport=sport, dport=port, flags="S") / Raw(data)


def udp(
    port: int = 53, *, src: str = CLIENT, dst: str = VIP, sport: int = 40000, data: bytes = b"?", **more: Any
) -> Any:
    return IP(src=src, dst=dst, ttl=63, **more) / UDP(sport=sport, dport=port) / Raw(data)


def patched(ip_packet: Packet | bytes, *changes: tuple[int, int], fix: bool = False) -> bytes:
    """An IP packet with bytes overwritten (offset, value); fix: the header checksum made right again."""
    data = bytearray(bytes(ip_packet))
    for offset, value in changes:
        data[offset] = value
    if fix:
        header = (data[0] & 0x0F) * 4
        data[10:12] = b"\0\0"
        words = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, header, 2))
        words = (words & 0xFFFF) + (words >> 16)
        words = (words & 0xFFFF) + (words >> 16)
        data[10:12] = (~words & 0xFFFF).to_bytes(2, "big")
    return bytes(data)


def arp_request(
    target: str, sender: str = "10.0.0.50", *, dst: bytes = BROADCAST, asker: bytes = CLIENT_MAC, tag: bytes = b""
) -> bytes:
    body = ARP(op=1, hwsrc=asker.hex(":"), psrc=sender, hwdst="00:00:00:00:00:00", pdst=target)
    return dst + asker + tag + b"\x08\x06" + bytes(body)


def arp_reply(target: str, asked_by: str = "10.0.0.50", *, rest: bytes = b"", tag: bytes = b"") -> Expected:
    body = ARP(op=2, hwsrc=ETH0.mac.hex(":"), psrc=target, hwdst=CLIENT_MAC.hex(":"), pdst=asked_by)
    out = CLIENT_MAC + ETH0.mac + tag + b"\x08\x06" + bytes(body) + rest
    return Expected(decision.ANSWERED, frames=(out,), interface=ETH0.index)


def case(
    what: str, sent: bytes, expected: Expected, interface: Interface = ETH0, before: tuple[bytes, ...] = ()
) -> Case:
    return Case(what, sent, expected, interface, before)


def whose_frame() -> Iterator[Case]:
    """Step 1."""
    syn = tcp()
    yield case("a SYN to the VIP", frame(syn), to(WEB1, syn))
    yield case("a SYN to another MAC address, flooded here", frame(syn, dst=mac(0x99)), HOST)
    yield case("a VIP packet to the broadcast MAC", frame(syn, dst=BROADCAST), HOST)
    yield case("a VIP packet to a multicast MAC", frame(syn, dst=bytes.fromhex("01005e000001")), HOST)
    yield case("a VIP packet to the other interface's MAC", frame(syn, dst=ETH1.mac), HOST)
    yield case("received on the other interface, to its MAC", frame(syn, dst=ETH1.mac), to(WEB1, syn), ETH1)
    yield case("received on the other interface, to the first one's MAC", frame(syn), HOST, ETH1)
    other = tcp(dst="10.0.0.1")
    yield case("a packet to the engine's own address", frame(other), HOST)
    yield case("a packet through us to somebody else", frame(tcp(dst="203.0.113.9")), HOST)
    yield case("a frame that is all Ethernet header", frame(b""), HOST)
    yield case("an IP packet cut in the destination address", frame(bytes(syn)[:19]), HOST)
    yield case("a malformed packet to nobody of ours", frame(patched(tcp(dst="10.0.0.1"), (0, 0x55))), HOST)
    yield case("IPv6", ETH0.mac + CLIENT_MAC + b"\x86\xdd" + bytes(60), HOST)
    yield case("an unknown EtherType", ETH0.mac + CLIENT_MAC + b"\x88\xcc" + bytes(50), HOST)
    yield case("an 802.3 length instead of an EtherType", ETH0.mac + CLIENT_MAC + b"\x00\x20" + bytes(50), HOST)


def tagged() -> Iterator[Case]:
    """A tag of a VLAN makes a frame another interface's; one of priority alone (VID 0) is looked through, and does not
    leave with the packet."""
    syn = tcp()
    yield case("a frame of VLAN 7: not this interface's", frame(syn, vlan=7), HOST)
    yield case("a frame of VLAN 1", frame(syn, vlan=1), HOST)
    yield case("a frame of VLAN 256 with priority", frame(syn, vlan=0xE100), HOST)
    yield case("a tag with priority and VID 4095", frame(syn, vlan=0xFFFF), HOST)
    yield case("a priority tag (VID 0)", frame(syn, vlan=0xA000), to(WEB1, syn))
    yield case("a tag of zeros", frame(syn, vlan=0), to(WEB1, syn))
    yield case("a tag with the drop-eligible bit alone", frame(syn, vlan=0x1000), to(WEB1, syn))
    within = packet(Ether(dst=ETH0.mac, src=CLIENT_MAC) / Dot1Q(vlan=0) / Dot1Q(vlan=2) / syn)
    yield case("a tag of VLAN 2 within a priority tag", within, HOST)
    yield case("a bad source in a VLAN: not looked at", frame(tcp(src="127.0.0.1"), vlan=99), HOST)
    yield case(
        "two 802.1Q tags", packet(Ether(dst=ETH0.mac, src=CLIENT_MAC) / Dot1Q(vlan=1) / Dot1Q(vlan=2) / syn), HOST
    )
    qinq = ETH0.mac + CLIENT_MAC + b"\x88\xa8\x00\x05\x81\x00\x00\x06\x08\x00" + bytes(syn)
    yield case("QinQ (802.1ad outside)", qinq, HOST)
    yield case("a tag and nothing after it", ETH0.mac + CLIENT_MAC + b"\x81\x00\x00\x07", HOST)
    yield case("a priority tag, to another MAC address", frame(syn, vlan=0xA000, dst=mac(0x99)), HOST)
    yield case("a priority tag around IPv6", ETH0.mac + CLIENT_MAC + b"\x81\x00\xa0\x00\x86\xdd" + bytes(40), HOST)
    yield case("a tagged frame cut in the IP header", frame(bytes(syn)[:18], vlan=0), HOST)


def well_formed() -> Iterator[Case]:
    """Step 2: version, lengths, checksum, layer 4 whole."""
    syn, query = tcp(), udp()
    malformed = drop("malformed")
    yield case("version 5", frame(patched(syn, (0, 0x55), fix=True)), malformed)
    yield case("version 6 in an IPv4 frame", frame(patched(syn, (0, 0x65), fix=True)), malformed)
    yield case("a header length of 16", frame(patched(syn, (0, 0x44), fix=True)), malformed)
    yield case("a header length of 0", frame(patched(syn, (0, 0x40))), malformed)
    yield case("a header length beyond the frame", frame(patched(syn, (0, 0x4F))), malformed)
    yield case("a header longer than the total length", frame(patched(syn, (0, 0x4A), (3, 39), fix=True)), malformed)
    yield case("a total length one beyond the frame", frame(patched(syn, (3, 41), fix=True)), malformed)
    yield case("a total length of 0", frame(patched(syn, (3, 0), fix=True)), malformed)
    yield case("a total length of 19", frame(patched(syn, (3, 19), fix=True)), malformed)
    yield case("a header checksum off by one", frame(patched(syn, (11, bytes(syn)[11] ^ 1))), malformed)
    yield case("a header checksum of zero", frame(patched(syn, (10, 0), (11, 0))), malformed)
    yield case("a frame cut in the IP header's end", frame(bytes(syn)[:20]), malformed)
    yield case("a frame cut in the TCP header", frame(bytes(syn)[:39]), malformed)
    short = IP(src=CLIENT, dst=VIP, proto=6) / Raw(bytes(TCP(dport=80))[:19])
    yield case("19 bytes of TCP", frame(short), malformed)
    yield case("a TCP data offset of 4", frame(patched(syn, (32, 0x40))), malformed)
    yield case("a TCP data offset beyond the packet", frame(patched(syn, (32, 0x60))), malformed)
    options = IP(src=CLIENT, dst=VIP, ttl=63) / TCP(sport=40000, dport=80, options=[("MSS", 1460)])
    yield case("a TCP header with options that just fit", frame(options), to(WEB1, options))
    yield case("7 bytes of UDP", frame(IP(src=CLIENT, dst=VIP, proto=17) / Raw(bytes(7))), malformed)
    yield case("a UDP length of 7", frame(patched(query, (24, 0), (25, 7))), malformed)
    yield case("a UDP length beyond the packet", frame(patched(query, (25, bytes(query)[25] + 1))), malformed)
    shorter = patched(udp(data=b"abcd"), (25, 9))
    yield case("a UDP length shorter than the packet", frame(shorter), to(DNS, shorter))
    empty = udp(data=b"")
    yield case("a UDP datagram of no data", frame(empty), to(DNS, empty))
    no_checksum = patched(query, (26, 0), (27, 0))
    yield case("a UDP checksum of zero", frame(no_checksum), to(DNS, no_checksum))
    wrong_checksum = patched(query, (26, 0x12), (27, 0x34))
    yield case("a wrong UDP checksum: the server's matter", frame(wrong_checksum), to(DNS, wrong_checksum))
    wrong_tcp = patched(syn, (36, 0x12), (37, 0x34))
    yield case("a wrong TCP checksum: the server's matter", frame(wrong_tcp), to(WEB1, wrong_tcp))
    yield case("7 bytes of ICMP", frame(IP(src=CLIENT, dst=VIP, proto=1) / Raw(bytes(7))), malformed)
    yield case("a bad checksum on a down VIP", frame(patched(tcp(dst=DOWN_VIP), (11, 0), (10, 0))), malformed)
    long_header = IP(src=CLIENT, dst=VIP, ttl=63, options=[IPOption_RR(length=39, routers=["0.0.0.0"] * 9)])
    longest = long_header / TCP(sport=1, dport=80)
    yield case("an IP header of 60 bytes", frame(longest), to(WEB1, longest))
    yield case("an IP header of 60 bytes, one bit of its options wrong", frame(patched(longest, (58, 1))), malformed)
    optioned = IP(src=CLIENT, dst=VIP, ttl=63, options=[IPOption_RR(length=7, routers=["0.0.0.0"])]) / UDP(dport=53)
    yield case("UDP behind IP options", frame(optioned), to(DNS, optioned))


def padding() -> Iterator[Case]:
    """What stands behind the total length is cut."""
    syn = tcp()
    yield case("six bytes of padding", frame(syn) + bytes(6), to(WEB1, syn))
    yield case("padding that is not zero", frame(syn) + b"leftover", to(WEB1, syn))
    yield case("one byte of padding", frame(syn) + b"x", to(WEB1, syn))
    yield case("padding behind a tagged frame", frame(syn, vlan=0x6000) + bytes(2), to(WEB1, syn))
    yield case("1,000 bytes of padding", frame(syn) + bytes(1000), to(WEB1, syn))


def unchanged() -> Iterator[Case]:
    """Not one byte of the IP packet changes, whatever stands in it."""
    for what, sent in (
        ("TTL 1", patched(tcp(), (8, 1), fix=True)),
        ("TTL 0", patched(tcp(), (8, 0), fix=True)),
        ("TTL 255", patched(tcp(), (8, 255), fix=True)),
        ("DF set", bytes(tcp(flags="DF"))),
        ("the reserved flag set", patched(tcp(), (6, 0x80), fix=True)),
        ("DSCP EF and ECN CE", bytes(tcp(tos=0xBB))),
        ("a RST", patched(tcp(), (33, 0x04))),
        ("a FIN without ACK", patched(tcp(), (33, 0x01))),
        ("no TCP flags at all", patched(tcp(), (33, 0x00))),
        ("data on a SYN", bytes(tcp(data=b"early"))),
        ("an odd number of bytes", bytes(tcp(data=b"abc"))),
        ("source port 0", bytes(tcp(sport=0))),
        ("source port 65535", bytes(tcp(sport=65535))),
    ):
        yield case(what, frame(sent), to(WEB1, sent))


def sources() -> Iterator[Case]:
    """Step 2: sources that no client can have; step 3: our own traffic come back."""
    bad = drop("bad_source")
    for what, source in (
        ("zero", "0.0.0.0"),
        ("loopback", "127.0.0.1"),
        ("the last loopback address", "127.255.255.255"),
        ("the first multicast address", "224.0.0.0"),
        ("the last multicast address", "239.255.255.255"),
        ("limited broadcast", "255.255.255.255"),
        ("the VIP itself", VIP),
        ("another VIP", SECOND_VIP),
        ("a down VIP", DOWN_VIP),
    ):
        yield case(f"from {what}", frame(tcp(src=source)), bad)
    for source in ("126.255.255.255", "128.0.0.1", "223.255.255.255", "240.0.0.1", "0.0.0.1"):
        sent = tcp(src=source)
        yield case(f"from {source}, next to what is refused", frame(sent), to(WEB1, sent))
    yield case("a bad source on a down VIP", frame(tcp(src="127.0.0.1", dst=DOWN_VIP)), bad)
    yield case("a bad source, port without service", frame(tcp(9, src="127.0.0.1")), bad)

    looped = drop("looped")
    yield case("from the engine's own address", frame(tcp(src="10.0.0.1")), looped)
    yield case("from the engine's address on the other interface", frame(tcp(src="10.1.0.1")), looped)
    yield case("from the engine's own address, port without service", frame(tcp(9, src="10.0.0.1")), looped)
    yield case("from the engine's own address to a down VIP", frame(tcp(src="10.0.0.1", dst=DOWN_VIP)), looped)
    yield case("a client's packet that a pool member sent on", frame(tcp(), src=MACS[WEB1]), looped)
    own = tcp(src=WEB1)
    yield case("a pool member's own packet, from its own MAC", frame(own, src=MACS[WEB1]), to(WEB1, own))
    yield case("a member's address from a client's MAC (routed)", frame(own), to(WEB1, own))
    sent = tcp()
    yield case("from the MAC of a server of another pool", frame(sent, src=MACS[WEB2]), to(WEB1, sent))
    yield case("from a pool's server that is down", frame(tcp(84), src=MACS[WEB2]), looped)
    yield case("from a member's MAC to a port without service", frame(tcp(9), src=MACS[WEB1]), drop("no_service"))
    yield case("from a member's MAC to a down VIP", frame(tcp(dst=DOWN_VIP), src=MACS[WEB1]), looped)
    yield case("from a member's MAC to a pool with no server up", frame(tcp(443), src=MACS[WEB1]), looped)
    twin = tcp(85, src="10.0.0.19", sport=7)
    yield case("two members on one MAC: neither's address", frame(tcp(85), src=MACS[WEB1]), looped)
    yield case("two members on one MAC: the second's own", frame(twin, src=MACS[WEB1]), to(WEB1, twin))
    query = udp()
    yield case("a UDP query that its server sent on", frame(query, src=MACS[DNS]), looped)


def down() -> Iterator[Case]:
    """Step 4."""
    yield case("to a down VIP", frame(tcp(dst=DOWN_VIP)), drop("vip_down"))
    yield case("to a down VIP that is announced", frame(tcp(dst=DOWN_ANNOUNCED_VIP)), drop("vip_down"))
    yield case("to a down VIP, port without service", frame(tcp(9, dst=DOWN_VIP)), drop("vip_down"))
    echo = IP(src=CLIENT, dst=DOWN_VIP) / ICMP()
    yield case("a ping to a down VIP: not answered", frame(echo), drop("vip_down"))
    yield case("a fragment to a down VIP", frame(tcp(dst=DOWN_VIP, flags="MF")), drop("vip_down"))


IDS = iter(range(1, 1 << 16))
"""Identifications: each case's packet is another one."""


def pieces(ip_packet: Packet, size: int) -> list[bytes]:
    """A packet cut by scapy into fragments of `size` bytes of payload."""
    ip_packet[IP].id = next(IDS)
    return [bytes(piece) for piece in ip_packet.fragment(fragsize=size)]


def fragments() -> Iterator[Case]:
    """Step 5: the first fragment decides by its ports, later ones follow it."""
    unknown = drop("fragment_unknown")
    first, middle, last = pieces(udp(data=bytes(range(30))), 16)
    yield case("a first fragment", frame(first), to(DNS, first))
    yield case("a middle fragment behind its first", frame(middle), to(DNS, middle), before=(frame(first),))
    yield case("a last fragment behind its first", frame(last), to(DNS, last), before=(frame(first), frame(middle)))
    yield case("a last fragment before the middle one", frame(last), to(DNS, last), before=(frame(first),))
    yield case("a fragment twice", frame(middle), to(DNS, middle), before=(frame(first), frame(middle)))
    first, middle, last = pieces(udp(data=bytes(30)), 16)
    yield case("a middle fragment that came first", frame(middle), unknown)
    yield case("a last fragment whose first never came", frame(last), unknown)
    yield case(
        "a fragment of another packet", frame(pieces(udp(data=bytes(30)), 16)[1]), unknown, before=(frame(first),)
    )
    first, middle, _ = pieces(udp(data=bytes(30)), 16)
    other = IP(first)
    other.src = "192.0.2.8"
    del other.chksum
    yield case("a later fragment of another client", frame(middle), unknown, before=(frame(other),))
    first, second, _ = pieces(tcp(data=b"data"), 8)
    yield case("a TCP fragment with ports and no flags", frame(first), to(WEB1, first))
    yield case("the fragment with its flags", frame(second), to(WEB1, second), before=(frame(first),))
    short = IP(src=CLIENT, dst=VIP, proto=17, flags="MF", id=next(IDS)) / Raw(b"abc")
    yield case("a first fragment of three bytes", frame(short), drop("fragment_short"))
    ports = IP(src=CLIENT, dst=VIP, proto=17, flags="MF", id=next(IDS)) / Raw(bytes.fromhex("9c400035"))
    yield case("a first fragment that is just its ports", frame(ports), to(DNS, ports))
    tiny = IP(src=CLIENT, dst=VIP, proto=17, frag=1, id=next(IDS)) / Raw(b"x")
    yield case("a last fragment of one byte", frame(tiny), unknown)
    none = pieces(tcp(443, data=bytes(30)), 24)
    yield case("a first fragment to a service with no server up", frame(none[0]), drop("no_server", 443))
    yield case("a later one of that packet", frame(none[1]), unknown, before=(frame(none[0]),))
    none = pieces(udp(9, data=bytes(30)), 16)
    yield case("a first fragment to a port without service", frame(none[0]), drop("no_service"))
    yield case("a later one of such a packet", frame(none[1]), unknown, before=(frame(none[0]),))
    both = IP(src=CLIENT, dst=VIP, ttl=63, flags="MF+DF", id=next(IDS)) / Raw(bytes(udp(data=b"12345678"))[20:])
    both.proto = 17
    yield case("a first fragment with DF set", frame(both), to(DNS, both))
    echo = pieces(IP(src=CLIENT, dst=VIP) / ICMP() / Raw(bytes(30)), 16)
    yield case("a fragmented ping", frame(echo[0]), drop("icmp_unsupported"))
    yield case("the ping's later fragment", frame(echo[1]), unknown, before=(frame(echo[0]),))
    looped = pieces(udp(data=bytes(30)), 16)
    yield case("a first fragment that its server sent on", frame(looped[0], src=MACS[DNS]), drop("looped"))
    yield case(
        "a later fragment that its server sent on",
        frame(looped[1], src=MACS[DNS]),
        drop("looped"),
        before=(frame(looped[0]),),
    )
    yield from ends_of_fragments()
    gre = IP(src=CLIENT, dst=VIP, proto=47, flags="MF", id=next(IDS)) / Raw(bytes(24))
    yield case("a fragment of a protocol without ports", frame(gre), drop("no_service"))
    far_pieces = pieces(udp(90, data=bytes(30)), 16)
    yield case("a later fragment into a tunnel", frame(far_pieces[1]), through(FAR1, far_pieces[1], number=2),
               before=(frame(far_pieces[0]),))  # fmt: skip


def ends_of_fragments() -> Iterator[Case]:
    """A packet has 65,535 bytes at most: no fragment ends beyond."""

    def later(port: int, beyond: int, **more: Any) -> tuple[bytes, bytes]:
        head = IP(src=CLIENT, dst=VIP, ttl=63, proto=17, id=next(IDS), flags="MF", **more)
        begin = bytes(head / Raw(bytes(udp(port, data=bytes(8)))[20:]))
        head.flags, head.frag = "", 8191 - 3
        return begin, bytes(head / Raw(bytes(beyond + 24)))

    begin, end = later(53, 7 - 20)
    yield case("a later fragment that ends at 65,535 bytes", frame(end), to(DNS, end), before=(frame(begin),))
    begin, end = later(53, 8 - 20)
    yield case("a later fragment that ends at 65,536", frame(end), drop("malformed"), before=(frame(begin),))
    begin, end = later(95, 1000)
    yield case("one that would overflow when it is cut", frame(end), drop("malformed"), before=(frame(begin),))
    last = IP(src=CLIENT, dst=VIP, proto=17, id=next(IDS), flags="MF", frag=8191) / Raw(b"12345678")
    yield case("more fragments behind the last place", frame(last), drop("malformed"))


def ping(**more: Any) -> Any:
    return IP(src=CLIENT, dst=VIP, ttl=63, id=77, **more) / ICMP(id=1, seq=2) / Raw(b"are you there?")


def pong(asked: Packet, tag: bytes = b"") -> Expected:
    answer = IP(src=asked.dst, dst=asked.src, ttl=64, id=asked.id, flags=asked.flags, tos=asked.tos)
    body = bytes(answer / ICMP(type=0, id=asked[ICMP].id, seq=asked[ICMP].seq) / asked[Raw])
    return Expected(decision.ANSWERED, "", (CLIENT_MAC + ETH0.mac + tag + b"\x08\x00" + body,), ETH0.index)


def options_of_pings() -> Iterator[Case]:
    """RFC 1122 section 3.2.2.6: options are in the answer, the VIP in a recorded route; source routes go nowhere."""

    def asked(options: bytes) -> bytes:
        padded = options + bytes(-len(options) % 4)
        sent = IP(src=CLIENT, dst=VIP, ttl=63, id=77, proto=1, ihl=5 + len(padded) // 4)
        body = bytes(ICMP(id=1, seq=2) / Raw(b"are you there?"))
        sent.len = 20 + len(padded) + len(body)
        return patched(bytes(sent)[:20] + padded + body, fix=True)

    def answered(options: bytes) -> Expected:
        there = bytearray(asked(options))
        there[8], there[12:16], there[16:20] = 64, there[16:20], there[12:16]
        header = 20 + len(options) + -len(options) % 4
        there[header:] = bytes(ICMP(type=0, id=1, seq=2) / Raw(b"are you there?"))
        out = CLIENT_MAC + ETH0.mac + b"\x08\x00" + patched(there, fix=True)
        return Expected(decision.ANSWERED, "", (out,), ETH0.index)

    vip = bytes(map(int, VIP.split(".")))
    route = b"\x07\x0b\x04" + bytes(8)
    yield case("a ping that records its route", frame(asked(route)), answered(b"\x07\x0b\x08" + vip + bytes(4)))
    behind = b"\x01\x07\x0b\x08" + bytes([1, 2, 3, 4]) + bytes(4)
    second = b"\x01\x07\x0b\x0c" + bytes([1, 2, 3, 4]) + vip
    yield case("a recorded route with a router in it, behind a NOP", frame(asked(behind)), answered(second))
    full = b"\x07\x07\x08\x01\x02\x03\x04"
    yield case("a recorded route that is full", frame(asked(full)), answered(full))
    longest = b"\x07\x27\x04" + bytes(36)
    yield case("the longest recorded route", frame(asked(longest)), answered(b"\x07\x27\x08" + vip + bytes(32)))
    odd = b"\x07\x07\x03\x01\x02\x03\x04"
    yield case("a recorded route that points into its head", frame(asked(odd)), answered(odd))
    for what, same in (
        ("a router alert", b"\x94\x04\0\0"),
        ("a timestamp option", b"\x44\x08\x05\0\0\0\0\0"),
        ("NOPs", b"\x01" * 8),
        ("an unknown option", b"\x1e\x04\x55\x55"),
        ("nonsense behind the options' end", b"\0\x07\0\0"),
    ):
        yield case(f"a ping with {what}", frame(asked(same)), answered(same))
    unsupported = drop("icmp_unsupported")
    for what, bad in (
        ("a loose source route", b"\x83\x07\x08\x01\x02\x03\x04"),
        ("a strict source route", b"\x89\x07\x04\x01\x02\x03\x04"),
        ("an option of length 0", b"\x44\0\0\0"),
        ("an option of length 1", b"\x44\x01\0\0"),
        ("an option beyond the header", b"\x44\x05\0\0"),
        ("an option that is all kind", b"\x01\x01\x01\x44"),
    ):
        yield case(f"a ping with {what}", frame(asked(bad)), unsupported)
    down = IP(src=CLIENT, dst=DOWN_VIP, options=[IPOption_RR(length=7, routers=["0.0.0.0"])]) / ICMP()
    yield case("a ping with options to a down VIP", frame(down), drop("vip_down"))


def icmp() -> Iterator[Case]:
    """Step 6: pings are answered, errors find the server of the flow they quote."""
    yield case("a ping", frame(ping()), pong(ping()))
    yield case("a ping with DF and TOS", frame(ping(flags="DF", tos=0x20)), pong(ping(flags="DF", tos=0x20)))
    yield case("a ping in a padded frame", frame(ping()) + bytes(9), pong(ping()))
    tag = b"\x81\x00\xa0\x00"
    yield case("a ping with a priority: so is the answer", frame(ping(), vlan=0xA000), pong(ping(), tag))
    yield case("a ping in a VLAN", frame(ping(), vlan=7), HOST)
    empty = IP(src=CLIENT, dst=VIP) / ICMP(id=1, seq=2)
    bare = IP(src=VIP, dst=CLIENT, ttl=64) / ICMP(type=0, id=1, seq=2)
    out = CLIENT_MAC + ETH0.mac + b"\x08\x00" + bytes(bare)
    yield case("a ping without data", frame(empty), Expected(decision.ANSWERED, "", (out,), ETH0.index))
    unsupported = drop("icmp_unsupported")
    yield from options_of_pings()
    yield case("a ping with a code", frame(IP(src=CLIENT, dst=VIP) / ICMP(code=1)), unsupported)
    for kind, what in ((0, "an echo reply"), (5, "a redirect"), (13, "a timestamp request"), (4, "a source quench")):
        yield case(what, frame(IP(src=CLIENT, dst=VIP, proto=1) / Raw(bytes([kind]) + bytes(27))), unsupported)

    def error(quoted: bytes, kind: int = 3, code: int = 4, src: str = "198.51.100.1") -> bytes:
        return bytes(IP(src=src, dst=VIP, ttl=60) / ICMP(type=kind, code=code) / Raw(quoted))

    answer = bytes(IP(src=VIP, dst=CLIENT) / TCP(sport=80, dport=40000))
    for kind, code, what in ((3, 4, "fragmentation needed"), (3, 3, "port unreachable"), (11, 0, "time exceeded"),
                             (12, 0, "a parameter problem")):  # fmt: skip
        sent = error(answer, kind, code)
        yield case(f"{what}, quoting a server's answer", frame(sent), to(WEB1, sent))
    eight = error(answer[:28])
    yield case("an error that quotes eight bytes of layer 4", frame(eight), to(WEB1, eight))
    unmatched = drop("icmp_unmatched")
    yield case("an error that quotes seven bytes of layer 4", frame(error(answer[:27])), unmatched)
    yield case("an error that quotes nothing", frame(error(b"")), unmatched)
    reply = bytes(IP(src=VIP, dst=CLIENT) / UDP(sport=53, dport=40000))
    sent = error(reply)
    yield case("an error about a UDP answer", frame(sent), to(DNS, sent))
    optioned = bytes(IP(src=VIP, dst=CLIENT, options=[IPOption_RR(length=7, routers=["0.0.0.0"])]) / UDP(sport=53))
    sent = error(optioned)
    yield case("an error about an answer with IP options", frame(sent), to(DNS, sent))
    from_us = bytes(IP(src="10.0.0.1", dst=CLIENT) / TCP(sport=80, dport=40000))
    yield case("an error about a packet that is not the VIP's", frame(error(from_us)), unmatched)
    yield case(
        "an error about another VIP's packet", frame(error(bytes(IP(src=SECOND_VIP) / TCP(sport=80)))), unmatched
    )
    no_service = bytes(IP(src=VIP, dst=CLIENT) / TCP(sport=9, dport=40000))
    yield case("an error about a port without service", frame(error(no_service)), unmatched)
    later = bytes(IP(src=VIP, dst=CLIENT, proto=6, frag=10) / Raw(bytes(20)))
    yield case("an error about a later fragment", frame(error(later)), unmatched)
    about_icmp = bytes(IP(src=VIP, dst=CLIENT) / ICMP(type=0))
    yield case("an error about a ping's answer", frame(error(about_icmp)), unmatched)
    yield case("an error with a broken quote", frame(error(b"\x65" + answer[1:])), unmatched)
    down = bytes(IP(src=VIP, dst=CLIENT) / TCP(sport=443, dport=40000))
    yield case("an error about a service with no server up", frame(error(down)), drop("no_server", 443))
    tunnelled = error(bytes(IP(src=VIP, dst=CLIENT) / TCP(sport=90, dport=40000)))
    yield case("an error about a tunnelled service", frame(tunnelled), through(FAR1, tunnelled, number=1))
    yield case("an error that its server sent on", frame(error(answer), src=MACS[WEB1]), drop("looped"))
    yield case("an error from the engine's own address", frame(error(answer, src="10.0.0.1")), drop("looped"))


def through(
    server: str, ip_packet: Packet | bytes, *, gre: bool = False, egress: Interface = ETH0, number: int = 1
) -> Expected:
    """The IP packet in a tunnel to a server behind the router. number: the outer identification where DF is clear."""
    data = bytes(ip_packet)
    df = IP(data).flags.DF
    source = socket.inet_ntoa(egress.addresses[0])
    outer = IP(src=source, dst=server, ttl=64, tos=data[1], flags="DF" if df else 0, id=0 if df else number)
    outer.proto = 47 if gre else 4
    inner = (b"\x00\x00\x08\x00" if gre else b"") + data
    out = ROUTER_MAC + egress.mac + b"\x08\x00" + bytes(outer / Raw(inner))
    return Expected(decision.FORWARDED, "", (out,), egress.index, server, len(data))


def told(packet: Packet | bytes, mtu: int, tag: bytes = b"", interface: Interface = ETH0) -> Expected:
    """The client is told what fits."""
    data = bytes(packet)
    header = (data[0] & 15) * 4
    message = ICMP(type=3, code=4, nexthopmtu=mtu) / Raw(data[: header + 8])
    reply = IP(src=VIP, dst=CLIENT, ttl=64, tos=0xC0, flags="DF", id=0) / message
    out = CLIENT_MAC + interface.mac + tag + b"\x08\x00" + bytes(reply)
    return Expected(decision.ANSWERED, "", (out,), interface.index)


def many(server: str, packet: Packet, size: int, egress: Interface = ETH0) -> Expected:
    """The packet in fragments that each fit `size` bytes, each in a tunnel of its own."""
    fragsize = (size - 20) & ~7
    pieces = enumerate(packet.fragment(fragsize), 1)
    parts = [through(server, piece, egress=egress, number=n).frames[0] for n, piece in pieces]
    return Expected(decision.FORWARDED, "", tuple(parts), egress.index, server, len(packet))


def tunnels() -> Iterator[Case]:
    """Step 9, layer 3, and step 10."""
    syn = tcp(90)
    yield case("a SYN into an IP-in-IP tunnel", frame(syn), through(FAR1, syn))
    yield case("a SYN into a GRE tunnel", frame(tcp(91)), through(FAR2, tcp(91), gre=True))
    query = udp(90, data=b"question")
    yield case("UDP into an IP-in-IP tunnel", frame(query), through(FAR1, query))
    yield case("UDP into a GRE tunnel", frame(udp(91)), through(FAR2, udp(91), gre=True))
    df = tcp(90, flags="DF", id=9)
    yield case("DF is copied, and the identification is 0", frame(df), through(FAR1, df))
    tos = tcp(90, tos=0xBA)
    yield case("TOS is copied", frame(tos), through(FAR1, tos))
    for ttl in (0, 1, 255):
        sent = patched(syn, (8, ttl), fix=True)
        yield case(f"inner TTL {ttl} stays, the outer is 64", frame(sent), through(FAR1, sent))
    optioned = IP(src=CLIENT, dst=VIP, options=[IPOption_RR(length=7, routers=["0.0.0.0"])]) / TCP(dport=90)
    yield case("IP options stay in the inner packet", frame(optioned), through(FAR1, optioned))
    yield case("padding never goes into a tunnel", frame(syn) + b"padding", through(FAR1, syn))
    yield case("a priority tag never goes into a tunnel", frame(syn, vlan=0xA000), through(FAR1, syn))
    across = tcp(93)
    yield case(
        "out of the other interface, from its address", frame(across), through(FAR1, across, gre=True, egress=ETH1)
    )
    yield case("a server that no route leads to", frame(tcp(94)), drop("no_next_hop", 94))
    yield case("from the router's MAC: not looped", frame(syn, src=ROUTER_MAC), through(FAR1, syn))
    yield case("from the engine's own address into a tunnel", frame(tcp(90, src="10.0.0.1")), drop("looped"))

    fits = tcp(90, data=bytes(1480 - 40), flags="DF")
    yield case("DF, and just fits the tunnel", frame(fits), through(FAR1, fits))
    over = tcp(90, data=bytes(1481 - 40), flags="DF")
    yield case("DF, and one byte too many", frame(over), told(over, 1480))
    tag = b"\x81\x00\xa0\x00"
    yield case("the same with a priority tag: told with it", frame(over, vlan=0xA000), told(over, 1480, tag))
    fits = tcp(91, data=bytes(1476 - 40), flags="DF")
    yield case("DF, and just fits the GRE tunnel", frame(fits), through(FAR2, fits, gre=True))
    over = tcp(91, data=bytes(1477 - 40), flags="DF")
    yield case("DF, and one byte too many for GRE", frame(over), told(over, 1476))
    fits = tcp(92, data=bytes(980 - 40), flags="DF")
    yield case("DF, and just fits what a router reported", frame(fits), through(FAR3, fits))
    over = tcp(92, data=bytes(981 - 40), flags="DF")
    yield case("DF, and one byte more than that", frame(over), told(over, 980))
    over = tcp(93, data=bytes(1377 - 40), flags="DF")
    yield case("a reported MTU above the egress MTU counts for nothing", frame(over), told(over, 1376))
    optioned = IP(src=CLIENT, dst=VIP, flags="DF", options=[IPOption_RR(length=7, routers=["0.0.0.0"])])
    over = optioned / TCP(dport=90) / Raw(bytes(1440))
    yield case("a packet with options that is too big: all of its header is quoted", frame(over), told(over, 1480))

    whole = udp(90, data=bytes(range(256)) * 5 + bytes(173), id=5)
    yield case("1481 bytes without DF: two fragments, each in its tunnel", frame(whole), many(FAR1, whole, 1480))
    whole = udp(95, data=bytes(1400), id=6)
    yield case("1428 bytes without DF into 556: three", frame(whole), many(FAR3, whole, 556))
    yield case("1480 bytes without DF: one", frame(udp(90, data=bytes(1452))), through(FAR1, udp(90, data=bytes(1452))))
    error = bytes(IP(src="198.51.100.1", dst=VIP, flags="DF") / ICMP(type=3, code=1)
                  / IP(src=VIP, dst=CLIENT) / TCP(sport=92, dport=40000) / Raw(bytes(1000)))  # fmt: skip
    yield case("an error with DF that is too big: nobody is told", frame(error), drop("too_big_unreported", 92))
    first, later = (IP(src=CLIENT, dst=VIP, ttl=63, proto=17, id=7, flags=flags) for flags in ("MF+DF", "DF"))
    later.frag = 2
    first, later = first / Raw(bytes(udp(92, data=bytes(8)))[20:]), later / Raw(bytes(1000))
    yield case(
        "a later fragment with DF that is too big: nobody is told",
        frame(later),
        drop("too_big_unreported", 92),
        before=(frame(first),),
    )


def jumbo() -> Iterator[Case]:
    """Frames that a card receives in several pieces, to and from interfaces with an MTU of 9000."""

    def from_jumbo(ip_packet: Packet | bytes, **more: Any) -> bytes:
        return frame(ip_packet, dst=ETH2.mac, **more)

    def filled(size: int, port: int, **more: Any) -> Any:
        return tcp(port, data=bytes(n * 7 & 0xFF for n in range(size - 40)), **more)

    whole = filled(9000, 96)
    yield case("9,000 bytes", from_jumbo(whole), to(JUMBO, whole, ETH2), ETH2)
    padded = filled(8960, 96)
    yield case("8,960 bytes with padding", from_jumbo(padded) + bytes(40), to(JUMBO, padded, ETH2), ETH2)
    yield case("9,000 bytes with a priority tag", from_jumbo(whole, vlan=0xA000), to(JUMBO, whole, ETH2), ETH2)
    short = filled(100, 96)
    yield case("100 bytes with 6,000 behind them", from_jumbo(short) + bytes(6000), to(JUMBO, short, ETH2), ETH2)
    yield case("9,001 bytes", from_jumbo(filled(9001, 96)), drop("too_big_l2", 96), ETH2)
    yield case("9,000 bytes to where 1,500 fit", from_jumbo(filled(9000, 80)), drop("too_big_l2", 80), ETH2)
    narrow = filled(1500, 80)
    yield case("1,500 bytes with 7,500 behind them", from_jumbo(narrow) + bytes(7500), to(WEB1, narrow), ETH2)
    yield case("9,000 bytes of which the last is missing", from_jumbo(whole)[:-1], drop("malformed"), ETH2)
    datagram = udp(96, data=bytes(8972))
    yield case("a datagram of 9,000 bytes", from_jumbo(datagram), to(JUMBO, datagram, ETH2), ETH2)
    yield case(
        "a datagram longer than its packet of 9,000 bytes",
        from_jumbo(patched(datagram, (24, 0xFF))), drop("malformed"), ETH2,
    )  # fmt: skip
    for flags in ("", "DF"):
        fits = filled(8980, 97, flags=flags)
        what = f"9,000 bytes with their IP-in-IP header{', DF' if flags else ''}"
        yield case(what, from_jumbo(fits), through(FAR1, fits, egress=ETH2), ETH2)
        padded = filled(8960, 97, flags=flags)
        yield case(f"{what}, padded", from_jumbo(padded) + bytes(20), through(FAR1, padded, egress=ETH2), ETH2)
        fits = filled(8976, 98, flags=flags)
        what = f"9,000 bytes with their GRE header{', DF' if flags else ''}"
        yield case(what, from_jumbo(fits), through(FAR2, fits, gre=True, egress=ETH2), ETH2)
    over = filled(8981, 97, flags="DF")
    yield case("DF, and one byte too many for a large tunnel", from_jumbo(over), told(over, 8980, interface=ETH2), ETH2)
    over = udp(97, data=bytes(range(256)) * 34 + bytes(249), id=5)
    yield case("8,981 bytes without DF: two fragments", from_jumbo(over), many(FAR1, over, 8980, ETH2), ETH2)
    over = udp(90, data=bytes(range(256)) * 34, id=6)
    yield case("8,732 bytes without DF into 1,480: six fragments", from_jumbo(over), many(FAR1, over, 1480), ETH2)
    for size, padding in ((9000, 0), (8960, 40)):
        echo = ICMP(id=1, seq=2) / Raw(bytes(size - 28))
        ping, pong = IP(src=CLIENT, dst=VIP, ttl=63) / echo, IP(src=VIP, dst=CLIENT, ttl=64) / echo
        pong[ICMP].type = 0
        answer = CLIENT_MAC + ETH2.mac + b"\x08\x00" + bytes(pong)
        answered = Expected(decision.ANSWERED, "", (answer,), ETH2.index)
        yield case(f"a ping of {size:,} bytes", from_jumbo(ping) + bytes(padding), answered, ETH2)
    first = IP(src=CLIENT, dst=VIP, ttl=63, proto=17, id=7, flags="MF") / Raw(bytes(datagram)[20:])
    later = IP(src=CLIENT, dst=VIP, ttl=63, proto=17, id=7, frag=1122) / Raw(bytes(5000))
    yield case("a first fragment of 9,000 bytes", from_jumbo(first), to(JUMBO, first, ETH2), ETH2)
    yield case(
        "a later fragment of 5,020 bytes", from_jumbo(later), to(JUMBO, later, ETH2), ETH2, before=(from_jumbo(first),)
    )


def services() -> Iterator[Case]:
    """Step 7: VIP, protocol, port or port range."""
    none = drop("no_service")
    yield case("a port without service", frame(tcp(9)), none)
    yield case("port 0", frame(tcp(0)), none)
    yield case("UDP to a TCP port", frame(udp(80)), none)
    yield case("TCP to a UDP port", frame(tcp(53)), none)
    yield case("a protocol without ports (GRE)", frame(IP(src=CLIENT, dst=VIP, proto=47) / Raw(bytes(20))), none)
    yield case("protocol 255", frame(IP(src=CLIENT, dst=VIP, proto=255) / Raw(bytes(20))), none)
    yield case("a bare IP header", frame(IP(src=CLIENT, dst=VIP, proto=59)), none)
    last = tcp(65535)
    yield case("port 65535", frame(last), to(WEB1, last))
    first = udp(1)
    yield case("port 1", frame(first), to(DNS, first))
    for port in (5000, 5500, 5999):
        sent = udp(port)
        yield case(f"port {port} of the range 5000 to 5999", frame(sent), to(DNS, sent))
    yield case("the port before the range", frame(udp(4999)), none)
    yield case("the port behind the range", frame(udp(6000)), none)
    second = tcp(dst=SECOND_VIP)
    yield case("the same port of another VIP: another pool", frame(second), to(DNS, second))
    yield case("another VIP without that port", frame(tcp(443, dst=SECOND_VIP)), none)
    yield case("another VIP without that range", frame(udp(5500, dst=SECOND_VIP)), none)


def servers() -> Iterator[Case]:
    """Steps 8 to 10: the server, its next hop, its size."""
    yield case("a pool with all servers down", frame(tcp(443)), drop("no_server", 443))
    yield case("a pool without servers", frame(tcp(444)), drop("no_server", 444))
    yield case("a server whose MAC address is not known", frame(tcp(445)), drop("no_next_hop", 445))
    yield case("a server on no attached network", frame(tcp(446)), drop("no_next_hop", 446))
    only = tcp(84)
    yield case("a pool with one of two servers up", frame(only), to(WEB1, only))
    across = tcp(82)
    yield case("a server behind the other interface", frame(across), to(ON_ETH1, across, ETH1))
    back = tcp(82)
    yield case("the same, received there", frame(back, dst=ETH1.mac), to(ON_ETH1, back, ETH1), ETH1)

    for size, mtu in ((1499, "below"), (1500, "at")):
        sent = tcp(data=bytes(size - 40))
        yield case(f"{size} bytes, {mtu} the egress MTU", frame(sent), to(WEB1, sent))
    yield case("1501 bytes, above the egress MTU", frame(tcp(data=bytes(1461))), drop("too_big_l2", 80))
    smaller = tcp(82, data=bytes(1360))
    yield case("1400 bytes to a server whose MTU is 1400", frame(smaller), to(ON_ETH1, smaller, ETH1))
    yield case("1401 bytes to a server whose MTU is 1400", frame(tcp(82, data=bytes(1361))), drop("too_big_l2", 82))
    yield case("padding does not count for the MTU", frame(sent) + bytes(4), to(WEB1, sent))
    yield case("too big, and no server either", frame(tcp(443, data=bytes(1461))), drop("no_server", 443))


def arp() -> Iterator[Case]:
    """Requests for owned VIPs are answered; everything else of ARP is the host's."""
    yield case("who has the VIP", arp_request(VIP), arp_reply(VIP))
    yield case("who has the second VIP", arp_request(SECOND_VIP), arp_reply(SECOND_VIP))
    yield case("who has the VIP, asked of us alone", arp_request(VIP, dst=ETH0.mac), arp_reply(VIP))
    yield case("who has the VIP, asked of another", arp_request(VIP, dst=mac(0x99)), HOST)
    asked, syn = arp_request(VIP), tcp()
    yield Case("who has the VIP, before it is answered no more", asked, arp_reply(VIP), until=9)
    yield Case("who has the VIP, when it is answered no more", asked, HOST, until=0)
    yield Case("who has the VIP, long after it is answered no more", asked, HOST, until=-LONG)
    yield Case("a SYN, long after ARP is answered no more", frame(syn), to(WEB1, syn), until=-LONG)
    padded = arp_request(VIP) + bytes(18)
    yield case("padded to 60 bytes", padded, arp_reply(VIP, rest=bytes(18)))
    tag = b"\x81\x00\x20\x00"
    yield case("with a priority tag: so is the answer", arp_request(VIP, tag=tag), arp_reply(VIP, tag=tag))
    yield case("who has the VIP, asked in VLAN 7", arp_request(VIP, tag=b"\x81\x00\x20\x07"), HOST)
    yield case("who has the VIP, asked in VLAN 99", arp_request(VIP, tag=b"\x81\x00\x00\x63"), HOST)
    yield case("an address probe for the VIP", arp_request(VIP, "0.0.0.0"), arp_reply(VIP, "0.0.0.0"))
    yield case("an announcement of the VIP by somebody else", arp_request(VIP, VIP), HOST)
    yield case("who has a down VIP", arp_request(DOWN_VIP), HOST)
    yield case("who has a down VIP that is announced", arp_request(DOWN_ANNOUNCED_VIP), arp_reply(DOWN_ANNOUNCED_VIP))
    yield case("who has a server", arp_request(WEB1), HOST)
    yield case("who has the engine's own address", arp_request("10.0.0.1"), HOST)
    reply = bytearray(arp_request(VIP))
    reply[21] = 2
    yield case("an ARP reply", bytes(reply), HOST)
    yield case("ARP cut by one byte", arp_request(VIP)[:-1], HOST)
    strange = bytearray(arp_request(VIP))
    strange[18] = 8
    yield case("ARP with hardware addresses of 8 bytes", bytes(strange), HOST)
    reverse = bytearray(arp_request(VIP))
    reverse[21] = 3
    yield case("RARP's operation", bytes(reverse), HOST)
    own = arp_request(VIP, asker=MACS[WEB1])
    out = bytearray(arp_reply(VIP).frames[0])
    out[0:6] = out[32:38] = MACS[WEB1]
    yield case("who has the VIP, asked by a server", own, Expected(decision.ANSWERED, "", (bytes(out),), ETH0.index))


CASES = tuple(
    row
    for part in (
        whose_frame,
        tagged,
        well_formed,
        padding,
        unchanged,
        sources,
        down,
        fragments,
        icmp,
        tunnels,
        jumbo,
        services,
        servers,
        arp,
    )
    for row in part()
)


def outcome(verdict: decision.Verdict) -> Expected:
    """A verdict in the table's terms."""
    server = socket.inet_ntoa(verdict.server) if verdict.server else ""
    port = verdict.service.port if verdict.service is not None and verdict.action == decision.DROPPED else 0
    return Expected(verdict.action, verdict.reason, verdict.frames, verdict.interface, server, verdict.size, port)
