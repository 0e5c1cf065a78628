"""What is known of the network: by the kernel's events, and when there was no room for all of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from dataplane.network.state import Network
from tests.netns import Namespace

pytestmark = pytest.mark.root

SERVER = socket.inet_aton("10.0.0.11")


def live(there: Namespace, body: Callable[[Network, list[str]], Awaitable[None]]) -> None:
    """Run a test's body on an event loop in the namespace. It gets the interfaces at each turn of the loop."""
    seen: list[str] = []

    async def watch(network: Network) -> None:
        while True:
            seen.append(" ".join(network.usable()))
            await asyncio.sleep(0)

    async def run() -> None:
        network = Network(lambda: None)
        await network.start()
        watching = asyncio.create_task(watch(network))
        try:
            await body(network, seen)
        finally:
            watching.cancel()
            await network.close()

    there.run(lambda: asyncio.run(run()))


def test_what_was_told_before_some_was_lost_is_not_believed_after_it(host: Namespace) -> None:
    async def body(network: Network, seen: list[str]) -> None:
        assert network._events._socket is not None
        network._events._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        index = network.link("eth0").index
        macs = [f"02:00:00:00:00:{n:02x}" for n in range(1, 40)]
        host.sh(";".join(f"ip neigh replace 10.0.0.11 lladdr {mac} dev eth0" for mac in macs))  # the loop stands still
        layout = network.layout
        async with asyncio.timeout(45):
            while network.layout == layout:
                await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert network.neighbour(index, SERVER) == bytes.fromhex(macs[-1].replace(":", ""))
        host.sh(f"ip neigh replace 10.0.0.11 lladdr {macs[0]} dev eth0")
        async with asyncio.timeout(45):
            while network.neighbour(index, SERVER) != bytes.fromhex(macs[0].replace(":", "")):
                await asyncio.sleep(0)

    live(host, body)


def test_a_link_that_joins_and_leaves_a_bridge_is_there_all_the_time(host: Namespace) -> None:
    async def body(network: Network, seen: list[str]) -> None:
        host.sh("ip link add br0 type bridge; ip link set eth0 master br0; ip link set eth0 nomaster")
        host.sh("ip link set br0 mtu 1400")
        async with asyncio.timeout(45):
            while network.interface("br0") is None or network.link("br0").mtu != 1400:
                await asyncio.sleep(0)
        assert set(seen) == {"eth0"}
        host.sh("ip link del br0")
        async with asyncio.timeout(45):
            while network.interface("br0") is not None:
                await asyncio.sleep(0)
        assert network.networks(network.link("eth0").index) == ((socket.inet_aton("10.0.0.2"), 24),)

    live(host, body)


def test_a_route_that_is_gone_is_remembered_in_the_words_of_ip(host: Namespace) -> None:
    route = "10.8.0.0/24 via 10.0.0.1 dev eth0 metric 7 src 10.0.0.2"

    async def body(network: Network, seen: list[str]) -> None:
        host.sh(f"ip route add {route}; ip route del 10.8.0.0/24 metric 7; ip addr add 10.4.0.1/16 dev eth0")
        async with asyncio.timeout(45):
            while len(network.networks(network.link("eth0").index)) < 2:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        lost = network.lost_route(socket.inet_aton("10.8.0.9"))
        assert lost is not None
        assert lost.remedy == f"ip route add {route}"
        host.sh(f"ip route add {route}; ip addr del 10.4.0.1/16 dev eth0")
        async with asyncio.timeout(45):
            while network.lost_route(socket.inet_aton("10.8.0.9")) is not None:
                await asyncio.sleep(0)

    live(host, body)


def test_a_permanent_neighbour_is_never_asked_for(host: Namespace) -> None:
    """The kernel would drop NUD_PERMANENT, and then the entry."""
    host.sh("ip neigh add 10.0.0.11 lladdr 02:00:00:00:00:0b nud permanent dev eth0")

    async def body(network: Network, seen: list[str]) -> None:
        index = network.link("eth0").index
        other = socket.inet_aton("10.0.0.12")
        network.resolve([(index, SERVER), (index, other)])
        assert network.has_room(index, SERVER)
        assert network.neighbour(index, SERVER) == bytes.fromhex("02000000000b")
        assert "10.0.0.12" in host.sh("ip neigh show dev eth0")
        assert "PERMANENT" in host.sh("ip neigh show 10.0.0.11 dev eth0")

    live(host, body)
