"""What leaves: frames rewritten for a server, tunnelled, cut to size, and answers made here. Pure functions over bytes.

Sources: IPv4 RFC 791, ICMP RFC 792, IP-in-IP RFC 2003, GRE RFC 2784 (no key, no checksum), path-MTU discovery RFC 1191.
"""

from __future__ import annotations

import struct

from dataplane.errors import DataplaneError
from dataplane.plan import L2, L3_GRE

ETH_P_IP = b"\x08\x00"
IP_HLEN, GRE_HLEN, ICMP_HLEN = 20, 4, 8
IPPROTO_ICMP, IPPROTO_IPIP, IPPROTO_GRE = 1, 4, 47
TTL = 64
DF, MF, OFFSET = 0x4000, 0x2000, 0x1FFF
_HEADER = struct.Struct("!6H8s")  # RFC 791 section 3.1
_VERSION_AND_LENGTH = 0x4500
_GRE = b"\x00\x00\x08\x00"
_INTERNETWORK_CONTROL = 0xC0  # the TOS of ICMP errors (RFC 1812 section 4.3.2.5)
_COPIED = 0x80  # an option's flag: it goes into every fragment
_END, _NOP, _RECORD_ROUTE = 0, 1, 7
_SOURCE_ROUTES = (131, 137)  # loose, strict
QUOTED = 8
"""Bytes of layer 4 that an error quotes (RFC 792)."""


def overhead(mode: str) -> int:
    """Bytes that a mode puts in front of the client's IP packet."""
    if mode == L2:
        return 0
    return IP_HLEN + (GRE_HLEN if mode == L3_GRE else 0)


def total(data: bytes) -> int:
    """The sum of the 16-bit words in one's complement, 0 where it is a multiple of 0xFFFF: of data with a right
    checksum in it (RFC 1071). One big number has the same remainder, since 0x10000 % 0xFFFF == 1."""
    return int.from_bytes(data, "big") % 0xFFFF


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    summed = total(data)
    return 0xFFFF - summed if summed or not any(data) else 0


def ip_header(
    source: bytes, destination: bytes, protocol: int, length: int, *, tos: int, identification: int, flags: int
) -> bytes:
    """An IPv4 header without options. length: of what follows it."""
    words = _VERSION_AND_LENGTH | tos, IP_HLEN + length, identification, flags, TTL << 8 | protocol
    summed = (sum(words) + total(source + destination)) % 0xFFFF
    return _HEADER.pack(*words, 0xFFFF - (summed or 0xFFFF), source + destination)


class Tunnel:
    """A tunnel to a server: what its outer headers have in common is made once."""

    def __init__(self, mode: str, source: bytes, destination: bytes) -> None:
        self._inner, protocol = (_GRE, IPPROTO_GRE) if mode == L3_GRE else (b"", IPPROTO_IPIP)
        self._overhead = overhead(mode)
        self._kind, self._ends = TTL << 8 | protocol, source + destination
        self._summed = _VERSION_AND_LENGTH + self._kind + total(self._ends)

    def packet(self, packet: bytes, identification: int) -> bytes:
        """A client's packet in the tunnel: TOS and DF are the inner packet's."""
        tos, flags, length = packet[1], packet[6] << 8 & DF, self._overhead + len(packet)
        checksum = -(self._summed + tos + length + identification + flags) % 0xFFFF
        header = _HEADER.pack(
            _VERSION_AND_LENGTH | tos, length, identification, flags, self._kind, checksum, self._ends
        )
        return header + self._inner + packet


def tunnelled(packet: bytes, mode: str, source: bytes, destination: bytes, identification: int) -> bytes:
    """A client's packet in a tunnel to a server."""
    return Tunnel(mode, source, destination).packet(packet, identification)


def fragmented(packet: bytes, mtu: int) -> list[bytes]:
    """A packet cut into fragments of at most mtu bytes (RFC 791 section 3.2). Raises DataplaneError below 68."""
    if mtu < 68:
        raise DataplaneError(f"an MTU of {mtu} is less than IPv4's 68")
    header = packet[: (packet[0] & 0x0F) * 4]
    later = _later_header(header)
    flags = struct.unpack_from("!H", packet, 6)[0]
    at, pieces = len(header), []
    while at < len(packet):
        head = header if at == len(header) else later
        room = (mtu - len(head)) & ~7
        piece = packet[at : at + room] if len(packet) - at > mtu - len(head) else packet[at:]
        offset = (flags & OFFSET) + (at - len(header)) // 8
        more = flags & MF if at + len(piece) == len(packet) else MF
        pieces.append(_with(head, len(piece), (flags & 0x8000) | more | offset) + piece)
        at += len(piece)
    return pieces


def _later_header(header: bytes) -> bytes:
    """The header of fragments behind the first: of the options, those with the copied flag."""
    kept, at = b"", IP_HLEN
    while at < len(header):
        kind = header[at]
        if kind == _END:
            break
        if kind == _NOP:
            at += 1
            continue
        length = header[at + 1] if at + 1 < len(header) else 0
        if length < 2 or at + length > len(header):  # broken options are the server's matter: leave them out
            break
        if kind & _COPIED:
            kept += header[at : at + length]
        at += length
    kept += bytes(-len(kept) % 4)
    return bytes([0x40 | (IP_HLEN + len(kept)) // 4]) + header[1:IP_HLEN] + kept


def _with(header: bytes, length: int, flags: int) -> bytes:
    """A header with total length, flags and checksum made right."""
    head = header[:2] + struct.pack("!H", len(header) + length) + header[4:6] + struct.pack("!H", flags) + header[8:10]
    return head + struct.pack("!H", checksum(head + b"\0\0" + header[12:])) + header[12:]


def echo_reply(packet: bytes) -> bytes:
    """The answer to a ping: addresses swapped, the rest as it came (RFC 792). Its options are such as `echo_options`
    takes."""
    size = (packet[0] & 0x0F) * 4
    head = packet[:8] + bytes([TTL]) + packet[9:10]
    swapped = packet[16:20] + packet[12:16] + (echo_options(packet[IP_HLEN:size], packet[16:20]) or b"")
    header = head + struct.pack("!H", checksum(head + b"\0\0" + swapped)) + swapped
    old = struct.unpack_from("!H", packet, size + 2)[0]
    total = old + 0x0800  # type 8 becomes 0: RFC 1624, written with one addition
    total = (total & 0xFFFF) + (total >> 16)
    return header + b"\0\0" + struct.pack("!H", total) + packet[size + 4 :]


def echo_options(options: bytes, vip: bytes) -> bytes | None:
    """The options of a ping's answer (RFC 1122 section 3.2.2.6): those that came, the VIP added to a recorded route
    with room for it. None where there is no answer: broken options, or a source route, which is not followed."""
    at, answer = 0, bytearray(options)
    recorded = False
    while at < len(options) and options[at] != _END:
        kind = options[at]
        if kind == _NOP:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options) or kind in _SOURCE_ROUTES:
            return None
        if kind == _RECORD_ROUTE and length > 2 and not recorded:
            pointer = options[at + 2]  # RFC 791: counted from 1, the first address stands at 4
            if 4 <= pointer <= length - 3:
                answer[at + 2] = pointer + 4
                answer[at + pointer - 1 : at + pointer + 3] = vip
                recorded = True
        at += length
    return bytes(answer)


def too_big(packet: bytes, vip: bytes, client: bytes, mtu: int) -> bytes:
    """Fragmentation needed and DF set, with the next hop's MTU (RFC 1191 section 4), from the VIP to the client."""
    quoted = packet[: (packet[0] & 0x0F) * 4 + QUOTED]
    body = struct.pack("!HH", 0, mtu) + quoted
    message = b"\x03\x04" + struct.pack("!H", checksum(b"\x03\x04\0\0" + body)) + body
    header = ip_header(vip, client, IPPROTO_ICMP, len(message), tos=_INTERNETWORK_CONTROL, identification=0, flags=DF)
    return header + message
