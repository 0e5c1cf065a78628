"""Cuts a TCP packet that the sender's stack left to segmentation offload into the segments it stands for.

Needed where the pieces travel on their own, in a tunnel each: no network card cuts inside a tunnel for a packet socket.
Source: the kernel's tcp_gso_segment (net/ipv4/tcp_offload.c); checksums RFC 1071, RFC 9293 section 3.1.
"""

from __future__ import annotations

import struct

from .rewrite import checksum

_CWR, _FIN, _PSH = 0x80, 0x01, 0x08
_PROTOCOL_TCP = 6


def segments(packet: bytes, size: int) -> list[bytes]:
    """The IP packets of at most `size` bytes of data each that a large TCP packet stands for, checksums filled in."""
    header = (packet[0] & 0x0F) * 4
    data = header + (packet[header + 12] >> 4) * 4
    identification, sequence = struct.unpack_from("!H", packet, 4)[0], struct.unpack_from("!I", packet, header + 4)[0]
    flags = packet[header + 13]
    pieces = []
    for number, at in enumerate(range(data, len(packet), size)):
        last = at + size >= len(packet)
        head, tcp = bytearray(packet[:header]), bytearray(packet[header:data])
        struct.pack_into("!H", head, 2, data + len(packet[at : at + size]))
        struct.pack_into("!H", head, 4, (identification + number) & 0xFFFF)
        struct.pack_into("!I", tcp, 4, (sequence + at - data) & 0xFFFFFFFF)
        tcp[13] = flags & ~(_CWR if number else 0) & ~(0 if last else _FIN | _PSH)
        pieces.append(_filled(bytes(head), bytes(tcp) + packet[at : at + size]))
    return pieces


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
