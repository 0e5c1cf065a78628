"""Operational states and the words of their reasons."""

from __future__ import annotations

import dataclasses

import pytest

from dataplane import plan
from dataplane.engine import operstate
from dataplane.engine.operstate import DISABLED, DOWN, INITIALIZING, UNKNOWN, UP, Flows, Grace, Seen, State

from .test_plan import SERVICE

ENABLED = plan.Server("10.0.0.11", 80)
OUT = dataclasses.replace(ENABLED, enabled=False)
NO_GRACE = Grace(0, given=False, flows=None)
WELL = Seen(monitored=True, up=True, known=True)
DEAD = Seen(monitored=True, up=False, known=True, why="server does not answer")

SERVERS = [
    (ENABLED, True, WELL, NO_GRACE, State(UP)),
    (ENABLED, True, WELL._replace(why="MAC address changed"), NO_GRACE, State(UP, "MAC address changed")),
    (
        ENABLED, True, WELL._replace(failing=True, why="status 500"), NO_GRACE,
        State(UP, "enough monitors pass; others: status 500"),
    ),
    (ENABLED, True, DEAD, NO_GRACE, State(DOWN, "server does not answer")),
    (ENABLED, True, Seen(monitored=True, up=False, known=False), NO_GRACE, State(UNKNOWN, "not checked yet")),
    (ENABLED, True, Seen(monitored=False, up=True, known=True), NO_GRACE, State(UP, "not monitored")),
    (
        ENABLED, True, Seen(monitored=False, up=True, known=True, unresolved=True), NO_GRACE,
        State(UP, "not monitored; no reply to ARP for it"),
    ),
    (
        ENABLED, True, WELL._replace(up=False, fault="egress interface eth1 is gone"), NO_GRACE,
        State(DOWN, "egress interface eth1 is gone"),
    ),
    (ENABLED, False, WELL, NO_GRACE, State(DISABLED, "its pool is disabled")),
    (OUT, True, WELL, NO_GRACE, State(DISABLED, "its flows moved at once")),
    (OUT, True, WELL, Grace(0, given=True, flows=None), State(DISABLED, "its graceful time is over")),
    (
        OUT, True, WELL, Grace(251.2, given=True, flows=Flows(37)),
        State(DISABLED, "it serves its flows for 4 min 12 s more, 37 flows remain of those tracked"),
    ),
    (
        OUT, True, WELL, Grace(plan.FOR_EVER, given=True, flows=Flows(1)),
        State(DISABLED, "it serves its flows for ever, 1 flow remains of those tracked"),
    ),
    (
        OUT, True, WELL, Grace(60, given=True, flows=Flows(3, 2, 4.2)),
        State(
            DISABLED,
            "it serves its flows for 1 min more, 3 flows remain of those tracked: 2 idle for 10 s or more "
            "(ended or silent), 1 in use, the last packet 5 s ago",
        ),
    ),
    (
        OUT, True, WELL, Grace(5, given=True, flows=None),
        State(DISABLED, "it serves its flows for 5 s more"),
    ),
    (
        OUT, True, DEAD, Grace(251, given=True, flows=Flows(3)),
        State(DISABLED, "it is down too (server does not answer)"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("planned", "pool_enabled", "seen", "grace", "expected"), SERVERS)
def test_a_server(planned: plan.Server, pool_enabled: bool, seen: Seen, grace: Grace, expected: State) -> None:
    told = operstate.server(planned, pool_enabled, seen, grace)
    assert told == expected
    assert not told.reason.startswith(told.word), "views say the reason after the word: disabled: disabled, …"


A, B, C = "10.0.0.11", "10.0.0.12", "10.0.0.13"
SILENT, REFUSED = State(DOWN, "server does not answer"), State(DOWN, "connection refused")

POOLS = [
    ({A: State(UP), B: SILENT}, True, True, State(UP), "", ""),
    (
        {A: SILENT, B: REFUSED, C: SILENT}, True, False,
        State(DOWN, f"no server is up: {A}, {C} server does not answer; {B} connection refused"),
        DOWN, f"no server of its pool is up: {A}, {C} server does not answer; {B} connection refused",
    ),
    (
        {A: State(UP), B: State(UNKNOWN, "not checked yet")}, False, False,
        State(INITIALIZING, f"waiting for the first monitor results: {B}"),
        INITIALIZING, f"waiting for the first monitor results: {B}",
    ),
    ({}, True, False, State(DOWN, "it has no servers"), DOWN, "its pool has no servers"),
    (
        {A: State(DISABLED, "it serves its flows for 9 s more")}, True, True,
        State(UP, f"no server takes new flows: {A} disabled: it serves its flows for 9 s more"),
        UP, f"no server takes new flows: {A} disabled: it serves its flows for 9 s more",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("servers", "settled", "up", "expected", "word", "reason"), POOLS)
def test_a_pool_and_its_service(
    servers: dict[str, State], settled: bool, up: bool, expected: State, word: str, reason: str
) -> None:
    pool = operstate.pool(SERVICE, servers, settled=settled, up=up)
    assert pool == expected
    assert operstate.service(SERVICE, pool, servers) == State(word or UP, reason)
    assert operstate.pool_word(SERVICE, servers=bool(servers), settled=settled, up=up) == pool.word
    assert operstate.service_word(SERVICE, pool.word) == (word or UP)


def test_a_pool_that_needs_more_servers_names_what_it_needs() -> None:
    servers, needs = {A: State(UP), B: SILENT}, dataclasses.replace(SERVICE, servers_needed=2)
    few = f"1 up, min_servers_up needs 2: {B} server does not answer"
    pool = operstate.pool(needs, servers, settled=True, up=False)
    assert pool == State(DOWN, few)
    assert operstate.service(needs, pool, servers) == State(DOWN, f"its pool: {few}")
    alone = operstate.pool(needs, {A: State(UP)}, settled=True, up=False)
    assert alone == State(DOWN, "1 up, min_servers_up needs 2 of 1 configured")
    assert operstate.pool(needs, {A: SILENT}, settled=True, up=False).reason.startswith("no server is up")


def test_what_is_switched_off_says_so() -> None:
    pool = operstate.pool(dataclasses.replace(SERVICE, pool_enabled=False), {A: SILENT}, settled=True, up=False)
    assert pool == State(DISABLED, "switched off in the configuration")
    assert operstate.service(SERVICE, pool, {A: SILENT}) == State(DOWN, "its pool is disabled")
    off = dataclasses.replace(SERVICE, enabled=False)
    assert operstate.service(off, State(UP), {A: State(UP)}) == State(DISABLED, "switched off in the configuration")


def test_a_long_list_is_counted() -> None:
    servers = {f"10.0.0.{n}": SILENT for n in range(1, 11)}
    assert operstate.listing(servers) == "10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 6 more server does not answer"
    each = {f"10.0.0.{n}": State(DOWN, f"reason {n}") for n in range(1, 8)}
    assert operstate.listing(each).endswith("10.0.0.4 reason 4; and 3 more")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (252, "4 min 12 s"),
        (7500, "2 h 5 min"),
        (3601, "1 h 1 s"),
    ],
)
def test_a_duration(seconds: float, text: str) -> None:
    assert operstate.duration(seconds) == text
