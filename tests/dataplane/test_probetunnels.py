"""Probes' rules and routes in a namespace of its own: made once, put again when the kernel took them, and removed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from dataplane.forwarding.values import Interface
from dataplane.health.probepaths import ProbePaths
from dataplane.plan import L3_GRE, L3_IPIP
from tests.netns import Namespace

pytestmark = pytest.mark.root

SERVER, SOURCE = socket.inet_aton("10.0.0.11"), socket.inet_aton("10.0.0.2")


def live(there: Namespace, body: Callable[[ProbePaths], Awaitable[object]]) -> None:
    """Run a test's body on an event loop in the namespace."""

    async def run() -> None:
        paths = ProbePaths()
        try:
            await body(paths)
        finally:
            if paths._range is not None:  # as if killed: what it made stays
                paths._range[1].close()
            paths._kernel.close()

    there.run(lambda: asyncio.run(run()))


def routing(there: Namespace) -> str:
    return there.sh("ip -4 rule; ip -4 route show table all")


def test_a_mark_a_server_and_mode_and_nothing_stays(host: Namespace) -> None:
    before = routing(host)

    async def body(paths: ProbePaths) -> None:
        marks = [paths.open_tunnel(SERVER, SOURCE, mode) for mode in (L3_IPIP, L3_GRE)]
        assert len(set(marks)) == 2
        assert [paths.open_tunnel(SERVER, SOURCE, mode) for mode in (L3_IPIP, L3_GRE)] == marks
        paths.shut(SERVER)
        assert {paths.open_tunnel(SERVER, SOURCE, mode) for mode in (L3_IPIP, L3_GRE)} == set(marks)
        assert "encap bpf xmit avi_probe" in routing(host)
        await paths.close()

    live(host, body)
    assert routing(host) == before


def test_what_was_left_is_cleaned(host: Namespace) -> None:
    before = routing(host)

    async def leave(paths: ProbePaths) -> None:
        paths.open_tunnel(SERVER, SOURCE, L3_IPIP)

    live(host, leave)
    assert routing(host) != before
    live(host, lambda paths: paths.clean())
    assert routing(host) == before


def test_routes_that_went_with_a_link_are_put_again(host: Namespace) -> None:
    index, mac = host.link("eth0")
    interface = Interface(index, "eth0", mac, 1500, (SOURCE,))

    async def body(paths: ProbePaths) -> None:
        marks = paths.open(SERVER, interface, SOURCE), paths.open_tunnel(SERVER, SOURCE, L3_IPIP)
        there = routing(host)
        host.sh("ip link set eth0 down; ip link set lo down; ip link set lo up; ip link set eth0 up")
        assert routing(host) != there
        paths.forget_routes()
        assert (paths.open(SERVER, interface, SOURCE), paths.open_tunnel(SERVER, SOURCE, L3_IPIP)) == marks
        assert sorted(routing(host).splitlines()) == sorted(there.splitlines())
        await paths.close()

    live(host, body)
