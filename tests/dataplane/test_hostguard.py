"""The host's stack is kept off VIPs, whatever becomes of the interfaces."""

from __future__ import annotations

import asyncio
import socket

import pytest

from dataplane.drivers.pcap.hostguard import HostGuard
from dataplane.forwarding.values import Interface

from ..netns import Namespace
from ..packets.cases import tcp
from ..packets.world import VIP, ip
from ..polling import until

pytestmark = pytest.mark.root


def test_interfaces_that_vanish_together_leave_the_others_guarded() -> None:
    """Kernels before 6.16 refuse a table that names a device which is not there."""
    with Namespace() as there:
        for number in range(3):
            there.sh(f"ip link add eth{number} type veth peer name far{number}")
        interfaces = [Interface(there.link(f"eth{n}")[0], f"eth{n}", there.link(f"eth{n}")[1], 1500) for n in range(3)]

        def live() -> list[str]:
            guard, told = HostGuard("test"), []
            try:
                for interface in interfaces:
                    guard.put_interface(interface)
                told.append(there.sh("nft list ruleset"))
                there.sh("ip link del eth1; ip link del eth2")
                guard.remove_interface(interfaces[1].index)
                guard.put_vips([ip("10.9.0.100")])
                guard.remove_interface(interfaces[2].index)
                told.append(there.sh("nft list ruleset"))
            finally:
                guard.close()
            return [*told, there.sh("nft list ruleset"), guard.fault]

        all_there, left, ended, fault = there.run(live)
        assert [f"interface_{one.index} " in all_there for one in interfaces] == [True, True, True]
        assert [f"interface_{one.index} " in left for one in interfaces] == [True, False, False]
        assert "10.9.0.100" in left
        assert (ended, fault) == ("", "")


@pytest.mark.parametrize(("tag", "reaches"), [(b"", 0), (b"\x81\x00\xa0\x00", 0), (b"\x81\x00\x00\x07", 1),
                                             (b"\x88\xa8\x00\x07", 1)])  # fmt: skip
def test_frames_of_vlans_are_left_to_the_host(tag: bytes, reaches: int) -> None:
    with Namespace() as here, Namespace() as far:
        far.sh(f"ip link add eth0 type veth peer name eth0 netns {here.name}; ip link set eth0 up")
        here.sh("ip link set eth0 up; nft add table netdev seen; nft 'add chain netdev seen in "
                "{ type filter hook ingress device eth0 priority 0; }'; nft add counter netdev seen n; "
                "nft add rule netdev seen in ip daddr 10.0.0.100 counter name n")  # fmt: skip
        interface = Interface(*here.link("eth0")[:1], "eth0", here.link("eth0")[1], 1500)
        sent = interface.mac + far.link("eth0")[1] + tag + b"\x08\x00" + bytes(tcp())

        def send() -> None:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
                wire.bind(("eth0", 0))
                wire.send(sent)

        def live() -> str:
            guard = HostGuard("test")
            try:
                guard.put_interface(interface)
                guard.put_vips([ip(VIP)])
                until(lambda: VIP in here.sh("nft list ruleset").replace("daddr 10.0.0.100", ""))
                far.run(send)
                return here.sh("nft list counters")
            finally:
                guard.close()

        assert f"packets {reaches} " in here.run(live)


def test_a_table_is_whole_until_somebody_takes_something_out_of_it() -> None:
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name far0")
        index, mac = there.link("eth0")

        def live() -> list[list[str]]:
            guard, told = HostGuard("test"), []
            try:
                guard.put_interface(Interface(index, "eth0", mac, 1500))
                guard.put_vips([ip("10.9.0.100")])
                until(lambda: "10.9.0.100" in there.sh("nft list ruleset"))
                there.sh("nft add table ip other; nft delete table ip other")
                for harm in (
                    "delete element netdev avi_test vips { 10.9.0.100 }",
                    f"flush chain netdev avi_test interface_{index}",
                    "flush ruleset",
                    "add table netdev avi_test { flags dormant; }",
                ):
                    assert not guard.missing(), harm
                    there.sh(f"nft '{harm}'")
                    until(guard.missing, lambda h=harm: h)  # type: ignore[misc]
                    told.append([str(one) for one in asyncio.run(guard.restore(guard.missing()))])
                until(lambda: not guard.missing())
            finally:
                guard.close()
            return told

        assert there.run(live) == [["nftables table netdev avi_test"]] * 4


def test_what_is_gone_already_is_not_named() -> None:
    with Namespace() as there:
        there.sh("ip link add eth0 type veth peer name far0; ip link add eth1 type veth peer name far1")
        interfaces = [Interface(there.link(f"eth{n}")[0], f"eth{n}", there.link(f"eth{n}")[1], 1500) for n in range(2)]

        def live() -> str:
            guard = HostGuard("test")
            try:
                for interface in interfaces:
                    guard.put_interface(interface)
                there.sh("ip link del eth1")
                guard.put_interface(interfaces[0])
                return there.sh("nft list ruleset")
            finally:
                guard.close()

        told = there.run(live)
        assert [f"interface_{one.index} " in told for one in interfaces] == [True, False]
