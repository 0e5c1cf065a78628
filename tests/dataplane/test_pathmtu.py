"""What ICMP messages to the engine tell of its tunnels."""

from __future__ import annotations

import socket

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

from dataplane.network import pathmtu

ENGINE, SERVER, ROUTER, OTHER = "10.1.0.2", "10.2.0.11", "10.9.0.1", "10.2.0.99"
OWN, SERVERS = {socket.inet_aton(ENGINE)}, {socket.inet_aton(SERVER)}


def message(code: int, quoted: IP, *, mtu: int = 0, kind: int = 3) -> bytes:
    return bytes(ICMP(type=kind, code=code, nexthopmtu=mtu)) + bytes(quoted)


def tunnel(protocol: int = 4, source: str = ENGINE, server: str = SERVER) -> IP:
    return IP(bytes(IP(src=source, dst=server, proto=protocol) / bytes(8)))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (message(4, tunnel(), mtu=1400), 1400),
        (message(4, tunnel(47), mtu=1400), 1400),
        (message(4, tunnel(), mtu=300), pathmtu.FLOOR),
        (message(4, tunnel(), mtu=0), pathmtu.FLOOR),
        (message(4, tunnel(6), mtu=1400), None),
        (message(4, tunnel(source=OTHER), mtu=1400), None),
        (message(4, tunnel(server=OTHER), mtu=1400), None),
        (message(1, tunnel(), mtu=1400), None),
        (message(4, tunnel(), mtu=1400, kind=11), None),
        (message(4, tunnel(), mtu=1400)[:27], None),
        (b"\x03\x04", None),
    ],
)
def test_a_router_tells_what_fits(told: bytes, expected: int | None) -> None:
    report = pathmtu.reported(told, OWN, SERVERS)
    assert report == (None if expected is None else (socket.inet_aton(SERVER), expected))


@pytest.mark.parametrize(
    ("code", "protocol", "reporter", "expected"),
    [
        (2, 4, SERVER, "the server does not decapsulate IP-in-IP: it answers ICMP protocol unreachable"),
        (2, 47, SERVER, "the server does not decapsulate GRE: it answers ICMP protocol unreachable"),
        (3, 47, SERVER, "the server does not decapsulate GRE: it answers ICMP port unreachable"),
        (1, 4, ROUTER, f"the IP-in-IP tunnel does not reach the server: {ROUTER} answers host unreachable"),
        (13, 4, ROUTER, f"the IP-in-IP tunnel does not reach the server: {ROUTER} answers communication prohibited"),
        (2, 4, ROUTER, f"the IP-in-IP tunnel does not reach the server: {ROUTER} answers unreachable, code 2"),
        (4, 4, ROUTER, None),
        (1, 17, ROUTER, None),
    ],
)
def test_why_a_tunnel_does_not_work(code: int, protocol: int, reporter: str, expected: str | None) -> None:
    found = pathmtu.refused(message(code, tunnel(protocol)), socket.inet_aton(reporter), OWN, SERVERS)
    assert (found.reason if found else None) == expected


@pytest.mark.parametrize("quoted", [IP(src=ENGINE, dst=SERVER) / TCP(), IP(src=SERVER, dst=ENGINE) / UDP()])
def test_what_is_no_tunnel_of_ours_says_nothing(quoted: IP) -> None:
    assert pathmtu.refused(message(1, quoted), socket.inet_aton(ROUTER), OWN, SERVERS) is None


def test_tunnels_are_measured_when_their_time_has_come() -> None:
    known = pathmtu.PathMtus(lambda: None)
    one, other = (b"\x0a\x02\0\x0b", "l3-ipip"), (b"\x0a\x02\0\x0c", "l3-gre")
    assert known.due({one, other}) == known.due({one, other})
    known.measured(one)
    assert known.due({one, other}) == [other]
    known.due({other})
    assert known.due({one}) == [one]
