"""Until when ARP is answered: what an engine said is so for what it left, and for the next one until that speaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplane.drivers.xdp.driver import XdpDriver
from dataplane.forwarding import decision
from dataplane.forwarding.driver import whole
from tests.packets.cases import arp_request
from tests.packets.world import ETH0, VIP, WORLD

from .decider import received_on
from .nativedecider import NativeDecider
from .wire import Wire, instance, wire

NOW = 10**12
"""Nanoseconds of the clock."""


@pytest.mark.root
def test_under_xdp() -> None:
    def answered(two: Wire, driver: XdpDriver) -> int:
        """How many requests were answered at all, after one more and a packet, which is forwarded."""
        two.send(arp_request(VIP))
        two.send(two.query(1))
        while two.receive(1)[0][12:14] == decision.ETH_P_ARP:
            pass
        return whole(driver.counters_in_pieces()).answered

    with wire() as two:
        name = instance()
        old = two.start(name)
        two.put(old)
        assert answered(two, old) == 1
        old.answer_until(1)
        assert answered(two, old) == 1
        old.close(keep=True)
        new = two.start(name)
        try:
            assert answered(two, new) == 1
            new.answer_until(0)
            assert answered(two, new) == 2
        finally:
            new.close(keep=False)


def test_natively(tmp_path: Path) -> None:
    """In files, as DPDK's forwarder has it."""
    for said, action in ((NOW, decision.HOST), (None, decision.HOST), (NOW + 1, "sent"), (None, "sent"), (0, "sent")):
        decider = NativeDecider(folder=tmp_path)
        try:
            received_on(WORLD, ETH0).put(decider.tables)
            if said is not None:
                decider.tables.answer_until(said)
            decider.set_clock(NOW)
            assert decider.run(arp_request(VIP)).action == action
        finally:
            decider.close()
