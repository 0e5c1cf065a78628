"""A network card that is taken from the kernel whole, and the veth by which the host has it: everything but VIPs goes
across. In the card's place is an interface that the host's stack is kept from."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from dataplane.drivers.dpdk import twin
from dataplane.errors import DriverError
from dataplane.lab import ping
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import inside
from dataplane.lab.topology import ENGINE
from tests.dpdk.conftest import forwarders
from tests.lab import plans
from tests.netns import Namespace
from tests.polling import until

pytestmark = pytest.mark.root
PORTS = range(20001, 20401)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The layer-2 example, whose engine has a card in place of its interface."""
    with plans.new_lab("l2_dsr", "dpdk") as there:
        host = there.hosts[ENGINE]
        host.call("ip", "link", "set", "eth0", "down")
        host.call("ip", "addr", "flush", "dev", "eth0")
        host.call("ip", "link", "set", "eth0", "name", "card0")
        host.call("ip", "link", "set", "card0", "up")
        host.call("nft", "add table netdev card; add chain netdev card first { type filter hook ingress device card0 "
                  "priority 0; policy drop; }")  # fmt: skip
        there.interface = "af_packet:card0=eth0"
        plans.publish(there)
        there.start_servers()
        there.start_engine()
        node = there.topology.engine
        host.call("ip", "addr", "add", f"{node.address}/24", "dev", "eth0")
        there.wait_ready()
        yield there


def reaches_the_host(lab: Lab) -> bool:
    """Whether the client's ping is answered by the engine's host."""
    return inside(lab.hosts["client"], lambda: ping.answered(lab.topology.engine.address, 10))


def mac(lab: Lab, name: str) -> str:
    return str(json.loads(lab.hosts[ENGINE].call("ip", "-j", "link", "show", "dev", name))[0]["address"])


def test_the_host_is_reached_and_forwards_while_the_card_is_taken(lab: Lab) -> None:
    assert mac(lab, "eth0") == mac(lab, "card0")
    assert reaches_the_host(lab)
    assert {answer.error for answer in lab.ask(PORTS[:50])} == {""}
    former = forwarders(lab)[0]
    asking = lab.start_asking(PORTS, "--interval", "0.005", "--timeout", "8")
    asking.until(100)
    os.kill(former, signal.SIGKILL)
    until(lambda: forwarders(lab) not in ([], [former]))
    answers = asking.finish()
    assert [answer for answer in answers if answer.error] == []
    assert reaches_the_host(lab)


def test_a_killed_engine_leaves_the_card_in_service_and_the_next_one_gives_it_back(lab: Lab) -> None:
    lab.stop_engine(signal.SIGKILL)
    assert reaches_the_host(lab)
    assert {answer.error for answer in lab.ask(PORTS[:50])} == {""}
    running = forwarders(lab)
    lab.start_engine()
    assert forwarders(lab) == running
    lab.wait(lambda: set(lab.servers().values()) == {"up"}, "servers to be up again")
    assert lab.stop_engine() == 0
    assert forwarders(lab) == []
    assert "eth0" not in lab.hosts[ENGINE].call("ip", "link")


def test_the_hosts_carrier_follows_the_cards() -> None:
    with Namespace() as there:
        assert there.run(lambda: twin.make("eth1", "one"))
        for up in (False, True):
            there.run(lambda up=up: twin.set_link("eth1", up=up))  # type: ignore[misc]
            assert ("LOWER_UP" in json.loads(there.sh("ip -j link show dev eth1"))[0]["flags"]) == up


def test_an_interface_of_somebody_elses_is_left_alone() -> None:
    with Namespace() as there:
        there.sh("ip link add eth1 type veth peer name other")
        with pytest.raises(DriverError, match="there is an interface eth1 already"):
            there.run(lambda: twin.make("eth1", "one"))
        assert there.run(lambda: twin.make("eth2", "one"))
        assert not there.run(lambda: twin.make("eth2", "one")), "it is there"
        with pytest.raises(DriverError, match="there is an interface eth2 already"):
            there.run(lambda: twin.make("eth2", "other"))
        assert there.run(lambda: twin.of("one")) == ["eth2"]
