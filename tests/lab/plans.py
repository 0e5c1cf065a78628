"""A laboratory's plan, written straight into the store: the forwarding half alone is under test."""

from __future__ import annotations

import itertools
import os
import socket
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

from dataplane import plan
from dataplane.forwarding import maglev
from dataplane.lab import topology
from dataplane.lab.laboratory import Lab
from dataplane.lab.topology import Node, Topology
from dataplane.plan import sqlite

SEED = 7
MONITOR = plan.Monitor(
    "m1", "HEALTH_MONITOR_TCP", send_interval=1, receive_timeout=1, successful_checks=1, failed_checks=2
)
NOTICED = MONITOR.failed_checks * MONITOR.send_interval + MONITOR.receive_timeout
"""Seconds after which a dead server gets no request any more."""

_numbers = itertools.count(1)


def lab_name() -> str:
    """A laboratory's name that no other test run has."""
    return f"t{os.getpid()}x{next(_numbers)}"


def new_lab(example: str, driver: str, sockets: str = "") -> Lab:
    """A laboratory of a shipped topology, whose engine bears the laboratory's name: its pins do, too."""
    name = lab_name()
    shipped = replace(topology.load(topology.find(example)), engine_name=name)
    return Lab(shipped, name=name, driver=driver, sockets=sockets)


def service(there: Topology) -> plan.Service:
    """What the example's session makes of a topology."""
    return plan.Service(
        virtualservice="vs1",
        uuid="virtualservice-1",
        tenant="admin",
        vip=there.vip,
        protocol=there.protocol,
        port=there.port,
        port_end=there.port,
        mode=plan.L3_IPIP if there.router else plan.L2,
        hash_key=plan.BY_ADDRESS_AND_PORT,
        idle_timeout=300,
        pool="p1",
        pool_uuid="pool-1",
        slots=plan.SLOTS,
        seed=SEED,
        servers=tuple(plan.Server(node.address, there.port) for node in there.servers),
        monitors=(MONITOR,),
    )


def publish(lab: Lab) -> None:
    """Commit the plan like the shell does."""
    lab.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(sqlite3.connect(lab.state / "config.db")) as store, store:
        store.executescript(sqlite.SCHEMA)
        sqlite.write(store, 1, [service(lab.topology)], plan.Common())


def start(lab: Lab, *options: str) -> None:
    """Everything runs and takes its share. options: of `avi-se run`."""
    publish(lab)
    lab.start_servers()
    lab.start_engine(*options)
    lab.wait_ready()


def owners(there: Topology, ports: Iterable[int], servers: Iterable[Node]) -> dict[int, str]:
    """The server, by name, that a table of these servers gives each of the client's source ports."""
    nodes = list(servers)
    table = maglev.build_table([(socket.inet_aton(node.address), 1) for node in nodes], plan.SLOTS, SEED)
    client = int.from_bytes(socket.inet_aton(there.client.address), "big")
    return {port: nodes[table[maglev.slot_of(client, port, SEED, plan.SLOTS)]].name for port in ports}
