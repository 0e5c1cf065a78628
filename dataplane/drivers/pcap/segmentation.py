"""Cuts a packet that the sender's stack left to segmentation offload into the packets it stands for.

Needed where the pieces travel on their own, in a tunnel each: no network card cuts inside a tunnel for a packet socket.
Source: the kernel's tcp_gso_segment (net/ipv4/tcp_offload.c) and __udp_gso_segment (net/ipv4/udp_offload.c); checksums
RFC 1071, RFC 9293 section 3.1, RFC 768.
"""

from __future__ import annotations

import struct

from dataplane.forwarding.rewrite import checksum

_CWR, _FIN, _PSH = 0x80, 0x01, 0x08
_PROTOCOL_TCP = 6
_UDP_HLEN = 8


def segments(packet: bytes, size: int) -> list[bytes]:
    """The IP packets of at most `size` bytes of data each that a large TCP or UDP packet stands for, checksums filled
    in."""
    header = (packet[0] & 0x0F) * 4
    is_tcp = packet[9] == _PROTOCOL_TCP
    data = header + ((packet[header + 12] >> 4) * 4 if is_tcp else _UDP_HLEN)
    identification = struct.unpack_from("!H", packet, 4)[0]
    pieces = []
    for number, at in enumerate(range(data, len(packet), size)):
        piece = packet[at : at + size]
        head, layer4 = bytearray(packet[:header]), bytearray(packet[header:data])
        struct.pack_into("!HH", head, 2, data + len(piece), (identification + number) & 0xFFFF)
        if is_tcp:
            _tcp_header(layer4, at - data, first=not number, last=at + size >= len(packet))
        else:
            struct.pack_into("!H", layer4, 4, _UDP_HLEN + len(piece))
        pieces.append(_filled(bytes(head), bytes(layer4) + piece))
    return pieces


def _tcp_header(header: bytearray, offset: int, *, first: bool, last: bool) -> None:
    """The large packet's TCP header becomes that of the segment at an offset of its data."""
    sequence = struct.unpack_from("!I", header, 4)[0]
    struct.pack_into("!I", header, 4, (sequence + offset) & 0xFFFFFFFF)
    header[13] &= ~(0 if first else _CWR) & ~(0 if last else _FIN | _PSH) & 0xFF


def filled(packet: bytes) -> bytes:
    """A TCP or UDP packet with the layer-4 checksum that the sender's stack left out."""
    header = (packet[0] & 0x0F) * 4
    return _filled(packet[:header], packet[header:])


def _filled(head: bytes, layer4: bytes) -> bytes:
    protocol = head[9]
    at = 16 if protocol == _PROTOCOL_TCP else 6
    head = head[:10] + b"\0\0" + head[12:]
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    layer4 = layer4[:at] + b"\0\0" + layer4[at + 2 :]
    pseudo = head[12:20] + struct.pack("!BBH", 0, protocol, len(layer4))
    total = checksum(pseudo + layer4)
    if not total and protocol != _PROTOCOL_TCP:
        total = 0xFFFF  # zero says that UDP has none (RFC 768)
    return head + layer4[:at] + struct.pack("!H", total) + layer4[at + 2 :]
