"""Neighbours read and asked for in many: as ip(8) shows them."""

import json
import time

import pytest

from dataplane.network import neighbours

from ..netns import Namespace
from ..packets.world import ip, mac

pytestmark = pytest.mark.root


def test_every_neighbour_with_a_mac_address_is_read() -> None:
    with Namespace() as there:
        there.sh(
            "ip link add eth0 type veth peer name eth1; ip addr add 10.0.0.1/16 dev eth0; ip link set eth0 up\n"
            "ip link set eth1 up; ip -6 neigh add fe80::1 dev eth0 lladdr 02:00:00:00:00:99 nud permanent"
        )
        states = ("permanent", "reachable", "stale", "delay", "noarp", "failed", "incomplete")
        for n, state in enumerate(states):
            there.sh(f"ip neigh add 10.0.1.{n} dev eth0 lladdr {mac(n).hex(':')} nud {state}")
        many = "".join(
            f"neigh add 10.0.{2 + n // 250}.{n % 250} dev eth0 lladdr 02:00:00:00:00:77\n" for n in range(900)
        )
        there.sh(f"ip -batch - <<'END'\n{many}END")
        index, _ = there.link("eth0")
        told = there.run(neighbours.known)
        found = told.macs[index]
        assert {address[3]: mac for address, mac in found.items() if address[2] == 1} == {n: mac(n) for n in range(5)}
        assert len(found) == 905
        permanent = json.loads(there.sh("ip -4 -j neigh show dev eth0 nud permanent"))
        assert told.permanent == {index: {ip(one["dst"]) for one in permanent}}
        assert ip("10.0.1.0") in told.permanent[index]


def test_neighbours_are_asked_for() -> None:
    """Nobody answers here: the kernel's own table tells that it asks."""
    with Namespace() as there:
        there.sh(
            "ip link add eth0 type veth peer name eth1; ip addr add 10.0.0.1/16 dev eth0; ip link set eth0 up\n"
            "ip link set eth1 up"
        )
        index, _ = there.link("eth0")
        resolver = there.run(neighbours.Resolver)
        try:
            wanted = [(index, ip(f"10.0.{n // 250}.{n % 250 + 2}")) for n in range(400)]
            resolver.resolve([*wanted, (index + 100, ip("10.0.9.9"))])  # of no interface: nothing is heard of it
            resolver.resolve([])
            deadline = time.monotonic() + 45
            while len(json.loads(there.sh("ip -j neigh show dev eth0 nud all"))) < len(wanted):
                assert time.monotonic() < deadline
        finally:
            resolver.close()
