"""Two engines on a segment that floods every frame to every port, and a server that sends on what it should deliver:
frames do not multiply."""

from __future__ import annotations

import dataclasses
import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from dataplane import client, plan
from dataplane.drivers import selection
from dataplane.errors import EngineError
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import inside, stop
from dataplane.plan import sqlite
from tests.drivers import COMMON

from .test_transitions import NODES, PORT, TOPOLOGY, VIP, A, B, ready

SECOND = NODES[3]
"""This one is a second engine, not a server."""
SERVERS = NODES[:2]
COUNT = 200


class Stage:
    """A laboratory whose switch is a hub, with engines on two of its hosts."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.states = {"engine": lab.state, SECOND.name: lab.folder / "second"}
        self.programs: list[subprocess.Popen[bytes]] = []

    def run(self, driver: str) -> None:
        """Start both engines on the same plan, without monitors: a broken server stays in the table."""
        service = plan.Service(
            "vs-udp", "virtualservice-udp", "admin", VIP, "udp", PORT, PORT, plan.L2, plan.BY_ADDRESS_AND_PORT, 300,
            "p1", "pool-1", plan.SLOTS, 99, servers=(plan.Server(A, PORT), plan.Server(B, PORT)),
        )  # fmt: skip
        for host, state in self.states.items():
            state.mkdir(mode=0o700, exist_ok=True)
            with sqlite3.connect(state / "config.db") as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(sqlite.SCHEMA)
                sqlite.write(connection, 1, [service], plan.Common())
            connection.close()
            # Both announced the VIP before: an engine that is new to it would not, while the other one answers.
            (state / f"{TOPOLOGY.engine_name}-{host}.vips").write_text(f"vip {socket.inet_aton(VIP).hex()}\n")
            words = [sys.executable, "-m", "dataplane", "run", "--state", str(state), "--interface", "eth0"]
            words += ["--name", f"{TOPOLOGY.engine_name}-{host}", "--driver", driver]
            self.programs.append(self.lab.hosts[host].spawn(words, self.lab.log(host)))
        self.lab.wait(lambda: all(told and told["vips"][0]["announced"] for told in self.told().values()), "engines")
        self.lab.wait(lambda: all(map(resolved, self.told().values())), "the servers' MAC addresses")

    def told(self) -> dict[str, dict[str, Any] | None]:
        """What each engine reports, by host."""
        found: dict[str, dict[str, Any] | None] = {}
        for host, state in self.states.items():
            try:
                found[host] = client.ask(state, f"{TOPOLOGY.engine_name}-{host}", "status")
            except EngineError:
                found[host] = None
        return found

    def forwarded(self) -> int:
        return sum(s["packets"] for told in self.told().values() if told for s in told["services"])

    def looped(self) -> int:
        return sum(told["dropped"].get("looped", 0) for told in self.told().values() if told)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """COUNT datagrams, each from a port of its own; the ports stay open inside."""
        program = [sys.executable, "-m", "tests.lab.burst", VIP, str(PORT), str(COUNT)]
        words = self.lab.hosts["client"].command(*program)
        with subprocess.Popen(words, stdin=subprocess.PIPE) as sender:
            yield
            sender.communicate()
        assert sender.returncode == 0

    def reaches(self, number: Callable[[], int], least: int, what: str) -> None:
        """Wait until a number is so large."""
        self.lab.wait(lambda: number() >= least, what)

    def answered(self) -> int:
        """Datagrams that programs of the client's host were given."""
        told = self.lab.hosts["client"].call("cat", "/proc/net/snmp").splitlines()
        names, numbers = (line.split() for line in told if line.startswith("Udp:"))
        return int(numbers[names.index("InDatagrams")])

    def frames_on_the_segment(self) -> int:
        """Frames that the switch has received, on all ports."""
        ports = json.loads(self.lab.switch.call("ip", "-j", "-s", "link", "show", "type", "veth"))
        return sum(port["stats64"]["rx"]["packets"] for port in ports)


def resolved(told: dict[str, Any] | None) -> bool:
    """Whether an engine knows the servers' MAC addresses."""
    return told is not None and all(s["mac"] for p in told["pools"] for s in p["servers"])


@pytest.fixture(params=COMMON)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    topology = dataclasses.replace(TOPOLOGY, title="flooding")
    with Lab(topology, driver=request.param) as lab:
        for node in topology.nodes:
            lab.switch.call("ip", "link", "set", node.name, "type", "bridge_slave", "learning", "off", "flood", "on")
        inside(lab.switch, lambda: selection.prepare_peer(request.param, SECOND.name))
        lab.prepare(SERVERS)
        stage = Stage(lab)
        for node in SERVERS:
            words = [sys.executable, "-m", "tests.lab.greeter", node.name, str(PORT)]
            stage.programs.append(lab.hosts[node.name].spawn(words, lab.log(node.name)))
            lab.wait(partial(ready, lab, node), "the servers")
        try:
            stage.run(request.param)
            yield stage
        finally:
            for program in stage.programs:
                stop(program)


def test_every_frame_is_forwarded_once_by_one_engine(stage: Stage) -> None:
    for count in (COUNT, 2 * COUNT):
        with stage.sending():
            stage.reaches(stage.forwarded, count, "the datagrams to be forwarded")
            stage.reaches(stage.answered, count, "their answers to reach the client")
        assert stage.forwarded() == count
    assert stage.looped() == 0


def test_what_a_server_sends_on_is_dropped_as_looped(stage: Stage) -> None:
    broken = stage.lab.hosts[SERVERS[1].name]
    stage.lab.prepare([SERVERS[1]], "undo")
    broken.call("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0",
                "net.ipv4.conf.eth0.send_redirects=0")  # fmt: skip
    before = stage.frames_on_the_segment()
    with stage.sending():
        stage.reaches(stage.forwarded, COUNT, "the datagrams to be forwarded")
        share = next(
            s["packets"] for told in stage.told().values() if told
            for p in told["pools"] for s in p["servers"] if s["address"] == B and s["packets"]
        )  # fmt: skip
        stage.reaches(stage.looped, share, "what the broken server sent on to be dropped")
        stage.reaches(stage.answered, COUNT - share, "the other server's answers to reach the client")
    assert stage.looped() == share
    assert stage.forwarded() == COUNT
    # A datagram, forwarded, answered or sent on: three frames each, and some ARP.
    assert stage.frames_on_the_segment() - before < 4 * COUNT + 100
