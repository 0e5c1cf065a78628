"""Gratuitous ARP: what is on the wire, and what is told where nothing can be sent."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from dataplane.forwarding.values import Interface
from dataplane.vip import arp
from dataplane.vip.announcer import Announcement, Known, State
from dataplane.vip.gratuitous import GratuitousArp, frames
from tests.netns import Namespace

VIP, MAC = bytes((10, 0, 0, 100)), bytes.fromhex("020000000001")
WITHDRAWN = Announcement(State.WITHDRAWN)


def test_a_request_and_a_reply_name_the_vip_as_sender_and_target() -> None:
    assert [arp.parse(frame) for frame in frames(MAC, VIP)] == [
        arp.Packet(arp.REQUEST, MAC, VIP, VIP),
        arp.Packet(arp.REPLY, MAC, VIP, VIP),
    ]
    assert all(frame[:12] == arp.BROADCAST + MAC for frame in frames(MAC, VIP))


async def announced(*interfaces: Interface) -> list[Announcement]:
    """What is told before a VIP is announced, once it was, and when it is withdrawn."""
    arping = GratuitousArp()
    arping.follow(interfaces)
    told = [arping.state(VIP)]
    arping.announce(Known(VIP, by_arp=True))
    await asyncio.sleep(0)
    told.append(arping.state(VIP))
    arping.withdraw(VIP)
    told.append(arping.state(VIP))
    await arping.close()
    return told


@pytest.mark.root
def test_a_vip_is_announced_where_an_interface_takes_it(host: Namespace) -> None:
    def run() -> tuple[list[Announcement], list[arp.Packet | None]]:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("wire", arp.ETH_P_ARP))
            wire.settimeout(45)
            eth0 = Interface(socket.if_nametoindex("eth0"), "eth0", MAC, 1500)
            told = asyncio.run(announced(replace(eth0, name="gone"), eth0))
            return told, [arp.parse(wire.recv(2048)) for _ in range(2)]

    told, heard = host.run(run)
    assert told == [WITHDRAWN, Announcement(State.ANNOUNCED), WITHDRAWN]
    assert heard == [arp.Packet(arp.REQUEST, MAC, VIP, VIP), arp.Packet(arp.REPLY, MAC, VIP, VIP)]


@pytest.mark.root
def test_where_no_interface_takes_it_the_reason_is_told(host: Namespace) -> None:
    host.sh("ip link set eth0 down")
    eth0 = Interface(7, "eth0", MAC, 1500)
    told = host.run(lambda: asyncio.run(announced(eth0, replace(eth0, name="gone"))))
    assert told[1] == Announcement(State.FAILED, "eth0: Network is down; gone: No such device")
    assert host.run(lambda: asyncio.run(announced()))[1] == Announcement(State.FAILED, "no interface is served")
