"""A made-up packet of a flow, and the server that what leaves goes to."""

from __future__ import annotations

import socket
from array import array

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from dataplane import plan
from dataplane.engine import flowquery
from dataplane.forwarding import maglev, rewrite, values
from dataplane.forwarding.driver import Trace
from dataplane.forwarding.tracking import Flow, Remembered
from dataplane.plan.history import Held

from ..packets.world import ip, mac

ETH0 = values.Interface(3, "eth0", mac(1), 1500)
SERVERS = (values.Target(ip("10.0.0.11"), True, mac(11), 3), values.Target(ip("10.0.0.12"), True, mac(12), 3))


@pytest.mark.parametrize(("protocol", "layer"), [(values.TCP, TCP), (values.UDP, UDP)])
def test_the_packet_is_one_that_a_client_could_send(protocol: int, layer: type) -> None:
    frame = flowquery.frame(Flow(ip("192.0.2.7"), ip("10.0.0.100"), protocol, 40000, 80), ETH0)
    packet = Ether(frame)
    assert (packet.dst, packet[IP].src, packet[IP].dst) == (mac(1).hex(":"), "192.0.2.7", "10.0.0.100")
    assert (packet[layer].sport, packet[layer].dport) == (40000, 80)
    if layer is TCP:
        assert packet[TCP].flags == "A"
    summed = packet[IP].chksum, packet[layer].chksum
    del packet[IP].chksum, packet[layer].chksum
    again = Ether(bytes(packet))
    assert (again[IP].chksum, again[layer].chksum) == summed


@pytest.mark.parametrize("mode", ["l2", "ipip", "gre"])
def test_the_server_is_known_by_what_leaves(mode: str) -> None:
    pool = values.Pool("p", 1, array("H", [0, 1]), SERVERS, mode)
    packet = bytes(flowquery.frame(Flow(ip("192.0.2.7"), ip("10.0.0.100"), values.TCP, 40000, 80), ETH0))[14:]
    inner = packet if mode == "l2" else rewrite.tunnelled(packet, mode, ip("10.0.0.2"), SERVERS[1].address, 7)
    next_hop = SERVERS[1].mac if mode == "l2" else mac(99)
    assert next_hop is not None
    sent = next_hop + mac(1) + b"\x08\x00" + inner
    assert flowquery._target(Trace("forwarded", "", (sent,), Remembered(), ""), pool) is SERVERS[1]
    assert flowquery._target(Trace("dropped", "no_server", (), Remembered(), ""), pool) is None


def test_who_had_a_slot_before_is_found_in_the_changes_of_its_pool() -> None:
    """A was removed, came back and was removed: what counts is when it went last."""
    a, b = "10.0.0.11", "10.0.0.12"
    service = plan.Service(
        "vs1", "vs-1", "admin", "10.0.0.100", "tcp", 80, 80, plan.L2, plan.BY_ADDRESS, 300, "p1", "pool-1", 251, 7
    )
    both, alone = ((a, 1, 0), (b, 1, 0)), ((b, 1, 0),)
    changes = [Held(at, servers, ()) for at, servers in ((1.0, both), (2.0, alone), (3.0, both), (4.0, alone))]
    table = maglev.build_table([(socket.inet_aton(one), 1) for one in (a, b)], 251, 7)
    had = {owner: slot for slot, owner in enumerate(table)}
    assert flowquery.earlier(changes, service, had[0], b) == (a, 4.0)
    assert flowquery.earlier(changes, service, had[1], b) is None
    assert flowquery.earlier(changes[:3], service, had[0], a) == (b, 3.0)
    assert flowquery.earlier([], service, had[0], a) is None
