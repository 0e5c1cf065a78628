"""Servers that answer probes much more slowly than is usual in their pool."""

from __future__ import annotations

import pytest

from avi_shell.views.reported import slow_servers


@pytest.mark.parametrize(
    ("medians", "slow"),
    [
        ((0.3, 0.001, 0.001), ["10.0.0.0"]),
        ((0.3, 0.001), ["10.0.0.0"]),
        ((0.001, 0.3, 0.4), []),  # that is usual there
        ((0.015, 0.001, 0.001), []),  # nobody feels that
        ((0.3, 0.2, 0.2), []),
        ((0.3, None), []),
        ((0.3,), []),
    ],
)
def test_a_slow_server_is_named(medians: tuple[float | None, ...], slow: list[str]) -> None:
    servers = [
        {"address": f"10.0.0.{n}", "answers_in": median and {"median": median, "slowest": 1.0, "probes": 20}}
        for n, median in enumerate(medians)
    ]
    told = slow_servers(servers)
    assert [one.partition(" ")[0] for one in told] == slow
    if slow:
        assert told[0].endswith(
            "it answers probes in 300 ms (median of 20; the slowest took 1000 ms), where 1.0 ms is usual in its pool"
        )


@pytest.mark.parametrize(("probes", "slow"), [(4, 0), (5, 1)])
def test_a_few_probes_say_nothing(probes: int, slow: int) -> None:
    servers = [
        {"address": f"10.0.0.{n}", "answers_in": {"median": median, "slowest": 1.0, "probes": probes}}
        for n, median in enumerate((0.3, 0.001))
    ]
    assert len(slow_servers(servers)) == slow


def test_of_many_slow_servers_some_are_named() -> None:
    servers = [
        {"address": f"10.0.0.{n}", "answers_in": {"median": 0.3 * (n > 10), "slowest": 1.0, "probes": 20}}
        for n in range(20)
    ]
    assert slow_servers(servers)[-1] == "5 more servers are slow"
