"""Rates: counters of now beside those of a moment ago."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from dataplane.daemon import enginerates
from dataplane.daemon.aspect import STATES, WHOLE, Aspect
from dataplane.daemon.enginerates import EngineRates
from dataplane.forwarding import translate
from dataplane.forwarding.driver import Asked
from dataplane.forwarding.values import Counters, HandshakeTally, Tally

from ..packets.world import ip
from .test_impact import server, service

SERVICE = service(server(1))
KEY, MEMBER = translate.key(SERVICE), ("pool-1", ip("10.0.0.1"))
POOLS = SimpleNamespace(names=lambda uuid: [uuid])
ENGINE = cast(Any, SimpleNamespace(services={SERVICE.key: SERVICE}, pools=POOLS))


def counters(packets: int, flows: int = 0, dropped: int = 0) -> Counters:
    return Counters(
        0, {"no_server": dropped}, {KEY: Tally(packets, 100 * packets)}, {MEMBER: Tally(packets, 100 * packets)},
        {KEY: {"no_server": dropped}}, {KEY: HandshakeTally(flows)}, {MEMBER: HandshakeTally(flows)},
    )  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now, self.counters = 0.0, counters(0)
        self.asked: list[Asked | None] = []
        self.rates = EngineRates(self.read, lambda: 2, lambda: self.now)

    def read(self, asked: Asked | None) -> Iterator[Counters]:
        self.asked.append(asked)
        yield self.counters

    def keep(self, now: float, seen: Counters) -> None:
        self.now, self.counters = now, seen
        asyncio.run(self.rates.keep())

    def told(self, now: float, seen: Counters, aspect: Aspect = WHOLE) -> dict[str, Any] | None:
        self.now, self.counters = now, seen
        return asyncio.run(self.rates.report(ENGINE, aspect))


def test_a_rate_is_of_a_second_at_least_and_of_the_newest_moment() -> None:
    clock = Clock()
    assert clock.told(0, counters(0)) is None
    clock.keep(0, counters(100))
    assert clock.told(0.9, counters(200)) is None
    clock.keep(2, counters(300, 1, 4))
    told = clock.told(2.5, counters(350))
    assert told is not None
    assert (told["seconds"], told["services"][SERVICE.key]["packets"]) == (2.5, 100.0)  # that of 2 s is too young
    told = clock.told(4, counters(500, 3, 10))
    assert told is not None
    assert told["services"][SERVICE.key] == {
        "packets": 100.0, "bytes": 10000.0, "flows": 64.0, "dropped": {"no_server": 3.0}
    }  # fmt: skip
    assert told["servers"] == {"pool-1": {"10.0.0.1": {"packets": 100.0, "bytes": 10000.0, "flows": 64.0}}}
    assert told["dropped"] == {"no_server": 3.0}


def test_a_counter_that_began_anew_counts_from_zero() -> None:
    clock = Clock()
    clock.keep(0, counters(1000, 9))
    told = clock.told(2, counters(10))
    assert told is not None
    assert told["services"][SERVICE.key] == {"packets": 5.0, "bytes": 500.0, "flows": 0.0, "dropped": {}}


def test_lists_and_others_pay_for_no_servers_and_very_many_have_no_rates(monkeypatch: Any) -> None:
    clock = Clock()
    clock.keep(0, counters(0))
    told = clock.told(2, counters(2), Aspect(STATES))
    assert told is not None
    assert (told["servers"], list(told["services"])) == ({}, [SERVICE.key])
    other = clock.told(2, counters(2), Aspect("pool-2"))
    assert other is not None
    assert (other["servers"], other["services"]) == ({}, {})
    assert clock.asked == [None, Asked([KEY], []), Asked([], [])]
    monkeypatch.setattr(enginerates, "MOST", 1)
    clock.keep(3, counters(3))
    assert clock.told(9, counters(9)) is None
