"""Segments with an MTU of 9000: real datagrams of that size through native XDP, straight to servers and in a tunnel."""

import socket
from dataclasses import replace

import pytest

from dataplane import plan
from dataplane.forwarding import rewrite
from dataplane.lab import topology
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import inside
from tests.lab import plans

MTU, HEADERS = 9000, 28
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2  # linux/in.h
PORTS = range(20001, 20021)


@pytest.mark.root
@pytest.mark.parametrize(("example", "mode"), [("udp_echo", plan.L2), ("l3_dsr", plan.L3_IPIP)])
def test_datagrams_of_9000_bytes(example: str, mode: str) -> None:
    """As large as the path allows, with DF: all are answered, each by the server that it belongs to."""
    name = plans.lab_name()
    there = replace(topology.load(topology.find(example)), engine_name=name, protocol="udp", port=7)
    with Lab(there, name=name, driver="xdp") as lab:
        _widen(lab)
        plans.start(lab)
        size = MTU - rewrite.overhead(mode)
        data = bytes(n % 251 for n in range(size - HEADERS))

        def asked(port: int) -> bytes:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                datagrams.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
                datagrams.settimeout(10)
                datagrams.bind(("", port))
                datagrams.sendto(data, (there.vip, there.port))
                return datagrams.recv(1 << 16)

        answers = {port: inside(lab.hosts["client"], lambda port=port: asked(port)) for port in PORTS}  # type: ignore[misc]
        owners = plans.owners(there, PORTS, there.servers)
        assert answers == {port: owners[port].encode() + b" " + data for port in PORTS}
        told = lab.status()
        assert told is not None
        assert told["driver"]["name"] == "xdp"
        assert told["driver"]["interfaces"] == {"eth0": "native"}
        (service,) = told["services"]
        assert (service["packets"], service["bytes"]) == (len(PORTS), len(PORTS) * size)


def _widen(lab: Lab) -> None:
    """Every interface takes packets of 9000 bytes."""
    router = lab._segments.router
    for space in (lab.switch, *lab.hosts.values(), *((router,) if router else ())):
        for line in space.call("ip", "-o", "link").splitlines():
            space.call("ip", "link", "set", line.split(": ")[1].partition("@")[0], "mtu", str(MTU))
