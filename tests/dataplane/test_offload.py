"""What a sender's stack left undone, done here: checksums and pieces as scapy makes them."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from dataplane.drivers.pcap import offload

ETHERNET = bytes(range(12)) + b"\x08\x00"
TAGGED = bytes(range(12)) + b"\x81\x00\x00\x07\x08\x00"
DATA = bytes(n * 7 & 0xFF for n in range(3000))
UDP_L4 = 5


def undone(layers: Any, kind: int, size: int, ethernet: bytes = ETHERNET) -> tuple[bytes, offload.Undone]:
    """The frame as a stack leaves it: the layer-4 checksum wrong; and what it says of it."""
    packet = bytearray(bytes(layers))
    start = (packet[0] & 0x0F) * 4
    offset = 16 if packet[9] == 6 else 6
    packet[start + offset] ^= 0x55
    return ethernet + bytes(packet), offload.Undone(1, kind, 0, size, 14 + start, offset)


def whole(layers: Any, ethernet: bytes = ETHERNET) -> bytes:
    packet: bytes = ethernet + bytes(layers)
    return packet


@pytest.mark.parametrize("ethernet", [ETHERNET, TAGGED])
def test_a_checksum_is_filled_in(ethernet: bytes) -> None:
    for layer4 in (TCP(sport=1, dport=2, flags="PA"), UDP(sport=1, dport=2)):
        packet = IP(src="10.0.0.1", dst="10.0.0.2") / layer4 / Raw(DATA[:99])
        assert offload.finished(*undone(packet, 0, 0, ethernet)) == [whole(packet, ethernet)]


def test_tcp_is_cut_into_segments() -> None:
    def segment(at: int, flags: str, number: int) -> bytes:
        tcp = TCP(sport=1, dport=2, seq=(2**32 - 1000 + at) % 2**32, ack=5, flags=flags, options=[("NOP", None)] * 4)
        return whole(IP(src="10.0.0.1", dst="10.0.0.2", id=0xFFFF + number & 0xFFFF) / tcp / Raw(DATA[at : at + 1400]))

    large = IP(src="10.0.0.1", dst="10.0.0.2", id=0xFFFF)
    large /= TCP(sport=1, dport=2, seq=2**32 - 1000, ack=5, flags="CPFA", options=[("NOP", None)] * 4) / Raw(DATA)
    pieces = [segment(0, "CA", 0), segment(1400, "A", 1), segment(2800, "PFA", 2)]
    assert offload.finished(*undone(large, 1, 1400)) == pieces
    assert offload.segment_size(*undone(large, 1, 1400)) == len(pieces[0]) - 14


def test_udp_is_cut_into_datagrams() -> None:
    def datagram(at: int, number: int) -> bytes:
        udp = UDP(sport=1, dport=2) / Raw(DATA[at : at + 1400])
        return whole(IP(src="10.0.0.1", dst="10.0.0.2", id=7 + number) / udp)

    large = IP(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP(sport=1, dport=2) / Raw(DATA)
    pieces = [datagram(0, 0), datagram(1400, 1), datagram(2800, 2)]
    assert offload.finished(*undone(large, UDP_L4, 1400)) == pieces
    assert offload.segment_size(*undone(large, UDP_L4, 1400)) == len(pieces[0]) - 14
