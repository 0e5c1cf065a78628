"""The impact of a change of the plan, against tables that are made anew and laid over each other."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane import plan
from dataplane.forwarding import maglev
from dataplane.impact import impact, question
from dataplane.impact.question import Known

SLOTS, NOW = 251, 1000.0
PING = plan.Monitor("m", plan.MONITOR_PING)


def server(number: int, **changed: Any) -> plan.Server:
    return plan.Server(f"10.0.0.{number}", 80, **changed)


def service(*servers: plan.Server, **changed: Any) -> plan.Service:
    values: dict[str, Any] = {
        "virtualservice": "vs1", "uuid": "virtualservice-1", "tenant": "admin", "vip": "10.0.0.100", "protocol": "tcp",
        "port": 80, "port_end": 80, "mode": plan.L2, "hash_key": plan.BY_ADDRESS, "idle_timeout": 300, "pool": "p1",
        "pool_uuid": "pool-1", "slots": SLOTS, "seed": 7, "servers": servers, "monitors": (PING,),
    }  # fmt: skip
    return plan.Service(**values | changed)


def of(before: plan.Service | None, after: plan.Service | None, *known: Known) -> impact.Impact:
    was, will = ({one.key: one} if one else {} for one in (before, after))
    return impact.of(was, will, known, NOW)


def known(up: list[int] | None, prepared: dict[int, bool] | None = None, **flows: int) -> Known:
    return Known(
        "se-1",
        {("pool-1", "10.0.0.100"): None if up is None else frozenset(f"10.0.0.{n}" for n in up)},
        {("pool-1", f"10.0.0.{name[1:]}"): count for name, count in flows.items()},
        {("10.0.0.100", plan.L2, f"10.0.0.{n}"): (one, "") for n, one in (prepared or {}).items()},
    )


def owners(servers: dict[str, int]) -> list[str]:
    """Who owns each slot of servers with these weights."""
    table = maglev.build_table([(socket.inet_aton(a), weight) for a, weight in servers.items()], SLOTS, 7)
    names = list(servers)
    return [names[owner] if owner != maglev.NO_SERVER else "" for owner in table]


WEIGHTS = st.dictionaries(st.integers(1, 6).map(lambda n: f"10.0.0.{n}"), st.integers(1, 3), max_size=6)


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, WEIGHTS)
def test_so_many_slots_move_as_the_tables_differ_in(before: dict[str, int], after: dict[str, int]) -> None:
    first, last = owners(before), owners(after)
    changed = [(one, other) for one, other in zip(first, last, strict=True) if one != other]
    was, will = (service(*(plan.Server(a, 80, w) for a, w in one.items())) for one in (before, after))
    pools = of(was, will).pools
    if not changed:
        assert pools == ()
        return
    (pool,) = pools
    assert pool.moved == len(changed)
    assert pool.ended_slots == sum(one != "" and one not in after for one, _ in changed)
    assert set(pool.begin) == set(last) - set(first) - {""}
    assert set(pool.stop) == set(first) - set(last) - {""}
    assert set(pool.ended_servers) == {one for one in first if one and one not in after}


def test_who_is_down_counts_on_neither_side_and_who_is_not_prepared_gets_nothing() -> None:
    before, after = service(server(1), server(2)), service(server(1), server(2), server(3), server(4))
    (pool,) = of(before, after, known([1], {3: True, 4: False})).pools
    assert (pool.begin, pool.service_engines) == (("10.0.0.3",), ("se-1",))
    was, will = (replace(one, monitors=()) for one in (before, after))
    (pool,) = of(was, will, known([1, 2], {3: True, 4: False})).pools
    assert pool.begin == ("10.0.0.3", "10.0.0.4")  # nothing finds out that the last one is not prepared


def test_engines_that_see_different_servers_up_are_told_apart() -> None:
    before, after = service(server(1), server(2)), service(server(2))
    two = known([1])._replace(engine="se-2")
    told = {pool.service_engines: pool for pool in of(before, after, known([1, 2]), two).pools}
    assert told["se-1",].moved < told["se-2",].moved == SLOTS
    assert of(before, before, known([1, 2])).pools == ()
    (settling,) = of(before, after, known(None)).pools
    assert (settling.moved, settling.ended_slots) == (SLOTS, 0)  # it forwarded nothing until now


@pytest.mark.parametrize(
    ("changed", "ended", "draining", "seconds"),
    [
        ({"serve_until": 0.0}, ("10.0.0.2",), (), 0),
        ({"serve_until": NOW + 60}, (), ("10.0.0.2",), 60),
        ({"serve_until": plan.FOR_EVER}, (), ("10.0.0.2",), -1),
    ],
)
def test_a_server_that_is_disabled_drains_as_long_as_it_may(
    changed: dict[str, Any], ended: tuple[str, ...], draining: tuple[str, ...], seconds: float
) -> None:
    (pool,) = of(service(server(1), server(2)), service(server(1), server(2, enabled=False, **changed))).pools
    assert (pool.ended_servers, pool.draining, pool.drain_seconds) == (ended, draining, seconds)
    assert (pool.ended_slots > 0) == bool(ended)


def test_the_connections_of_one_that_drains_end_when_it_goes() -> None:
    drains = server(2, enabled=False, serve_until=NOW + 60)
    (pool,) = of(service(server(1), drains), service(server(1)), known([1, 2], s2=7)).pools
    assert (pool.moved, pool.ended_flows) == (0, 7)


def test_what_ends_all_connections_of_a_service_is_named() -> None:
    one = service(server(1))
    assert [end.why for end in of(one, None).connections_end] == ["it is not forwarded any more"]
    assert of(one, None).vips_vanish == of(one, replace(one, enabled=False)).vips_vanish == ("10.0.0.100",)
    assert [end.why for end in of(one, replace(one, enabled=False)).connections_end] == ["it is disabled"]
    other = replace(one, pool="p2", pool_uuid="pool-2")
    assert [end.why for end in of(one, other).connections_end] == ["its pool is p2 instead of p1"]
    assert {(pool.uuid, pool.change) for pool in of(one, other).pools} == {("pool-1", "gone"), ("pool-2", "new")}
    (pool,) = of(one, replace(one, hash_key=plan.BY_ADDRESS_AND_PORT)).pools
    assert (pool.rehashed, pool.moved) == (True, 0)


def test_a_server_is_to_be_prepared_for_what_it_did_not_need_before() -> None:
    one = service(server(1), server(2, enabled=False))
    beside = replace(one, port=443, port_end=443)
    assert question.to_prepare({one.key: one}, {one.key: one, beside.key: beside}) == []
    assert [(p.mode, p.server) for p in of(one, replace(one, mode=plan.L3_GRE)).preparation] == [
        (plan.L3_GRE, "10.0.0.1")
    ]
    assert of(one, replace(one, monitors=())).pools == ()
    assert not of(one, replace(one, idle_timeout=7))
