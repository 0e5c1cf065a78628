"""Layer 3 across routers: real TCP and UDP through the engine's tunnels, a narrow link between."""

from __future__ import annotations

import contextlib
import hashlib
import socket

import pytest

from dataplane import plan
from tests.l3.peer import pattern
from tests.l3.world import NARROW, PORT, VIPS, World

pytestmark = pytest.mark.root

MODES = [plan.L3_IPIP, plan.L3_GRE]
OVERHEAD = {plan.L3_IPIP: 20, plan.L3_GRE: 24}
SIZE = 4 << 20
IP_MTU, IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 14, 10, 0


def connected(mode: str) -> socket.socket:
    return socket.create_connection((VIPS[mode], PORT), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [100, 1380, 1472, 4000, 60000])
def test_datagrams_of_any_size_arrive(world: World, mode: str, size: int) -> None:
    """They come first: their packets, without DF, make no router tell the engine what fits. It finds out by itself."""
    data = pattern(size)

    def exchange() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
            datagrams.settimeout(1)
            datagrams.connect((VIPS[mode], PORT))
            for _ in range(10):
                datagrams.send(data)
                with contextlib.suppress(TimeoutError):
                    return datagrams.recv(1000)
            raise TimeoutError(f"no answer to {size} bytes")

    name, length, digest = world.spaces["client"].run(exchange).decode().split()
    assert name in ("web1", "web2")
    assert (int(length), digest) == (size, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("mode", MODES)
def test_the_servers_announce_segments_that_fit_the_tunnel(world: World, mode: str) -> None:
    """1500 − 40 − 24; the client's own 12 bytes of timestamps are within."""
    world.spaces["client"].sh("ip route flush cache")

    def size() -> int:
        with connected(mode) as connection:
            return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)

    assert world.spaces["client"].run(size) == 1436 - 12


@pytest.mark.parametrize("mode", MODES)
def test_upload_through_a_narrow_link(world: World, mode: str) -> None:
    data = pattern(SIZE)

    def upload() -> tuple[bytes, int]:
        with connected(mode) as connection:
            connection.sendall(b"take\n" + data)
            connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
            return answer, connection.getsockopt(socket.IPPROTO_IP, IP_MTU)

    answer, mtu = world.spaces["client"].run(upload)
    assert answer.split()[1].decode() == hashlib.sha256(data).hexdigest()
    assert mtu == NARROW - OVERHEAD[mode]


@pytest.mark.parametrize("mode", MODES)
def test_download_through_a_narrow_link(world: World, mode: str) -> None:
    """The far router's word to the VIP, that the server's packets are too big, reaches the server by the engine."""

    def download() -> bytes:
        with connected(mode) as connection:
            connection.sendall(b"send %d\n" % SIZE)
            return read_all(connection)

    assert world.spaces["client"].run(download) == pattern(SIZE)


@pytest.mark.parametrize(("mode", "tunnel"), [(plan.L3_IPIP, "IP-in-IP"), (plan.L3_GRE, "GRE")])
def test_a_server_that_does_not_decapsulate_is_down_and_says_so(world: World, mode: str, tunnel: str) -> None:
    states = world.servers(mode)
    assert states["web1"] == states["web2"] == ("up", "")
    expected = f"the server does not decapsulate {tunnel}: it answers ICMP protocol unreachable"
    assert states["unprepared"][0] == "down"
    assert expected in states["unprepared"][1]
