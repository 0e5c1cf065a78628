"""Who else claims the VIPs: how often it is asked, what is kept of whom, and an interface that goes meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dataplane import plan
from dataplane.events.model import untold
from dataplane.forwarding.values import Interface
from dataplane.lab import topology
from dataplane.vip import arp, conflicts, defence, gratuitous
from dataplane.vip.conflicts import ConflictWatch
from dataplane.vip.defence import Defence
from dataplane.vip.memberconflicts import MemberConflicts
from tests.lab import plans

VIP, OTHER = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))


class Asked(ConflictWatch):
    """A watch without a wire: the turns of each VIP are counted."""

    def __init__(self) -> None:
        super().__init__(self.told)
        self.turns: list[bytes] = []
        self.changes = 0

    def told(self, vip: bytes) -> None:
        self.changes += 1

    def _turn(self, vip: bytes) -> None:
        self.turns.append(vip)
        super()._turn(vip)


def hear(asked: ConflictWatch, mac: int, operation: int = arp.REQUEST) -> None:
    asked._take(7, arp.Packet(operation, mac.to_bytes(6, "big"), VIP, VIP))


def test_a_vip_that_went_and_came_back_is_asked_for_as_often_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflicts, "SHORTEST", 0.05)

    async def run() -> list[bytes]:
        asked = Asked()
        asked.follow({VIP: 0.05, OTHER: 0.05}, [])
        for _ in range(20):
            asked.follow({OTHER: 0.05}, [])
            asked.follow({VIP: 0.05, OTHER: 0.05}, [])
        while asked.turns.count(OTHER) < 5:
            await asyncio.sleep(0.01)
        await asked.close()
        return asked.turns

    turns = asyncio.run(run())
    assert turns.count(VIP) <= turns.count(OTHER) + 1


def test_of_many_who_claim_a_vip_no_more_than_so_many_are_remembered() -> None:
    async def run() -> tuple[int, int]:
        asked = Asked()
        asked.follow({VIP: 10}, [])
        for mac in range(1, 2 * conflicts.MOST):
            hear(asked, mac)
        await asked.close()
        return len(asked.of(VIP)), asked.changes

    assert asyncio.run(run()) == (conflicts.MOST, conflicts.MOST)


def test_an_interface_that_goes_while_it_is_asked_on_is_no_other_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wire:
        def send(self, frame: bytes) -> None:
            pass

    async def run() -> None:
        asked = Asked()
        interface = Interface(7, "gone", bytes(6), 1500)
        asked._wires[7] = interface, Wire()  # type: ignore[assignment]
        asking = asyncio.create_task(asked.macs(7, VIP))
        await asyncio.sleep(0)
        del asked._wires[7]
        with pytest.raises(OSError, match="not served"):
            await asking
        await asked.close()

    asyncio.run(run())


def test_a_stranger_who_claims_a_vip_again_and_again_is_answered_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every claim turns somebody's cache; each is answered, but none within the interval of RFC 5227."""
    clock, announced = [0.0], []
    monkeypatch.setattr(defence, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    member = (0x0B).to_bytes(6, "big")

    async def run() -> None:
        owned = Defence(untold, lambda vip: announced.append(clock[0]))
        claimed = MemberConflicts(
            lambda index, address: member,
            lambda vip, members: owned.heard(vip, claimed.strangers(vip), owned=True),
            lambda vip: owned.heard_again(vip, owned=True),
        )
        service = replace(plans.service(topology.load(topology.find("l2_dsr"))), vip="192.0.2.1", monitors=())
        claimed.follow([service], [])
        for clock[0] in (0.0, 3.0, 30.0, 33.0, 60.0):
            for mac in (0x0A, 0x0B):
                claimed.watch._take(7, arp.Packet(arp.REQUEST, mac.to_bytes(6, "big"), VIP, VIP))
        await claimed.close()

    asyncio.run(run())
    assert announced == [0.0, 30.0, 60.0]


def test_what_an_engine_claimed_that_is_gone_is_held_against_nobody() -> None:
    """It answered ARP while the VIP was its own. It is a stranger when it answers afterwards."""
    mac, engines = (1).to_bytes(6, "big"), set[bytes]()
    changes: list[bytes] = []
    claimed = MemberConflicts(
        lambda interface, address: None, lambda vip, members: changes.append(vip), engines=lambda: engines
    )

    async def run() -> None:
        claimed.watch.follow({VIP: 60.0}, [])

        def answers() -> None:
            for _ in range(conflicts.ANSWERED):
                claimed.watch._turn(VIP)
                claimed.watch._take(7, arp.Packet(arp.REPLY, mac, VIP, OTHER))

        engines.add(mac)
        claimed.engines_changed()
        answers()
        assert claimed.watch.of(VIP)
        assert not claimed.strangers(VIP)
        engines.clear()
        claimed.engines_changed()
        assert not claimed.strangers(VIP)
        answers()
        assert [one.mac for one in claimed.strangers(VIP)] == [mac]
        await claimed.close()

    asyncio.run(run())


def test_claims_of_many_cost_one_look_at_each_member() -> None:
    looks: list[tuple[int, bytes]] = []
    macs = {bytes((10, 0, 0, n)): bytes((2, 0, 0, 0, 0, n % 20)) for n in range(1, 41)}  # two addresses a MAC address
    servers = tuple(plan.Server(".".join(map(str, address)), 80) for address in macs)

    async def run() -> None:
        def look(*where: Any) -> bytes:
            looks.append(where)
            return macs[where[1]]

        claimed = MemberConflicts(look, lambda vip, members: None)
        one = replace(plans.service(topology.load(topology.find("l2_dsr"))), vip="192.0.2.1", monitors=())
        claimed.follow([replace(one, servers=servers)], [])
        for mac in (*set(macs.values()), bytes.fromhex("020000000099")):
            claimed.watch._take(7, arp.Packet(arp.REPLY, mac, VIP, VIP))
        looks.clear()
        assert claimed.match() == set()
        assert len(looks) == len(servers)
        for address, mac in macs.items():
            assert [claim.mac for claim in claimed.of(one.pool_uuid, address)] == [mac]
        assert [claim.mac.hex() for claim in claimed.strangers(VIP)] == ["020000000099"]
        await claimed.close()

    asyncio.run(run())


def test_two_engines_that_both_own_a_vip_do_not_flood_their_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hears the other's announcements and answers as claims: a minute of both."""
    clock = [0]
    monkeypatch.setattr(defence, "time", SimpleNamespace(monotonic=lambda: float(clock[0])))
    announced: tuple[list[int], list[int]] = ([], [])
    base = replace(plans.service(topology.load(topology.find("l2_dsr"))), vip="192.0.2.1", monitors=())
    macs = [bytes((2, 0, 0, 0, 0, n)) for n in range(2)]

    def engine(number: int) -> MemberConflicts:
        owned = Defence(untold, lambda vip: announced[number].append(clock[0]))
        claimed = MemberConflicts(
            lambda index, address: None,
            lambda vip, members: owned.heard(vip, claimed.strangers(vip), owned=True),
            lambda vip: owned.heard_again(vip, owned=True),
        )
        claimed.follow([base], [])
        return claimed

    async def run() -> None:
        engines = [engine(0), engine(1)]
        for clock[0] in range(60):
            for number, claimed in enumerate(engines):
                other = macs[1 - number]
                claimed.watch._asked[VIP] += 1
                claimed.watch._take(7, arp.Packet(arp.REPLY, other, VIP, bytes(4)))
                for when in announced[1 - number]:
                    if 0 <= clock[0] - when < gratuitous.REPEATS:
                        for operation in (arp.REQUEST, arp.REPLY):
                            claimed.watch._take(7, arp.Packet(operation, other, VIP, VIP))
        for claimed in engines:
            await claimed.close()

    asyncio.run(run())
    assert all(5 <= len(times) <= 6 for times in announced), announced
