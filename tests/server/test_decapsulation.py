"""The decapsulating program, frame by frame: what comes out of a tunnel, and what is left as it came."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from scapy.layers.inet import GRE, IP, TCP, UDP
from scapy.layers.l2 import Ether

from dataplane.bpf.objects import Object
from dataplane.bpf.programs import Program, Ran
from dataplane.forwarding import rewrite
from dataplane.plan import L3_GRE, L3_IPIP
from dataplane.server import decapsulation
from tests.netns import Namespace

pytestmark = pytest.mark.root

VIP, ENGINE, MEMBER, CLIENT, ROUTED = "10.10.10.100", "192.0.2.2", "10.10.10.11", "198.51.100.7", "10.10.10.12"
HEADER = bytes(Ether(dst="00:00:00:00:00:00", src="02:00:00:00:00:01", type=0x0800))
"""To the loopback's MAC address: a test run's frames arrive there."""
INNER = bytes(IP(src=CLIENT, dst=VIP) / TCP(sport=1234, dport=80) / b"hello")


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name wire; ip link set eth0 up; ip link set wire up")
        there.sh(f"ip addr add {MEMBER}/24 dev eth0; ip route add default via 10.10.10.1")
        there.sh("sysctl -qw net.ipv4.ip_forward=1")
        with Object(decapsulation.OBJECT) as loaded:
            loaded.load()
            with loaded.map("vips") as vips, loaded.program(decapsulation.NAME) as found:
                vips.update(socket.inet_aton(VIP), bytes(8))
                yield _InNamespace(there, found)


class _InNamespace(Program):
    """Test runs look routes up in the network namespace of their caller."""

    def __init__(self, there: Namespace, program: Program) -> None:
        self._there, self._program = there, program

    def test_run(self, frame: bytes, *, repeat: int = 1, first: int = 0, interface: int = 0) -> Ran:
        return self._there.run(lambda: self._program.test_run(frame, repeat=repeat, first=first))


def ran(program: Program, packet: bytes) -> bytes:
    """The packet as the stack would see it."""
    found = program.test_run(HEADER + packet)
    assert struct.pack("I", found.result) == struct.pack("i", -1)  # other programs have their turn
    assert found.data[:12] == HEADER[:12]
    return found.data[14:]


def tunnelled(mode: str, inner: bytes = INNER) -> bytes:
    return rewrite.tunnelled(inner, mode, socket.inet_aton(ENGINE), socket.inet_aton(MEMBER), 1)


@pytest.mark.parametrize("mode", [L3_IPIP, L3_GRE])
@pytest.mark.parametrize(
    "inner",
    [
        INNER,
        bytes(IP(src=CLIENT, dst=VIP, flags="MF", id=7) / UDP(dport=53) / bytes(1000)),
        bytes(IP(src=CLIENT, dst=VIP, frag=100, id=7, proto=17) / bytes(1000)),
        bytes(IP(src=CLIENT, dst=VIP, options=b"\x94\x04\0\0") / TCP(dport=80)),
    ],
    ids=["a segment", "a first fragment", "a later fragment", "options"],
)
def test_what_comes_out_of_a_tunnel_is_the_clients_packet(program: Program, mode: str, inner: bytes) -> None:
    assert ran(program, tunnelled(mode, inner)) == inner


@pytest.mark.parametrize("mode", [L3_IPIP, L3_GRE])
def test_padding_stays_behind(program: Program, mode: str) -> None:
    assert ran(program, tunnelled(mode) + bytes(6)) == INNER + bytes(6)


def outer(**fields: object) -> bytes:
    return bytes(IP(**{"src": ENGINE, "dst": MEMBER, "proto": 4} | fields) / INNER)


def gre(**fields: object) -> bytes:
    return bytes(IP(src=ENGINE, dst=MEMBER) / GRE(**fields) / INNER)


@pytest.mark.parametrize(
    "packet",
    [
        INNER,
        outer(flags="MF"),
        outer(frag=8),
        outer(chksum=1),
        outer(proto=41),
        outer(dst=ROUTED),
        outer(len=30),
        bytes(IP(src=ENGINE, dst=MEMBER) / IP(src=CLIENT, dst="10.10.10.101") / TCP()),
        bytes(IP(src=ENGINE, dst=MEMBER, proto=4) / (b"\x60" + bytes(60))),
        bytes(IP(src=ENGINE, dst=MEMBER, proto=4) / b"\x45"),
        gre(chksum_present=1),
        gre(key_present=1, key=7),
        gre(seqnum_present=1),
        gre(proto=0x86DD),
    ],
    ids=[
        "no tunnel", "an outer fragment", "a later outer fragment", "a wrong outer checksum", "another protocol",
        "a tunnel to somebody else", "longer inside than outside", "another address inside", "IPv6 inside",
        "nothing inside", "GRE with a checksum", "GRE with a key", "GRE with a sequence number",
        "GRE of something else",
    ],
)  # fmt: skip
def test_what_is_not_surely_ours_is_left_as_it_came(program: Program, packet: bytes) -> None:
    assert ran(program, packet) == packet


@pytest.mark.parametrize(
    ("outside", "inside", "then"), [(3, 2, 3), (3, 1, 3), (3, 0, 0), (3, 3, 3), (1, 2, 2), (0xFF, 0xB9, 0xBB)]
)
def test_congestion_marked_on_its_path_reaches_the_connection(
    program: Program, outside: int, inside: int, then: int
) -> None:
    inner = IP(src=CLIENT, dst=VIP, tos=inside) / TCP(dport=80)
    expected = IP(src=CLIENT, dst=VIP, tos=then) / TCP(dport=80)
    assert ran(program, bytes(IP(src=ENGINE, dst=MEMBER, tos=outside) / inner)) == bytes(expected)


def test_a_frame_that_is_not_for_this_host_is_left_alone(program: Program) -> None:
    frame = b"\x02" + HEADER[1:] + tunnelled(L3_IPIP)
    assert program.test_run(frame).data == frame
