"""The packet table, and captures, through the forwarder: real frames in and out of its ports."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from dataplane.drivers.dpdk.driver import DpdkDriver
from dataplane.drivers.pcap import packetsocket
from dataplane.forwarding.devices import AF_PACKET, Device
from tests.dataplane.test_capturetraffic import test_no_frame_is_lost_while_captures_begin_and_end
from tests.dataplane.test_pcap import OnWires, put, test_case_on_the_wire, wired
from tests.netns import Namespace
from tests.packets.world import WORLD
from tests.xdp.wire import instance

__all__ = ["test_case_on_the_wire", "test_no_frame_is_lost_while_captures_begin_and_end"]
pytestmark = pytest.mark.root


QUIET = 0.02
"""Seconds without a frame after which none of those before is still cut up by the engine, beside the forwarder."""


class OnForwarder(OnWires):
    """The forwarder's."""

    def drain(self) -> None:
        """Forget what comes because of the frames before."""
        while ready := select.select(list(self.wires.values()), [], [], QUIET)[0]:
            for wire in ready:
                wire.recv(1 << 16)


@pytest.fixture(scope="module")
def bench() -> Iterator[OnWires]:
    """The forwarder in the place of the pcap driver."""
    with Namespace() as engine, Namespace() as far:
        real = {i.index: wired(engine, far, i) for i in WORLD.interfaces}

        def listen(name: str) -> socket.socket:
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            for option in (packetsocket.PACKET_IGNORE_OUTGOING, packetsocket.PACKET_AUXDATA):
                wire.setsockopt(packetsocket.SOL_PACKET, option, 1)
            wire.bind((name, packetsocket.ETH_P_ALL))
            return wire

        wires = {index: far.run(partial(listen, i.name)) for index, i in real.items()}
        devices = {one.name: Device(AF_PACKET, one.name, one.name) for one in real.values()}
        driver = engine.run(lambda: DpdkDriver(instance(), None, devices))
        try:
            engine.run(lambda: put(driver, real))
            yield OnForwarder(engine, driver, wires, real)
        finally:
            engine.run(lambda: driver.close(keep=False))
            for wire in wires.values():
                wire.close()
