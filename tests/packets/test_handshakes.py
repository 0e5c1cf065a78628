"""The table of handshakes on the reference and on the flow cache; and which flows are sampled."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dataplane.drivers.pcap.flowcache import FlowCache
from dataplane.forwarding import decision
from dataplane.forwarding.handshakes import SAMPLED_BELOW, Handshakes, TcpFlow
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import SECOND, Flows
from dataplane.forwarding.values import Counters

from .handshakes import ACK, ROWS, Row, segment
from .world import ETH0, VIP, WEB1, WEB2, WORLD, ip, target

START = 1000
"""The second of the clock that is a row's first."""


def check(row: Row, counters: Counters, left: int) -> None:
    """What was counted, for that service and server alone, and what is remembered."""
    counted = {} if row.counted is None else {row.port: row.counted}
    assert {key.port: tally for key, tally in counters.service_handshakes.items()} == counted
    assert list(counters.server_handshakes.values()) == list(counted.values())
    assert [server for _, server in counters.server_handshakes] == [ip(row.server) for _ in counted]
    assert left == row.left


@pytest.fixture(scope="module")
def values() -> LookupTables:
    values = LookupTables()
    WORLD.put(values)
    return values


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_row(row: Row, cached: bool, values: LookupTables) -> None:
    flows, counters = Flows(), Counters()
    cache = FlowCache(values, flows)
    for seconds, sent in row.sent:
        now = int((START + seconds) * SECOND)
        verdict = cache.decide(sent, ETH0, now) if cached else decision.decide(sent, ETH0, values, flows, now)
        decision.count(verdict, counters)
    check(row, counters, len(flows.handshakes.openings))


def test_a_flow_that_is_moved_begins_anew() -> None:
    values, flows, counters = LookupTables(), Flows(), Counters()
    WORLD.put(values)
    (pool,) = (one for one in WORLD.pools if one.uuid == "pool-one")
    for n, server in enumerate((WEB1, WEB1, WEB2, WEB2)):
        values.put_pool(replace(pool, targets=(target(server),)))
        decision.count(decision.decide(segment("S"), ETH0, values, flows, n * SECOND), counters)
    values.put_pool(pool)
    decision.count(decision.decide(ACK, ETH0, values, flows, 4 * SECOND), counters)
    tallies = {server: tally for (_, server), tally in counters.server_handshakes.items()}
    assert [(tallies[ip(s)].begun, tallies[ip(s)].answered, tallies[ip(s)].unanswered) for s in (WEB1, WEB2)] == [
        (1, 0, 0),
        (1, 0, 0),
    ]
    assert not flows.handshakes.openings


@pytest.mark.parametrize("step", [1, 2, 28, 256])
def test_one_flow_in_64_is_sampled_whatever_the_ports_of_a_client_have_in_common(step: int) -> None:
    handshakes, rnd = Handshakes(), random.Random(step)
    assert SAMPLED_BELOW * 64 == 1 << 32
    found = flows = 0
    for _ in range(40):
        client, first = rnd.randbytes(4), rnd.randrange(1024, 2048)
        for port in range(first, 65536, max(step, 7)):
            ports = (port // step * step).to_bytes(2, "big") + bytes((0, 80))
            found += handshakes.samples(TcpFlow(client, ip(VIP), ports))
            flows += 1
    assert 0.9 < found * 64 / flows < 1.1


def test_a_flood_of_syns_pushes_out_the_oldest() -> None:
    handshakes = Handshakes(size=8, sampled_below=1 << 32)
    tcp = segment("S")[34:]
    for n in range(100):
        handshakes.note(TcpFlow(n.to_bytes(4, "big"), ip(VIP), bytes(4)), ip(WEB1), tcp, n)
    assert [int.from_bytes(flow.client, "big") for flow in handshakes.openings] == list(range(92, 100))
