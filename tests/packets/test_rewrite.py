"""Frames rewritten: fragments put together again are the packet, whatever its size, options and MTU."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert, IPOption_RR, defragment
from scapy.packet import Packet, Raw

from dataplane.errors import DataplaneError
from dataplane.forwarding import rewrite
from dataplane.plan import L2, L3_GRE, L3_IPIP

OPTIONS = st.sampled_from(
    [[], [IPOption_RR(length=7, routers=["0.0.0.0"])], [IPOption_Router_Alert()],
     [IPOption_Router_Alert(), IPOption_RR(length=11, routers=["0.0.0.0"] * 2)]]
)  # fmt: skip


def right(packet: bytes) -> bool:
    """Whether the header's checksum and length are right."""
    header = (packet[0] & 15) * 4
    return rewrite.checksum(packet[:header]) == 0 and int.from_bytes(packet[2:4], "big") == len(packet)


@given(st.integers(1, 5000), st.integers(68, 1600), OPTIONS)
def test_fragments_make_the_packet_again(size: int, mtu: int, options: list[Packet]) -> None:
    data = Raw(bytes(n % 251 for n in range(size)))
    whole = IP(src="192.0.2.1", dst="10.0.0.100", id=7, options=options) / UDP(dport=9) / data
    pieces = rewrite.fragmented(bytes(whole), mtu)
    assert all(len(piece) <= mtu and right(piece) for piece in pieces)
    assert all(len(piece) > mtu - 8 - 40 for piece in pieces[:-1])
    if len(pieces) > 1:
        (joined,) = defragment([IP(piece) for piece in pieces])
        assert bytes(joined.payload) == bytes(whole.payload)
        copied = [o.copy_flag for o in IP(pieces[-1]).options if o.option != 0]
        assert all(copied), "only options with the copied flag go into later fragments"


@given(st.integers(300, 2000), st.integers(68, 250))
def test_fragments_of_a_fragment_stand_where_it_stood(size: int, mtu: int) -> None:
    whole = IP(src="192.0.2.1", dst="10.0.0.100", id=7) / UDP(dport=9) / Raw(bytes(n % 251 for n in range(size)))
    first, *others = (bytes(piece) for piece in whole.fragment(fragsize=256))
    pieces = [first] + [piece for other in others for piece in rewrite.fragmented(other, mtu)]
    (joined,) = defragment([IP(piece) for piece in pieces])
    assert bytes(joined.payload) == bytes(whole.payload)


def test_an_mtu_below_ipv4s_is_refused() -> None:
    with pytest.raises(DataplaneError, match="68"):
        rewrite.fragmented(bytes(IP() / UDP()), 67)


@given(st.binary(max_size=64), st.integers(0, 65535), st.integers(0, 65535))
def test_a_pings_answer_has_right_checksums(data: bytes, number: int, sequence: int) -> None:
    asked = IP(src="192.0.2.1", dst="10.0.0.100", id=number, ttl=3) / ICMP(id=number, seq=sequence) / Raw(data)
    answer = rewrite.echo_reply(bytes(asked))
    told = IP(answer)
    assert (told.src, told.dst, told.ttl, told[ICMP].type) == ("10.0.0.100", "192.0.2.1", 64, 0)
    assert right(answer)
    message = answer[20:] + bytes(len(answer) % 2)
    assert rewrite.checksum(message) == 0
    assert answer[24:] == bytes(asked)[24:]


@pytest.mark.parametrize("mode", [L3_IPIP, L3_GRE])
def test_a_tunnels_header_is_right(mode: str) -> None:
    inner = bytes(IP(src="192.0.2.1", dst="10.0.0.100", tos=9) / TCP(dport=80))
    outer = rewrite.tunnelled(inner, mode, b"\x0a\0\0\x01", b"\x0a\0\0\x0b", 5)
    assert right(outer)
    assert len(outer) == len(inner) + rewrite.overhead(mode)
    assert outer.endswith(inner)
    assert rewrite.overhead(L2) == 0


def test_a_too_big_message_is_right() -> None:
    packet = bytes(IP(src="192.0.2.1", dst="10.0.0.100", flags="DF") / TCP(dport=80) / Raw(bytes(1500)))
    message = rewrite.too_big(packet, packet[16:20], packet[12:16], 1480)
    assert right(message)
    assert rewrite.checksum(message[20:]) == 0
    assert IP(message)[ICMP].nexthopmtu == 1480
