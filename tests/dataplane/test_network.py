"""What is known of the network when the kernel told more than there was room for."""

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
            assert network._events._socket is not None
            network._events._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            await body(network, seen)
        finally:
            watching.cancel()
            await network.close()

    there.run(lambda: asyncio.run(run()))


def test_what_was_told_before_some_was_lost_is_not_believed_after_it(host: Namespace) -> None:
    async def body(network: Network, seen: list[str]) -> None:
        index = network.link("eth0").index
        macs = [f"02:00:00:00:00:{n:02x}" for n in range(1, 40)]
        host.sh(";".join(f"ip neigh replace 10.0.0.11 lladdr {mac} dev eth0" for mac in macs))  # the loop stands still
        layout = network.layout
        async with asyncio.timeout(5):
            while network.layout == layout:
                await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert network.neighbour(index, SERVER) == bytes.fromhex(macs[-1].replace(":", ""))
        host.sh(f"ip neigh replace 10.0.0.11 lladdr {macs[0]} dev eth0")
        async with asyncio.timeout(5):
            while network.neighbour(index, SERVER) != bytes.fromhex(macs[0].replace(":", "")):
                await asyncio.sleep(0)

    live(host, body)


def test_no_interface_is_gone_while_all_is_read_anew(host: Namespace) -> None:
    async def body(network: Network, seen: list[str]) -> None:
        await asyncio.sleep(0)
        await network._read()
        assert set(seen) == {"eth0"}

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
