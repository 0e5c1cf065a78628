"""What the settings of the engine's own host do to answers, in a namespace of two interfaces."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from dataplane.network.ownhost import OWN_HOST, OwnHost
from dataplane.network.reachability import NO_FAULT, Fault
from tests.netns import Namespace

pytestmark = pytest.mark.root

NEAR, ROUTED = "10.9.0.100", "192.0.2.100"


@pytest.fixture(scope="module")
def there() -> Iterator[Namespace]:
    with Namespace() as made:
        for number, network in enumerate(("10.9.0.1/24", "10.7.0.1/24")):
            made.sh(f"ip link add eth{number} type veth peer name far{number}; ip link set eth{number} up")
            made.sh(f"ip addr add {network} dev eth{number}")
        yield made


def found(there: Namespace, sender: str) -> Fault:
    """What is wrong with answers of a sender that come by eth0."""

    def look() -> Fault:
        own = OwnHost()
        try:
            return own.fault(socket.inet_aton(sender), "eth0")
        finally:
            own.close()

    return there.run(look)


LINES = [  # all, eth0: rp_filter; another route; the sender; what is said; the keys that the remedy sets
    (0, 0, "", ROUTED, "", ""),
    (1, 0, "", NEAR, "", ""),
    (2, 0, "", NEAR, "", ""),
    (0, 2, "", ROUTED, "no route to that address, and rp_filter=2 of eth0", "all.rp_filter=0 eth0.rp_filter=0"),
    (1, 0, "", ROUTED, "no route to that address, and rp_filter=1 of eth0", "all.rp_filter=0 eth0.rp_filter=0"),
    (0, 1, "default via 10.7.0.2", ROUTED, "strict, and the route to that address leaves by eth1", "eth0.rp_filter=2"),
    (1, 2, "default via 10.7.0.2", ROUTED, "", ""),
    (1, 1, "default via 10.9.0.2", ROUTED, "", ""),
]


@pytest.mark.parametrize(("every", "own", "route", "sender", "says", "sets"), LINES)
def test_the_reverse_path_filter(
    there: Namespace, every: int, own: int, route: str, sender: str, says: str, sets: str
) -> None:
    there.sh(f"sysctl -qw net.ipv4.conf.all.rp_filter={every} net.ipv4.conf.eth0.rp_filter={own}")
    there.sh("ip route flush default" + (f"; ip route add {route}" if route else ""))
    what, remedy = found(there, sender)
    assert says in what
    assert what.startswith(f"{OWN_HOST} drops the answers of {sender}" if says else "")
    assert remedy.replace("net.ipv4.conf.", "") == (f"sysctl -w {sets}" if sets else "")
    if remedy:
        there.sh(remedy)
        assert found(there, sender) == NO_FAULT


def test_a_host_that_answers_no_arp(there: Namespace) -> None:
    there.sh("for c in all eth0; do sysctl -qw net.ipv4.conf.$c.rp_filter=0 net.ipv4.conf.$c.arp_ignore=8; done")
    what, remedy = found(there, NEAR)
    assert what == f"{OWN_HOST} answers no ARP on eth0 (arp_ignore=8): nobody can send to it"
    there.sh(remedy)
    assert found(there, NEAR) == NO_FAULT
