"""Every claim of the demonstration can fail: one thing wrong in the frames, and the claim about it does not hold."""

from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.lab import evidence, topology
from dataplane.lab.evidence import Frame, Seen

LAB = topology.load(topology.find("l2_dsr"))
ONE, TWO, _ = LAB.servers
CLIENT, ENGINE = LAB.client, LAB.engine


def request(port: int, source_mac: str = CLIENT.mac, target_mac: str = ENGINE.mac) -> Frame:
    return Frame(source_mac, target_mac, CLIENT.address, LAB.vip, port, 80, 64, b"request from %d" % port)


def answer(port: int, source_mac: str) -> Frame:
    return Frame(source_mac, CLIENT.mac, LAB.vip, CLIENT.address, 80, port, 64, b"answer to %d" % port)


ANSWERED = {(CLIENT.address, 1): ONE.name, (CLIENT.address, 2): TWO.name}
GOOD = Seen(
    to_engine=[request(1), request(2)],
    from_engine=[request(1, ENGINE.mac, ONE.mac), request(2, ENGINE.mac, TWO.mac)],
    answers_at_engine=[],
    answers=[answer(1, ONE.mac), answer(2, TWO.mac)],
)


def failing(seen: Seen = GOOD, answered: dict[evidence.Flow, str] = ANSWERED, asked: int = 2) -> set[str]:
    """The first words of the claims that do not hold."""
    found = evidence.findings(seen, answered, asked, LAB)
    return {" ".join(finding.claim.split()[:3]) for finding in found if not finding.holds}


def test_what_is_right_is_found_right() -> None:
    assert failing() == set()


FIRST, SECOND = GOOD.from_engine
UNANSWERED = {(CLIENT.address, 1): ONE.name}
CHANGED = replace(SECOND, ttl=63, packet=b"other")


def sent(*frames: Frame) -> Seen:
    return replace(GOOD, from_engine=list(frames))


def returned(*frames: Frame) -> Seen:
    return replace(GOOD, answers=list(frames))


FORWARDED, UNCHANGED = "the engine forwarded", "IP addresses, TTL"
FLOWS, ANSWERS = "all frames of", "answers reach the"


@pytest.mark.parametrize(
    ("seen", "answered", "claims"),
    [
        (GOOD, UNANSWERED, {"every request was", "at least 2", ANSWERS}),
        (GOOD, dict.fromkeys(ANSWERED, ONE.name), {"at least 2", FLOWS, ANSWERS}),
        (sent(FIRST), ANSWERED, {FORWARDED, UNCHANGED, FLOWS}),
        (sent(FIRST, SECOND, FIRST), ANSWERED, {FORWARDED, UNCHANGED}),
        (sent(FIRST, request(2, CLIENT.mac, TWO.mac)), ANSWERED, {"requests leave with"}),
        (sent(FIRST, request(2, ENGINE.mac, CLIENT.mac)), ANSWERED, {"requests leave with", FLOWS}),
        (sent(FIRST, request(2, ENGINE.mac, ONE.mac)), ANSWERED, {FLOWS}),
        (sent(FIRST, CHANGED), ANSWERED, {UNCHANGED}),
        (replace(GOOD, to_engine=[request(1), request(2, TWO.mac)]), ANSWERED, {"requests arrive with"}),
        (replace(GOOD, answers_at_engine=[answer(1, ONE.mac)]), ANSWERED, {"not one byte"}),
        (returned(), ANSWERED, {"not one byte", ANSWERS}),
        (returned(answer(1, ONE.mac), answer(2, ENGINE.mac)), ANSWERED, {ANSWERS}),
        (returned(answer(1, ONE.mac), answer(2, ONE.mac)), ANSWERED, {ANSWERS}),
    ],
)
def test_one_thing_wrong_fails_the_claims_about_it(
    seen: Seen, answered: dict[evidence.Flow, str], claims: set[str]
) -> None:
    assert failing(seen, answered) == claims


FAR = topology.load(topology.find("l3_dsr"))
assert FAR.router is not None
ROUTER = FAR.router.near.mac


def tunnelled(port: int, server: int, source: str = ENGINE.address, target_mac: str = ROUTER) -> Frame:
    return replace(request(port, ENGINE.mac, target_mac), tunnel=(source, FAR.servers[server].address))


def through_router(port: int, source_mac: str = ROUTER) -> Frame:
    return replace(answer(port, source_mac), ttl=63)


GOOD_FAR = Seen(
    [request(1), request(2)], [tunnelled(1, 0), tunnelled(2, 1)], [], [through_router(1), through_router(2)]
)
LEAVE = "requests leave by"


@pytest.mark.parametrize(
    ("seen", "claims"),
    [
        (GOOD_FAR, set()),
        (replace(GOOD_FAR, from_engine=[tunnelled(1, 0), tunnelled(2, 1, CLIENT.address)]), {LEAVE}),
        (replace(GOOD_FAR, from_engine=[tunnelled(1, 0), tunnelled(2, 1, target_mac=CLIENT.mac)]), {LEAVE}),
        (replace(GOOD_FAR, from_engine=[tunnelled(1, 0), request(2, ENGINE.mac, ROUTER)]), {LEAVE, FLOWS}),
        (replace(GOOD_FAR, from_engine=[tunnelled(1, 0), tunnelled(2, 0)]), {FLOWS}),
        (replace(GOOD_FAR, answers=[through_router(1), through_router(2, ENGINE.mac)]), {ANSWERS}),
        (replace(GOOD_FAR, answers=[replace(through_router(1), tunnel=("a", "b"))]), {ANSWERS}),
    ],
)
def test_one_thing_wrong_behind_a_router_fails_the_claims_about_it(seen: Seen, claims: set[str]) -> None:
    found = evidence.findings(seen, ANSWERED, 2, FAR)
    assert {" ".join(finding.claim.split()[:3]) for finding in found if not finding.holds} == claims


def test_nothing_seen_proves_nothing() -> None:
    found = evidence.findings(Seen([], [], [], []), {}, 0, LAB)
    assert [finding.claim for finding in found if finding.holds] == ["at least 0 servers answered"]


def test_frames_are_told_apart_by_the_engine_s_own_address() -> None:
    at_engine = [*GOOD.to_engine, *GOOD.from_engine, answer(1, ONE.mac)]
    assert evidence.sort(at_engine, GOOD.answers, LAB) == replace(GOOD, answers_at_engine=[answer(1, ONE.mac)])


@pytest.mark.parametrize(("example", "kind"), [("l2_dsr", "TCP"), ("udp_echo", "UDP")])
def test_a_capture_is_read_as_scapy_wrote_it(example: str, kind: str, tmp_path: Path) -> None:
    """Only the service's frames, in both directions; padding is not part of the packet; options of IP are."""
    from scapy.layers import inet, l2
    from scapy.packet import Padding
    from scapy.utils import wrpcap

    there = topology.load(topology.find(example))
    layer, other = getattr(inet, kind), {"TCP": inet.UDP, "UDP": inet.TCP}[kind]
    ethernet = l2.Ether(src=there.client.mac, dst=there.engine.mac)
    to_vip = inet.IP(src=there.client.address, dst=there.vip, ttl=9)
    request = to_vip / layer(sport=1234, dport=there.port) / b"?"
    with_options = inet.IP(src=there.vip, dst=there.client.address, options=[inet.IPOption_NOP()] * 4)
    answer = with_options / layer(sport=there.port, dport=1234) / b"!"
    noise = [
        ethernet / l2.ARP(),
        ethernet / to_vip / inet.ICMP(),
        ethernet / to_vip / other(sport=1234, dport=there.port),
        ethernet / to_vip / layer(sport=1234, dport=there.port + 1),
        ethernet / inet.IP(src=there.engine.address, dst=there.vip) / layer(sport=1234, dport=there.port),
    ]
    outer = inet.IP(src=there.engine.address, dst=there.servers[0].address)
    frames = [ethernet / request / Padding(b"0" * 9), *noise, ethernet / answer]
    frames += [ethernet / outer / request, ethernet / outer / l2.GRE() / request, ethernet / outer]
    wrpcap(str(tmp_path / "some.pcap"), frames)
    macs, tunnel = (there.client.mac, there.engine.mac), (there.engine.address, there.servers[0].address)
    sent = Frame(*macs, there.client.address, there.vip, 1234, there.port, 9, bytes(request))
    assert evidence.read(tmp_path / "some.pcap", there) == [
        sent,
        Frame(*macs, there.vip, there.client.address, there.port, 1234, 64, bytes(answer)),
        replace(sent, tunnel=tunnel),
        replace(sent, tunnel=tunnel),
    ]
