"""What ICMP messages to the engine tell of its tunnels."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

from dataplane.network import pathmtu
from dataplane.plan import L3_IPIP
from dataplane.runtime.rawsocket import RawListener

ENGINE, SERVER, ROUTER, OTHER = "10.1.0.2", "10.2.0.11", "10.9.0.1", "10.2.0.99"
OWN, SERVERS = {socket.inet_aton(ENGINE)}, {socket.inet_aton(SERVER)}
TUNNEL = socket.inet_aton(SERVER), L3_IPIP


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
    assert (report and (report.tunnel[0], report.mtu)) == (expected and (socket.inet_aton(SERVER), expected))


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


@pytest.mark.parametrize(("protocol", "between"), [(4, b""), (47, b"\0\0\x08\0")])
def test_a_program_that_decapsulates_for_vips_alone_may_refuse_the_servers_own_address(
    protocol: int, between: bytes
) -> None:
    def found(code: int, target: str, reporter: str) -> pathmtu.Refusal | None:
        asked = bytes(IP(src=ENGINE, dst=target) / ICMP())
        quoted = IP(bytes(IP(src=ENGINE, dst=SERVER, proto=protocol)) + between + asked)
        return pathmtu.refused(message(code, quoted), socket.inet_aton(reporter), OWN, SERVERS)

    assert found(2, SERVER, SERVER) is None
    assert found(2, "10.1.0.100", SERVER) is not None
    assert found(1, SERVER, ROUTER) is not None, "the tunnel ends at a router, whatever is in it"


@pytest.mark.parametrize("quoted", [IP(src=ENGINE, dst=SERVER) / TCP(), IP(src=SERVER, dst=ENGINE) / UDP()])
def test_what_is_no_tunnel_of_ours_says_nothing(quoted: IP) -> None:
    assert pathmtu.refused(message(1, quoted), socket.inet_aton(ROUTER), OWN, SERVERS) is None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is."""
    now = [1000.0]
    monkeypatch.setattr(pathmtu, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> pathmtu.PathMtus:
    """What is known of one tunnel, measured or not."""
    monkeypatch.setattr(RawListener, "opened", lambda _: None)
    made = pathmtu.PathMtus(lambda: None)
    made.follow(OWN, SERVERS)
    return made


def hear(known: pathmtu.PathMtus, mtu: int, number: int) -> None:
    """A router reports what quotes this identification."""
    quoted = tunnel()
    quoted.id = number
    known.heard(bytes(IP(src=ROUTER, dst=ENGINE) / ICMP(message(4, quoted, mtu=mtu))))


def round_of(known: pathmtu.PathMtus, full: int = 1500) -> dict[int, int]:
    """The measuring packets that are due: sizes, and the identification of each."""
    (due,) = known.due({TUNNEL})
    return {size: number for number, size in known.measuring(due, full).items()}


def test_a_forged_report_shrinks_no_tunnel(clock: list[float], known: pathmtu.PathMtus) -> None:
    """Whoever sends it knows no measuring packet; it has the path measured, once in a while."""
    number = round_of(known)[1500]
    for guess in {1, number ^ 1, number ^ 0x8000, 0}:
        hear(known, 600, guess)
    assert not known.get(TUNNEL[0])
    assert known.due({TUNNEL}) == []
    clock[0] += pathmtu.HINTED_EVERY
    round_of(known)
    hear(known, 600, number)  # of a round that is over
    assert not known.get(TUNNEL[0])


def test_a_report_that_no_second_one_confirms_is_not_believed(clock: list[float], known: pathmtu.PathMtus) -> None:
    number = round_of(known)[1500]
    hear(known, 600, number)
    hear(known, 600, number)
    clock[0] += pathmtu.CONFIRM_AFTER
    hear(known, 1400, round_of(known)[1500])
    assert not known.get(TUNNEL[0])
    clock[0] += pathmtu.CONFIRM_AFTER
    hear(known, 1400, round_of(known)[1500])
    assert known.get(TUNNEL[0]) == 1400


def test_a_narrower_link_behind_a_narrow_one_is_found(clock: list[float], known: pathmtu.PathMtus) -> None:
    for _ in range(2):
        hear(known, 1400, round_of(known)[1500])
        clock[0] += pathmtu.CONFIRM_AFTER
    for _ in range(2):
        sent = round_of(known)
        hear(known, 1400, sent[1500])
        hear(known, 1300, sent[1400])
        clock[0] += pathmtu.CONFIRM_AFTER
    assert known.get(TUNNEL[0]) == 1300
    clock[0] += pathmtu.LIFE
    assert not known.get(TUNNEL[0])


def test_what_is_no_larger_than_reported_is_no_report(clock: list[float], known: pathmtu.PathMtus) -> None:
    for _ in range(3):
        hear(known, 1500, round_of(known)[1500])
        clock[0] += pathmtu.MEASURE_EVERY
    assert not known.get(TUNNEL[0])


def test_a_path_is_unreported_when_it_was_measured_since_and_nobody_reported(
    clock: list[float], known: pathmtu.PathMtus
) -> None:
    round_of(known)
    clock[0] += 1
    since = clock[0]
    assert not known.unreported(TUNNEL, since)
    assert known.due({TUNNEL}) == []
    clock[0] += pathmtu.HINTED_EVERY  # a loss has the path measured, no more often than a hint has
    number = round_of(known)[1500]
    clock[0] += 1
    assert not known.unreported(TUNNEL, since)
    clock[0] += 1
    assert known.unreported(TUNNEL, since)
    hear(known, 1400, number)
    assert not known.unreported(TUNNEL, since)
    clock[0] += pathmtu.CONFIRM_AFTER
    round_of(known)
    clock[0] += 2
    assert known.unreported(TUNNEL, since)


def test_what_was_tried_and_what_a_router_reports_are_held_apart(clock: list[float], known: pathmtu.PathMtus) -> None:
    server = TUNNEL[0]
    known.learn(server, 1397)
    assert (known.get(server), known.reported(server)) == (1397, 0)
    for _ in range(2):
        hear(known, 1400, round_of(known)[1500])
        clock[0] += pathmtu.CONFIRM_AFTER
    assert (known.get(server), known.reported(server)) == (1397, 1400)
    known.learn(server, 0)
    assert known.get(server) == 1400


def test_tunnels_are_measured_when_their_time_has_come() -> None:
    known = pathmtu.PathMtus(lambda: None)
    one, other = (b"\x0a\x02\0\x0b", "l3-ipip"), (b"\x0a\x02\0\x0c", "l3-gre")
    assert known.due({one, other}) == known.due({one, other})
    known.measuring(one, 1500)
    assert known.due({one, other}) == [other]
    known.due({other})
    assert known.due({one}) == [one]
