"""The host's stack is kept off VIPs, whatever becomes of the interfaces."""

from __future__ import annotations

import pytest

from dataplane.drivers.pcap.hostguard import HostGuard
from dataplane.forwarding.values import Interface

from ..netns import Namespace
from ..packets.world import ip

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
