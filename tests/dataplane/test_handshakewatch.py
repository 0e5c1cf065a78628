"""What an engine tells of the way back, look by look, from what a driver counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set

import pytest

from dataplane.engine import handshakewatch, wayback
from dataplane.engine.handshakewatch import LOOK_EVERY, NOBODY, SPAN, SPANS, HandshakeWatch
from dataplane.errors import DriverError
from dataplane.events.model import Subject
from dataplane.forwarding.driver import HandshakeCounts
from dataplane.forwarding.values import HandshakeTally, ServiceKey
from tests import told

from ..packets.world import ip
from .test_refresh import Memory

BAD, GOOD = ip("10.0.0.11"), ip("10.0.0.12")
SERVICE = ServiceKey(ip("10.0.0.100"), 6, 80, 80)
CLIENTS = frozenset(ip(f"192.0.2.{n}") for n in range(7, 11))


class Counting(Memory):
    """A driver whose counts the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.of_services: dict[ServiceKey, HandshakeTally] = {}
        self.of_servers: dict[tuple[str, bytes], HandshakeTally] = {}
        self.clients: Mapping[tuple[str, bytes], Set[bytes]] = {}

    def handshakes(self) -> HandshakeCounts:
        return HandshakeCounts(dict(self.of_services), dict(self.of_servers))

    def unanswered_clients(self) -> Mapping[tuple[str, bytes], Set[bytes]]:
        return self.clients


def named(pool: str, server: bytes) -> tuple[Subject, str]:
    name = f"{pool} {server[-1:].hex()}"
    return Subject("server" if server else "pool", name), name


class Site:
    """A watch over a pool of two servers; pool: the driver's name of it."""

    def __init__(self, pool: str = "pool") -> None:
        self.driver, self.now, self.pool, self.events = Counting(), 1000.0, pool, list[str]()
        self.driver.clients = {(pool, BAD): CLIENTS}
        self.watch = HandshakeWatch(self.driver, told.into(self.events), named, lambda: self.now)
        self.look()

    def look(self) -> None:
        self.now += LOOK_EVERY
        self.watch.take(self.watch.look())

    def count(self, server: bytes, answered: int = 0, unanswered: int = 0, late: int = 0) -> None:
        tally = HandshakeTally(answered + unanswered - late, answered, unanswered, late)
        counted = self.driver.of_servers.setdefault((self.pool, server), HandshakeTally())
        for one in (counted, self.driver.of_services.setdefault(SERVICE, HandshakeTally())):
            one.add(tally)

    def broken(self) -> Site:
        self.count(GOOD, answered=40)
        self.count(BAD, unanswered=30)
        self.look()
        return self


def test_a_server_is_named_once_with_its_share_and_a_client() -> None:
    site = Site().broken()
    site.look()
    (event,) = site.events
    assert event.startswith("pool 0b: 100 % of new TCP connections (30 of 30 looked at) get no answer at the client")
    assert "ip route get 192.0.2.7" in event
    assert site.watch.words("pool", BAD) in event
    assert (site.watch.words("pool", GOOD), site.watch.words("pool")) == ("", "")
    assert (site.watch.share(("pool", BAD)), site.watch.share(("pool", GOOD))) == (1.0, 0.0)
    assert site.watch.share(SERVICE) == 30 / 70
    assert site.watch.share(("other", BAD)) is None
    assert site.watch.seen("pool", GOOD) == "40 of 40 TCP connections looked at were answered"


def test_pools_of_one_family_are_one() -> None:
    assert Site("pool/10.0.0.100").broken().watch.words("pool", BAD)


def test_what_was_counted_before_the_first_look_is_not_of_now() -> None:
    site = Site()
    site.count(BAD, unanswered=30)
    site.count(GOOD, answered=40)
    later = HandshakeWatch(site.driver, told.into(site.events), named, lambda: 5.0)
    later.take(later.look())
    assert site.events == []
    assert later.share(("pool", BAD)) is None


def test_a_server_whose_answers_arrive_again_is_clear_after_a_few() -> None:
    site = Site().broken()
    site.count(BAD, answered=wayback.FLOWS - 1)
    site.look()
    assert site.watch.words("pool", BAD)
    site.count(BAD, answered=1)
    site.look()
    assert site.watch.words("pool", BAD) == ""
    assert site.events[1:] == ["pool 0b: new connections are not seen to go unanswered any more"]
    site.look()
    assert len(site.events) == 2


def test_those_that_are_answered_late_take_it_back() -> None:
    site = Site().broken()
    site.count(BAD, answered=30, late=30)
    site.look()
    assert site.watch.words("pool", BAD) == ""


def test_what_nobody_tries_any_more_is_forgotten_after_some_minutes() -> None:
    site = Site().broken()
    site.now += SPAN * (SPANS - 2)
    for _ in range(SPANS - 2):
        site.now += SPAN
        site.look()
    assert site.watch.words("pool", BAD)
    site.now += SPAN
    for _ in range(2):
        site.now += SPAN
        site.look()
    assert site.watch.words("pool", BAD) == ""
    assert site.watch.share(("pool", BAD)) is None


def test_a_server_that_leaves_and_comes_back_begins_anew() -> None:
    site = Site()
    site.count(GOOD, answered=40)
    site.count(BAD, answered=100)
    site.look()
    site.driver.of_servers.pop(("pool", BAD))
    site.look()
    site.count(BAD, answered=3)
    site.look()
    assert site.watch.seen("pool", BAD) == "103 of 103 TCP connections looked at were answered"
    site.driver.of_servers["pool", BAD] = HandshakeTally(2, 1, 0, 0)
    site.look()
    assert site.watch.seen("pool", BAD) == "104 of 104 TCP connections looked at were answered"


def test_of_a_pool_whose_clients_hear_nothing_it_is_told_without_blame() -> None:
    site = Site()
    site.driver.clients = {("pool", server): CLIENTS for server in (BAD, GOOD)}
    site.count(BAD, unanswered=30)
    site.count(GOOD, unanswered=40, answered=10)
    site.look()
    (event,) = site.events
    assert event.startswith("pool : 88 % of new TCP connections (70 of 80 looked at) get no answer")
    assert "whatever the server" in event
    assert site.watch.words("pool") in event
    assert (site.watch.words("pool", BAD), site.watch.words("pool", GOOD)) == ("", "")
    assert NOBODY == b""


def test_a_driver_that_cannot_be_asked_is_told_of_once_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakewatch, "LOOK_EVERY", 0.0)
    site, asked = Site(), list[int]()

    def handshakes() -> HandshakeCounts:
        asked.append(len(asked))
        if len(asked) < 4:
            raise DriverError("no memory")
        return HandshakeCounts({}, {})

    async def run() -> None:
        running = asyncio.create_task(site.watch.run())
        while len(asked) < 6:
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait((running,))
        assert running.cancelled()

    monkeypatch.setattr(site.driver, "handshakes", handshakes)
    asyncio.run(run())
    assert site.events == ["whether clients get answers is not looked at: no memory"]
