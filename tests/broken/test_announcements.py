"""Owned VIPs are announced again, seen as frames by another host on the segment."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.lab.standstill import Witness
from dataplane.vip import arp
from tests.broken.world import VIP, World, built, inet
from tests.polling import until

pytestmark = pytest.mark.root

ETH_P_ARP = 0x0806
QUIET = 1.6
"""Seconds without an announcement after which those of before are all out: more than gratuitous.INTERVAL."""
SPARE = 0.5
"""Seconds of these that the machine may stand still."""


class Ear:
    """Hears the VIP's announcements on a host."""

    def __init__(self, world: World, host: str) -> None:
        self._wire = world.spaces[host].run(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
        )

    def hear(self, seconds: float, mac: bytes | None = None) -> float | None:
        """When the next announcement came (of a MAC address); None where none did in time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._wire.settimeout(left)
            try:
                packet = arp.parse(self._wire.recv(2048))
            except TimeoutError:
                return None
            if packet is not None and packet.sender == packet.target == inet(VIP) and mac in (None, packet.mac):
                return time.monotonic()
        return None

    def quiet(self) -> None:
        """Wait until nothing is announced. A machine that stood still meanwhile was not quiet."""
        with Witness() as machine:
            begun = time.monotonic()
            while self.hear(QUIET) is not None or machine.stood(begun) > SPARE:
                begun = time.monotonic()

    def close(self) -> None:
        self._wire.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An engine that owns its VIP, servers or not: what is announced is not so because a server came back."""
    with built(tmp_path, "l2", advertise_down=True) as made:
        yield made


@pytest.fixture
def ear(world: World) -> Iterator[Ear]:
    """The client's, when what was announced at the start is over."""
    made = Ear(world, "client")
    made.quiet()
    yield made
    made.close()


def test_a_link_comes_back(world: World, ear: Ear) -> None:
    world.sh("switch", "ip link set engine0 down")
    world.reports("down", "egress interface eth0 has no carrier")
    world.sh("switch", "ip link set engine0 up")
    assert ear.hear(10) is not None


def test_the_engines_card_gets_another_mac_address(world: World, ear: Ear) -> None:
    world.sh("engine", "ip link set eth0 address 02:00:00:00:77:02")
    assert ear.hear(10, bytes.fromhex("020000007702")) is not None


def test_every_period(world: World, ear: Ear) -> None:
    world.announce_every(4)  # each time three calls in two seconds
    for _ in range(2):
        assert ear.hear(10) is not None
        ear.quiet()
    world.announce_every(0)
    until(world.follows, world.log)
    ear.quiet()  # of what may have begun meanwhile
    assert ear.hear(6) is None
