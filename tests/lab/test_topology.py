"""Topology files: the shipped ones, and what is wrong with others."""

from pathlib import Path

import pytest

from dataplane.errors import LabError
from dataplane.lab import topology

SHIPPED = (topology.EXAMPLES / "l2_dsr.toml").read_text()
GROUP = (topology.EXAMPLES / "bgp_ecmp.toml").read_text()


@pytest.mark.parametrize("path", sorted(topology.EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_topology_loads_and_its_session_is_there(path: Path) -> None:
    loaded = topology.load(topology.find(path.stem))
    session = loaded.session.read_text()
    for address in (loaded.vip, *(server.address for server in loaded.servers)):
        assert address in session


def test_a_mac_address_shows_the_ip_address() -> None:
    assert topology.Node("a", "10.10.10.50").mac == "02:00:0a:0a:0a:32"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('vip = "10.10.10.100"', "", "vip is missing"),
        ('vip = "10.10.10.100"', 'vip = "10.10"', "Expected 4 octets"),
        ('protocol = "tcp"', 'protocol = "sctp"', "expected one of tcp, udp"),
        ("port = 80", "port = 0", "expected 1 to 65535"),
        ("server1", "client", "host name 'client'"),
        ("server1", "an_underscore", "host name 'an_underscore'"),
        ("se-1", "se.1", "engine name 'se.1'"),
        ("10.10.10.12", "192.0.2.1", "server2's address 192.0.2.1 is not in 10.10.10.0/24"),
        ("10.10.10.12", "10.10.10.11", "server2 and server1 both have the address 10.10.10.11"),
        ("10.10.10.12", "10.10.10.100", "server2 and the VIP both have the address 10.10.10.100"),
        ("[servers]", "[servers", "Expected ']'"),
        ('se2 = "10.10.10.3"\nse3 = "10.10.10.4"\n', "", "expected at least two engines, and a router with clients"),
        ("clients =", "servers =", "expected at least two engines, and a router with clients"),
        ("se3", "router", "host name 'router'"),
        ("10.10.10.4", "10.10.10.3", "se3 and se2 both have the address 10.10.10.3"),
    ],
)
def test_a_wrong_topology_is_refused_with_its_file_and_fault(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    shipped = SHIPPED if old in SHIPPED else GROUP
    assert old in shipped
    path.write_text(shipped.replace(old, new, 1))
    with pytest.raises(LabError) as refused:
        topology.load(path)
    assert str(path) in str(refused.value)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('address = "10.10.10.1"', 'address = "10.20.20.1"', "router's address 10.20.20.1 is not in 10.10.10.0/24"),
        ("10.20.20.1/24", "10.30.30.1/24", "server1's address 10.20.20.11 is not in 10.30.30.0/24"),
        ("10.20.20.1/24", "10.20.20.11/24", "router and server1 both have the address 10.20.20.11"),
        ("server3", "far", "host name 'far'"),
        ('servers = "10.20.20.1/24"', "", "servers is missing"),
    ],
)
def test_a_wrong_router_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    shipped = (topology.EXAMPLES / "l3_dsr.toml").read_text()
    path = tmp_path / "wrong.toml"
    assert old in shipped
    path.write_text(shipped.replace(old, new, 1))
    with pytest.raises(LabError, match=message):
        topology.load(path)


def test_an_unknown_example_is_refused_with_those_there_are() -> None:
    with pytest.raises(LabError, match="there are active_standby, bgp_ecmp, l2_dsr, l3_dsr, udp_echo"):
        topology.find("nothing")
