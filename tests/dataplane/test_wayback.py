"""Whose answers do not reach the clients: the rule."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from dataplane.engine import wayback
from dataplane.engine.wayback import Sample


def sample(answered: int, unanswered: int, alone: int = 0) -> Sample:
    """alone: SYNs after which nothing came."""
    return Sample(answered + unanswered + alone, answered, unanswered)


def named(*servers: Sample, clients: int = 10) -> list[int]:
    return sorted(wayback.named(dict(enumerate(servers)), lambda _: clients))


WELL = sample(40, 0)
GONE = sample(0, 25)


@pytest.mark.parametrize(
    ("what", "servers", "expected"),
    [
        ("nothing came", (sample(0, 0), sample(0, 0)), []),
        ("all is well", (WELL, WELL, WELL), []),
        ("one server's answers arrive nowhere", (WELL, GONE, WELL), [1]),
        ("of two, too", (GONE, WELL), [0]),
        ("not enough of two to tell", (sample(12, 0), sample(0, 12)), []),
        ("of ten a few are enough", (*[WELL] * 9, sample(0, 6)), [9]),
        ("fewer than FLOWS never are", (*[WELL] * 99, sample(0, 4)), []),
        ("some of its clients hear nothing", (WELL, sample(30, 25), WELL), [1]),
        ("few of them", (sample(400, 0), sample(400, 25), sample(400, 0)), []),
        ("two of three", (WELL, GONE, GONE), [1, 2]),
        ("all but one of many", (WELL, *[sample(0, 40)] * 3), [1, 2, 3]),
        ("all of them: nobody does well", (GONE, GONE, GONE), []),
        ("an only server", (GONE,), []),
        ("the others do well, as far as three flows tell", (sample(3, 0), GONE), []),
        ("all alike, as in a flood", (sample(20, 30), sample(20, 28), sample(20, 33)), []),
        ("one has more, and nobody does well", (sample(40, 8), sample(40, 8), sample(5, 45)), []),
        ("bad luck here and there", (sample(400, 3), sample(400, 2), sample(10, 25)), [2]),
        ("answered late", (WELL, Sample(50, 50, 40, 40), WELL), []),
        ("SYNs that come once", (WELL, sample(20, 0, 10_000), WELL), []),
        ("a server that most flows come to anyhow", (sample(80, 0), sample(300, 100)), [1]),
        ("and for which that is chance", (sample(10, 0), sample(300, 100)), []),
    ],
)
def test_rule(what: str, servers: tuple[Sample, ...], expected: list[int]) -> None:
    assert named(*servers) == expected, what


def test_what_one_or_two_clients_see_is_their_matter() -> None:
    assert named(WELL, GONE, clients=wayback.CLIENTS - 1) == []
    assert named(WELL, GONE, clients=wayback.CLIENTS) == [1]
    assert not wayback.everywhere({0: GONE}, lambda _: wayback.CLIENTS - 1)
    assert wayback.everywhere({0: GONE}, lambda _: wayback.CLIENTS)


def test_clients_are_asked_for_only_of_servers_that_would_be_named() -> None:
    asked: list[int] = []

    def clients(server: int) -> int:
        asked.append(server)
        return 9

    assert wayback.named({0: WELL, 1: GONE, 2: sample(40, 4)}, clients) == {1}
    assert asked == [1]


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ((GONE, GONE), True),
        ((sample(2, 12),), True),
        ((sample(0, 9),), False),
        ((sample(40, 30), sample(40, 30)), False),
        ((WELL, GONE, WELL), False),
        ((sample(0, 0),), False),
    ],
)
def test_of_a_whole_pool(servers: tuple[Sample, ...], expected: bool) -> None:
    assert wayback.everywhere(dict(enumerate(servers)), lambda _: 10) is expected


@pytest.mark.parametrize(("one", "well"), [(sample(3, 4), sample(10, 2)), (sample(0, 7), sample(20, 0))])
def test_chance_is_the_binomial_tail(one: Sample, well: Sample) -> None:
    part, total = one.begun / (one.begun + well.begun), one.unanswered + well.unanswered
    exact = sum(math.comb(total, n) * part**n * (1 - part) ** (total - n) for n in range(one.unanswered, total + 1))
    assert wayback.chance(one, well) == pytest.approx(exact)


def flooded(rnd: random.Random) -> tuple[Sample, ...]:
    """A pool whose servers all answer, and a flood: SYNs that come once, and SYNs that are repeated."""
    number = rnd.choice((2, 2, 3, 4, 8, 16))
    weights = [rnd.choice((1, 1, 1, 2, 4)) for _ in range(number)]
    clients, repeated, once = (
        Counter(rnd.choices(range(number), weights, k=rnd.choice((0, 5, 20, 60, 200)))) for _ in range(3)
    )
    return tuple(sample(clients[n], repeated[n], once[n]) for n in range(number))


def test_a_flood_of_syns_names_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    rnd = random.Random(6)
    floods = [flooded(rnd) for _ in range(4000)]
    assert [flood for flood in floods if named(*flood)] == []
    monkeypatch.setattr(wayback, "chance", lambda *_: 0.0)
    assert any(named(*flood) for flood in floods), "else chance would not have to be reckoned with"


def test_a_server_that_is_mended_is_so_after_a_few_answers_in_a_row() -> None:
    assert not wayback.mended(1.0, wayback.FLOWS - 1)
    assert wayback.mended(1.0, wayback.FLOWS)
    assert not wayback.mended(0.3, 20)
    assert wayback.mended(0.3, 30)


def test_words() -> None:
    told = wayback.words(Sample(60, 10, 30), "192.0.2.7")
    assert told.startswith("75 % of new TCP connections (30 of 40 looked at) get no answer at the client")
    assert "ip route get 192.0.2.7" in told
    assert "whatever the server" in wayback.words_everywhere(Sample(60, 10, 30))
