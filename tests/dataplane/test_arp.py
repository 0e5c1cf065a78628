"""ARP frames, and what they say."""

from scapy.layers.l2 import ARP, Ether

from dataplane.vip import arp, gratuitous

MAC, SENDER, TARGET = b"\x02\0\0\0\0\x01", b"\n\t\0\1", b"\n\t\0\x64"


def test_a_request_is_what_others_read() -> None:
    read = Ether(arp.request(MAC, SENDER, TARGET))
    assert (read.dst, read.src, read[ARP].op) == ("ff:ff:ff:ff:ff:ff", MAC.hex(":"), 1)
    assert (read[ARP].hwsrc, read[ARP].psrc, read[ARP].pdst) == (MAC.hex(":"), "10.9.0.1", "10.9.0.100")


def test_what_is_read() -> None:
    assert arp.parse(arp.request(MAC, SENDER, TARGET)) == arp.Packet(arp.REQUEST, MAC, SENDER, TARGET)
    padded = bytes(Ether() / ARP(op=2, hwsrc=MAC.hex(":"), psrc="10.9.0.100", pdst="10.9.0.1")) + bytes(18)
    assert arp.parse(padded) == arp.Packet(arp.REPLY, MAC, TARGET, SENDER)
    assert [packet and packet.operation for packet in map(arp.parse, gratuitous.frames(MAC, TARGET))] == [1, 2]


def test_what_is_no_arp_for_ipv4_is_nothing() -> None:
    frame = arp.request(MAC, SENDER, TARGET)
    assert arp.parse(frame[:41]) is None
    assert arp.parse(frame[:12] + b"\x08\x00" + frame[14:]) is None
    assert arp.parse(frame[:20] + b"\0\3" + frame[22:]) is None
