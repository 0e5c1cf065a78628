"""A server whose answers do not reach the clients: every probe passes, and what the clients' packets show is told. A
flood of SYNs, which shows the same, names nobody.

Clients have addresses of a network behind the client's host, 10.7.0.0/24, and flows that the engine looks at.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP

from tests.broken.world import CLIENT, PORT, VIP, World, built
from tests.drivers import common_drivers
from tests.packets.handshakes import sampled
from tests.polling import until

pytestmark = pytest.mark.root

CLIENTS = [f"10.7.0.{n}" for n in range(1, 7)]
ABOUT = "of new TCP connections"


@contextmanager
def clients_elsewhere(folder: Path, driver: str) -> Iterator[World]:
    """Servers that answer clients of another network by the client's host."""
    with built(folder, "l2", driver) as world:
        world.sh("client", "ethtool -K eth0 tx off; " + "; ".join(f"ip addr add {one}/32 dev lo" for one in CLIENTS))
        for server in ("broken", "healthy"):
            world.sh(server, f"ip route add 10.7.0.0/24 via {CLIENT}")
        yield world


def flows(first: int, number: int) -> list[tuple[str, int]]:
    """So many flows of every client that the engine looks at: address and port."""
    found = []
    for client in CLIENTS:
        port = first
        for _ in range(number):
            port = sampled(client, PORT, port + 1)
            found.append((client, port))
    return found


def tried(stack: ExitStack, first: int, number: int) -> list[socket.socket]:
    """Connections to the VIP, which nobody waits for."""
    made = []
    for flow in flows(first, number):
        one = stack.enter_context(socket.socket())
        one.setblocking(False)
        one.bind(flow)
        one.connect_ex((VIP, PORT))
        made.append(one)
    return made


def service(world: World) -> dict[str, Any]:
    """What the engine reports of its service."""
    return dict((world.status() or {"services": [{"reason": ""}]})["services"][0])


@common_drivers
def test_a_server_with_a_wrong_gateway_is_named(driver: str, tmp_path: Path) -> None:
    with clients_elsewhere(tmp_path, driver) as world, ExitStack() as stack:
        world.sh("broken", "ip route replace 10.7.0.0/24 via 10.9.0.250")
        world.spaces["client"].run(lambda: tried(stack, 20_000, 10))
        world.reports("up", ABOUT)
        told, healthy = world.server(), world.server("healthy")
        assert told["reason"].startswith(f"100 % {ABOUT}"), told
        assert "on the server: ip route get 10.7.0." in told["reason"]
        assert (told["handshakes"]["share"], told["handshakes"]["answered"]) == (1.0, 0)
        assert told["handshakes"]["unanswered"] >= 18
        assert (healthy["state"], healthy["reason"], healthy["handshakes"]["share"]) == ("up", "", 0.0)
        assert 0.0 < service(world)["handshakes"]["share"] < 1.0
        assert service(world)["reason"] == ""
        (finding,) = [found for found in world.diagnose()["findings"] if found["grave"]]
        assert ABOUT in finding["what"]
        answered = world.diagnose("healthy")["way_back"].split()
        assert answered[0] == answered[2] != "0", answered
        world.sh("broken", f"ip route replace 10.7.0.0/24 via {CLIENT}")
        world.spaces["client"].run(lambda: tried(stack, 40_000, 4))
        world.is_well()


@common_drivers
def test_a_flood_of_syns_names_nobody(driver: str, tmp_path: Path) -> None:
    """Some of its SYNs come once, others again and again, of sources that nobody is."""
    with clients_elsewhere(tmp_path, driver) as world, ExitStack() as stack:
        world.spaces["client"].run(lambda: tried(stack, 20_000, 3))
        engine, mine = (world.spaces[name].link("eth0")[1] for name in ("engine", "client"))
        sources = [f"10.66.{n // 250}.{n % 250 + 1}" for n in range(600)]
        frames = [
            engine + mine + b"\x08\x00" + bytes(IP(src=source, dst=VIP) / TCP(sport=sampled(source, PORT), dport=PORT))
            for source in sources
        ]

        def flood() -> bool:
            for frame in frames[:150]:
                wire.send(frame)
            return "whatever the server" in service(world)["reason"]

        def packet_socket() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            made.bind(("eth0", 0))
            return made

        wire = stack.enter_context(world.spaces["client"].run(packet_socket))
        for frame in frames:
            wire.send(frame)
        until(flood, lambda: world.status())
        for name in ("broken", "healthy"):
            told = world.server(name)
            assert told["handshakes"]["unanswered"] >= 20, told
            assert (told["state"], told["reason"]) == ("up", "")
