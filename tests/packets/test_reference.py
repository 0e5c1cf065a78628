"""The packet table on the reference decision."""

from dataclasses import replace

import pytest
from scapy.layers.inet import IP

from dataplane.forwarding import decision
from dataplane.forwarding.dropreasons import DROP_REASONS
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import SECOND, Flows
from dataplane.forwarding.values import Counters, Interface, Tally

from .cases import CASES, Case, frame, outcome, tcp, to, udp
from .world import ETH0, WEB1, WEB2, WEB3, WORLD, ip

NOW = 7 * SECOND


def decide(sent: bytes, interface: Interface, values: LookupTables, segment: int = 0) -> decision.Verdict:
    return decision.decide(sent, interface, values, Flows(), segment=segment)


@pytest.fixture(scope="module")
def values() -> LookupTables:
    values = LookupTables()
    WORLD.put(values)
    return values


@pytest.mark.parametrize("row", CASES, ids=lambda row: row.what)
def test_case(row: Case, values: LookupTables) -> None:
    flows = Flows()
    values.answer_until(row.answers_until(NOW))
    for earlier in row.before:
        decision.decide(earlier, row.interface, values, flows, NOW)
    assert outcome(decision.decide(row.frame, row.interface, values, flows, NOW)) == row.expected


def test_the_table_is_a_table() -> None:
    names = [row.what for row in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 120
    reasons = {row.expected.reason for row in CASES} - {""}
    assert reasons <= set(DROP_REASONS)
    assert {"malformed", "bad_source", "looped", "vip_down", "no_service", "no_server", "no_next_hop"} <= reasons


def test_a_key_with_the_port_spreads_one_client_over_the_servers(values: LookupTables) -> None:
    servers = {outcome(decide(frame(tcp(8005, sport=n)), ETH0, values)).server for n in range(1000, 1100)}
    assert servers == {WEB1, WEB2, WEB3}


def test_a_key_without_the_port_keeps_a_client_on_one_server(values: LookupTables) -> None:
    servers = {outcome(decide(frame(tcp(83, sport=n)), ETH0, values)).server for n in range(1000, 1100)}
    assert len(servers) == 1


def test_a_client_stays_on_its_server_over_a_services_whole_range(values: LookupTables) -> None:
    servers = {outcome(decide(frame(tcp(port)), ETH0, values)).server for port in range(8000, 8011)}
    assert len(servers) == 1


def test_a_large_frame_of_segments_that_fit_is_not_too_big(values: LookupTables) -> None:
    whole = tcp(data=bytes(9000))
    assert outcome(decide(frame(whole), ETH0, values, segment=1500)) == to(WEB1, whole)
    assert decide(frame(whole), ETH0, values, segment=1501).reason == "too_big_l2"


@pytest.mark.parametrize("size", [65_515, 65_516, 65_535])
def test_the_largest_packets_are_cut_in_front_of_a_tunnel(size: int, values: LookupTables) -> None:
    verdict = decide(frame(udp(90, data=bytes(size - 28))), ETH0, values)
    assert (verdict.action, verdict.size) == (decision.FORWARDED, size)
    inner = [IP(sent[14:])[IP].payload for sent in verdict.frames]
    assert max(map(len, verdict.frames)) <= 14 + 1500
    assert sum(len(piece) - 20 for piece in inner) == size - 20
    assert decide(frame(udp(90, data=bytes(size - 28), flags="DF")), ETH0, values).action == decision.ANSWERED


def test_what_fits_a_tunnel_has_an_outer_packet_of_65535_bytes_at_most() -> None:
    values = LookupTables()
    huge = tuple(replace(interface, mtu=65_536) for interface in WORLD.interfaces)
    replace(WORLD, interfaces=huge).put(values)
    for size, frames in ((65_515, 1), (65_516, 2)):
        verdict = decide(frame(udp(90, data=bytes(size - 28))), ETH0, values)
        assert (verdict.action, len(verdict.frames)) == (decision.FORWARDED, frames)


def test_counters_hold_packets_and_bytes_of_the_clients_ip_packet(values: LookupTables) -> None:
    counters = Counters()
    packets = tcp(data=b"12345"), tcp(9), tcp(9), udp(), tcp(443)
    for sent in (frame(tcp()) + bytes(9), *map(frame, packets)):
        decision.count(decide(sent, ETH0, values), counters)
    web = next(s.key for s in WORLD.services if s.key.port == 80)
    assert counters.services[web] == Tally(2, 40 + 45)
    assert counters.servers["pool-one", ip(WEB1)] == Tally(2, 85)
    assert counters.dropped == {"no_service": 2, "no_server": 1}
    assert counters.service_drops == {next(s.key for s in WORLD.services if s.key.port == 443): {"no_server": 1}}


def test_values_can_be_taken_away_again() -> None:
    values = LookupTables()
    WORLD.put(values)
    for service in WORLD.services:
        values.remove_service(service.key)
    assert decide(frame(tcp()), ETH0, values).reason == "no_service"
    assert decide(frame(udp(5500)), ETH0, values).reason == "no_service"
    for vip in WORLD.vips:
        values.remove_vip(vip.address)
    assert decide(frame(tcp()), ETH0, values).action == decision.HOST
