"""The packet sockets' filter, run by the kernel on a pair of Unix sockets: no frame about a VIP is kept back."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator, Sequence

import pytest

from dataplane.drivers.pcap import socketfilter
from dataplane.forwarding import decision
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flows
from dataplane.runtime.rawsocket import attach_filter

from ..packets.cases import CASES, arp_request, frame, tcp
from ..packets.world import ETH0, VIP, WORLD, ip, mac
from ..xdp.frames import random_frame
from ..xdp.worlds import random_world

Taken = Callable[[bytes], bool]


@pytest.fixture
def filtered() -> Iterator[Callable[[Sequence[bytes]], Taken]]:
    """Whether a program takes a frame."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.setblocking(False)

    def attached(program: Sequence[bytes]) -> Taken:
        attach_filter(theirs, program)
        return taken

    def taken(sent: bytes) -> bool:
        ours.send(sent)
        try:
            assert theirs.recv(1 << 16) == sent
        except BlockingIOError:
            return False
        return True

    with ours, theirs:
        yield attached


def untagged(sent: bytes) -> bytes:
    """As the kernel shows it to the filter."""
    return sent[:12] + sent[16:] if sent[12:14] in (b"\x81\x00", b"\x88\xa8") else sent


def test_what_is_not_the_hosts_is_taken(filtered: Callable[[Sequence[bytes]], Taken]) -> None:
    rnd = random.Random(7)
    kept_back = 0
    for _ in range(60):
        world = random_world(rnd)
        values, interface = LookupTables(), world.interfaces[0]
        world.put(values)
        taken = filtered(socketfilter.program(interface.mac, values.vips))
        for _ in range(100):
            sent = random_frame(rnd, world)
            if not taken(untagged(sent)):
                assert decision.decide(sent, interface, values, Flows()).action == decision.HOST, sent.hex()
                kept_back += 1
    assert kept_back > 300


@pytest.mark.parametrize("vips", [None, WORLD.vips])
def test_the_packet_table_passes(filtered: Callable[[Sequence[bytes]], Taken], vips: object) -> None:
    addresses = [v.address for v in WORLD.vips] if vips else None
    for row in CASES:
        taken = filtered(socketfilter.program(row.interface.mac, addresses))
        if row.expected.action != decision.HOST:
            assert taken(untagged(row.frame)), row.what


@pytest.mark.parametrize("number", [0, 1, 2, 8, 9, 17, 100, 1000])
def test_any_number_of_vips(filtered: Callable[[Sequence[bytes]], Taken], number: int) -> None:
    rnd = random.Random(number)
    vips = {rnd.randbytes(4) for _ in range(number)}
    program = socketfilter.program(ETH0.mac, vips)
    assert len(program) <= 4096
    taken = filtered(program)
    for vip in vips:
        assert taken(frame(tcp(dst=socket.inet_ntoa(vip))))
        for near in (int.from_bytes(vip, "big") - 1, int.from_bytes(vip, "big") + 1):
            other = (near & 0xFFFFFFFF).to_bytes(4, "big")
            assert taken(frame(tcp(dst=socket.inet_ntoa(other)))) == (other in vips)


def test_more_vips_than_are_searched_for_are_all_taken(filtered: Callable[[Sequence[bytes]], Taken]) -> None:
    taken = filtered(socketfilter.program(ETH0.mac, (n.to_bytes(4, "big") for n in range(socketfilter.MOST + 1))))
    assert taken(frame(tcp()))
    assert not taken(frame(tcp(), dst=mac(9)))


def test_what_is_the_hosts_is_kept_back(filtered: Callable[[Sequence[bytes]], Taken]) -> None:
    taken = filtered(socketfilter.program(ETH0.mac, [ip(VIP)]))
    assert taken(frame(tcp()))
    assert taken(arp_request(VIP))
    for other in (
        frame(tcp(), dst=mac(9)),
        frame(tcp(), dst=ETH0.mac[:4] + b"\xff\xff"),
        frame(tcp(), dst=b"\xff" * 6),
        frame(tcp(dst="10.0.0.1")),
        arp_request("10.0.0.1"),
        frame(tcp())[:33],
        ETH0.mac + mac(9) + b"\x86\xdd" + bytes(60),
    ):
        assert not taken(other)
