"""Packets that are dropped before an operator's eyes: counted by name, explained, and one of them shown."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.views import drops
from avi_shell.views.gathering import Engines
from dataplane import client
from tests.broken.world import CLIENT, VIP, World, built
from tests.drivers import common_drivers
from tests.polling import until

pytestmark = pytest.mark.root


@contextmanager
def sending(world: World, port: int) -> Iterator[int]:
    """The client sends a datagram to a port of the VIP, again and again. Gives the port that they come from."""
    wire, stop = world.spaces["client"].run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)), threading.Event()
    wire.bind(("", 0))

    def send() -> None:
        while not stop.wait(0.02):
            wire.sendto(b"x" * 30, (VIP, port))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield wire.getsockname()[1]
    finally:
        stop.set()
        sender.join()
        wire.close()


@common_drivers
def test_what_is_dropped_is_named_explained_and_shown(driver: str, tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver) as world:
        engines = Engines(Configuration.in_memory(), world.folder)
        assert drops.of_engine(engines, world.name)[1][0]["dropped"] == []
        with sending(world, 9) as port:
            until(lambda: client.ask(world.folder, world.name, "drops")["dropped"], world.log)
            parts, (told,) = drops.of_engine(engines, world.name)
        (one,) = told["dropped"]
        sample = one["sample"]
        assert (one["reason"], one["packets"] > 0, told["unsampled"]) == ("no_service", True, "")
        assert (sample["source"], sample["source_port"]) == (CLIENT, port)
        assert (sample["destination"], sample["destination_port"], sample["protocol"]) == (VIP, 9, "udp")
        assert (sample["interface"], sample["size"]) == ("eth0", 14 + 20 + 8 + 30)
        assert f"eth0 from {world.spaces['client'].link('eth0')[1].hex(':')}: {CLIENT}:{port} > {VIP}:9 udp" in str(
            parts
        )
        assert "no_service: the VIP has no service on this protocol and port." in str(parts)
        _, (again,) = drops.of_engine(engines, world.name)
        assert again["dropped"][0]["sample"] == sample  # nothing came since: the last one is still known
