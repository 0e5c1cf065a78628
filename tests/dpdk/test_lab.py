"""Laboratories on DPDK's ports: a shipped example's proof, and what befalls engine and forwarder under traffic."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from dataplane import client, plan
from dataplane.client import instance
from dataplane.drivers import selection
from dataplane.forwarding.devices import AF_PACKET, AF_XDP
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import inside
from dataplane.lab.standstill import Witness
from dataplane.lab.topology import ENGINE
from tests.dpdk.conftest import BACK, forwarders
from tests.lab import plans
from tests.lab.test_demo import avi_lab
from tests.lab.test_teardown import left
from tests.lab.test_transitions import CONNECTIONS, PORT, D, standing
from tests.polling import until

pytestmark = pytest.mark.root
PORTS = range(20001, 20801)
every_socket = pytest.mark.parametrize("sockets", [AF_PACKET, AF_XDP])


@pytest.mark.parametrize(("example", "sockets"), [("l2_dsr", AF_PACKET), ("l3_dsr", AF_XDP)])
def test_a_shipped_example_proves_all_its_claims(example: str, sockets: str) -> None:
    name = plans.lab_name()
    words = ("--driver", "dpdk", "--sockets", sockets, "--requests", "50", "--name", name)
    run = avi_lab("run", example, *words)
    assert run.returncode == 0, run.stdout + run.stderr
    verdicts = [line.split()[0] for line in run.stdout.splitlines() if line.startswith(("OK ", "FAILED "))]
    assert verdicts == ["OK"] * 9
    assert f"driver dpdk (net_{sockets})" in run.stdout
    assert left(name) == []


@contextmanager
def running(sockets: str) -> Iterator[Lab]:
    with plans.new_lab("l2_dsr", "dpdk", sockets=sockets) as there:
        plans.start(there)
        yield there


def test_flows_in_transition_live_through_the_death_of_their_forwarder() -> None:
    """What is remembered of flows lies in files that the next forwarder reads."""
    with standing("dpdk") as scene:
        held = scene.open(CONNECTIONS)
        scene.change(d=plan.Server(D, PORT))
        held |= scene.open(500)
        assert scene.say("ping") == held
        (former,) = forwarders(scene.lab)
        os.kill(former, signal.SIGKILL)
        assert scene.say("ping") == held
        assert forwarders(scene.lab) not in ([], [former])


@every_socket
def test_a_killed_forwarder_is_back_soon_and_keeps_flows_and_counters(sockets: str) -> None:
    begun = time.monotonic()
    with running(sockets) as lab:
        start = time.monotonic() - begun
        asking = lab.start_asking(PORTS, "--interval", "0.005", "--timeout", "8")
        asking.until(200)
        told = lab.status()
        assert told is not None
        former, before = told["driver"]["details"]["process"], told["services"][0]["packets"]
        assert [former] == forwarders(lab)
        with Witness() as machine:
            died = time.monotonic()
            os.kill(former, signal.SIGKILL)
            until(
                lambda: (lab.status() or {"driver": {"details": {"restarts": 0}}})["driver"]["details"]["restarts"] == 1
            )
            stood = machine.stood(died)
        answers = asking.finish()
        assert [answer for answer in answers if answer.error] == [], "TCP sends again what was lost"
        assert {a.port: a.server for a in answers} == plans.owners(lab.topology, PORTS, lab.topology.servers)
        told = lab.status()
        assert told is not None
        assert told["services"][0]["packets"] > before
        (event,) = [one["text"] for one in told["events"] if "another one took over" in one["text"]]
        print(event)
        (seconds,) = re.findall(r"another one took over ([0-9.]+) s later", event)
        assert float(seconds) <= max(BACK, start / 2) + stood


DRIVERS = {"xdp": ("xdp", "eth0"), "af_xdp": ("dpdk", "af_xdp:eth0"), "af_packet": ("dpdk", "af_packet:eth0")}


@pytest.mark.parametrize(
    ("former", "then"),
    [("xdp", "af_xdp"), ("af_xdp", "xdp"), ("af_xdp", "af_packet"), ("af_packet", "af_xdp")],
)
def test_an_engine_that_starts_on_another_driver_ends_what_a_killed_run_left(former: str, then: str) -> None:
    with plans.new_lab("l2_dsr", "xdp") as lab:
        name, end = lab.topology.engine_name, f"*-{instance(lab.state, '').lstrip('-')}"
        lab.driver, lab.interface = DRIVERS[former]
        plans.start(lab)
        lab.stop_engine(signal.SIGKILL)
        assert client.left(lab.state) == [name]
        lab.driver, lab.interface = DRIVERS[then]
        lab.start_engine()
        lab.wait(lambda: set(lab.servers().values()) == {"up"}, "servers to be up again")
        assert {answer.error for answer in lab.ask(PORTS[:50])} == {""}
        assert lab.stop_engine() == 0
        assert [path for place in client.KEPT for path in place.glob(end)] == []
        assert lab.hosts[ENGINE].call("nft", "list", "tables", "netdev") == ""


def test_an_engine_that_is_given_no_interface_takes_its_own_again() -> None:
    with running(AF_XDP) as lab:
        index = inside(lab.hosts[ENGINE], lambda: socket.if_nametoindex("eth0"))
        lab.stop_engine(signal.SIGKILL)
        mine = instance(lab.state, lab.topology.engine_name)
        assert inside(lab.hosts[ENGINE], partial(selection.holder, mine, index)) is None
        other = inside(lab.hosts[ENGINE], partial(selection.holder, "other", index))
        assert str(other) == f"what service engine {lab.topology.engine_name} of {lab.state} left to the kernel"
