"""What a witness sees of an examination's packets, on a loopback: its own probes, and the answers to these alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from dataplane.diagnosis.witness import ECHO, Probes, Witness
from dataplane.network import icmp
from tests.netns import Namespace

pytestmark = pytest.mark.root

MARK, OWN, VIP, SERVER = 77, "127.0.0.1", "127.0.0.2", "127.0.0.3"
PROBES = Probes(MARK, socket.inet_aton(OWN), socket.inet_aton(VIP), socket.inet_aton(SERVER), 0)


@pytest.fixture(scope="module")
def there() -> Iterator[Namespace]:
    with Namespace() as made:
        yield made


def ping(address: str, mark: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        wire.bind((OWN, 0))
        wire.sendto(icmp.echo_request(mark, 1, b"?"), (address, 0))


async def connected(address: str, mark: int) -> int:
    """Ask a port that a program has, and hang up. Returns the port."""
    with socket.create_server((address, 0)) as listening, socket.socket() as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        asking.bind((OWN, 0))
        asking.setblocking(False)
        await asyncio.get_running_loop().sock_connect(asking, listening.getsockname())
        return int(listening.getsockname()[1])


async def seen(*pings: tuple[str, int]) -> tuple[Witness, int]:
    """A witness of some pings (address, mark), and of a connection after them, whose port is returned."""
    async with asyncio.timeout(45):
        with Witness.of(PROBES) as found:
            for address, mark in pings:
                ping(address, mark)
            port = await connected(VIP, MARK)
            while (PROBES.vip, port) not in found.came:
                await asyncio.sleep(0.005)
    return found, port


def test_it_sees_its_probes_and_their_answers(there: Namespace) -> None:
    found, port = there.run(lambda: asyncio.run(seen((VIP, MARK), (SERVER, 0))))
    answers = {(PROBES.vip, ECHO), (PROBES.vip, port), (PROBES.server, ECHO)}
    assert found.left
    assert found.came == dict.fromkeys(answers, "lo")


def test_what_the_vip_answers_to_others_is_not_its_matter(there: Namespace) -> None:
    """All servers answer from the VIP."""
    found, port = there.run(lambda: asyncio.run(seen((VIP, 0), (VIP, MARK + 1))))
    assert found.came == {(PROBES.vip, port): "lo"}
