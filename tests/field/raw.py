"""Frames as a client's card would send them, tags and all, and what comes back to it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable

from dataplane.forwarding.rewrite import checksum

ETH_P_ALL, ETH_P_IP, ETH_P_ARP, ETH_P_8021Q = 0x0003, 0x0800, 0x0806, 0x8100
BROADCAST = b"\xff" * 6


def tagged(frame: bytes, identifier: int, priority: int = 5) -> bytes:
    """An untagged frame with an 802.1Q tag."""
    return frame[:12] + struct.pack("!HH", ETH_P_8021Q, priority << 13 | identifier) + frame[12:]


def datagram(target_mac: bytes, source_mac: bytes, source: bytes, target: bytes, port: int, data: bytes) -> bytes:
    """A UDP datagram, from the port to the same, without a checksum (RFC 768 allows that)."""
    udp = struct.pack("!HHHH", port, port, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, socket.IPPROTO_UDP, 0, source, target)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return target_mac + source_mac + struct.pack("!H", ETH_P_IP) + head + udp


def arp_request(source_mac: bytes, source: bytes, target: bytes) -> bytes:
    """Who has an address (RFC 826)."""
    fixed = struct.pack("!HHBBH", 1, ETH_P_IP, 6, 4, 1)
    return BROADCAST + source_mac + struct.pack("!H", ETH_P_ARP) + fixed + source_mac + source + bytes(6) + target


def exchanged(interface: str, frames: Iterable[bytes], wanted: bytes, patience: float = 10) -> list[bytes]:
    """Send frames in this order. Returns the frames that came until one held what is wanted, that one the last; the
    calling thread's network namespace. Raises TimeoutError."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as wire:
        wire.bind((interface, ETH_P_ALL))
        for frame in frames:
            wire.send(frame)
        came: list[bytes] = []
        deadline = time.monotonic() + patience
        while not (came and wanted in came[-1]):
            wire.settimeout(max(0.001, deadline - time.monotonic()))
            data, (_, _, kind, _, _) = wire.recvfrom(65535)
            if kind != socket.PACKET_OUTGOING:
                came.append(data)
        return came
