"""Servers that die, come back, or are not ready, while clients go on asking."""

import time

import pytest

from dataplane.lab.laboratory import Lab
from dataplane.lab.standstill import Witness
from tests.lab import plans

PORTS = range(20001, 20501)
INTERVAL = "0.015"
SCHEDULING = 2.0
"""Seconds that a busy machine may take to do what is due."""


@pytest.mark.parametrize("how", ["program killed", "cable pulled"])
def test_a_dead_server_costs_only_its_own_requests_and_only_until_it_is_noticed(lab: Lab, how: str) -> None:
    dead = lab.topology.servers[0]
    full = plans.owners(lab.topology, PORTS, lab.topology.servers)
    without = plans.owners(lab.topology, PORTS, lab.topology.servers[1:])
    asking = lab.start_asking(PORTS, "--interval", INTERVAL, "--timeout", "8", "--at-once", "256")
    asking.until(100)
    with Witness() as machine:
        if how == "program killed":
            lab.stop_server(dead)
        else:
            lab.switch.call("ip", "link", "set", dead.name, "down")
        died = time.monotonic()
        lab.wait(lambda: lab.servers().get(dead.address) == "down", "the death to be noticed")
        noticed = time.monotonic()
        stood = machine.stood(died, noticed)
    assert noticed - died < plans.NOTICED + SCHEDULING + stood
    answers = asking.finish()

    assert [answer.port for answer in answers] == list(PORTS)
    failed = [answer for answer in answers if answer.error]
    assert {full[answer.port] for answer in failed} <= {dead.name}
    assert failed or how == "cable pulled", "a connection that is not refused is begun again, and reaches another"
    assert [answer for answer in failed if answer.at > noticed] == []
    assert [a for a in answers if a.server and a.server not in (full[a.port], without[a.port])] == []
    assert [a for a in answers if a.at > noticed], "the run ended before the death was noticed"
    assert lab.servers()[dead.address] == "down"

    if how == "program killed":
        lab.start_server(dead)
    else:
        lab.switch.call("ip", "link", "set", dead.name, "up")
    lab.wait_ready()
    assert {answer.port: answer.server for answer in lab.ask(PORTS)} == full


def test_a_server_without_the_vip_that_forwards_is_down_beside_a_healthy_one(lab: Lab) -> None:
    """Its host answers and forwards the probe back (ip_forward=1): balanced on, it would look healthy."""
    broken, *healthy = lab.topology.servers
    space, vip = lab.hosts[broken.name], lab.topology.vip
    assert space.call("cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"
    space.call("ip", "addr", "del", f"{vip}/32", "dev", "lo")
    states = {broken.address: "down"} | {node.address: "up" for node in healthy}
    lab.wait(lambda: lab.servers() == states, "the broken server to be down and the others up")
    told = lab.status()
    assert told is not None
    assert told["dropped"]["looped"] >= 1
    assert {a.port: a.server for a in lab.ask(PORTS[:100])} == plans.owners(lab.topology, PORTS[:100], healthy)
    space.call("ip", "addr", "add", f"{vip}/32", "dev", "lo")
    lab.wait_ready()
