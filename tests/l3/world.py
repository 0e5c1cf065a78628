"""Routers between everybody: client — core — engine, and core — far router — servers, with a narrow link in between.

    client 10.50.0.2 ─ core ─ 10.1.0.2 engine (VIPs 10.1.0.100 …)
                        │ MTU 1400
                       far ─ 10.2.0.11 web1, .12 web2, .13 unprepared

The servers' answers go far → core → client, past the engine.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from dataplane import client, plan
from dataplane.drivers import registry, selection
from dataplane.errors import EngineError
from dataplane.plan import sqlite
from dataplane.server import record
from tests import forked
from tests.drivers import REFERENCE
from tests.netns import Namespace
from tests.polling import until

NARROW = 1400
PORT = 80
ENGINE, CLIENT = "10.1.0.2", "10.50.0.2"
VIPS = {plan.L3_IPIP: "10.1.0.100", plan.L3_GRE: "10.1.0.101"}
SERVERS = {"web1": "10.2.0.11", "web2": "10.2.0.12", "unprepared": "10.2.0.13"}
PREPARED = ("web1", "web2")
MONITOR = plan.Monitor(
    "m1", "HEALTH_MONITOR_TCP", send_interval=1, receive_timeout=1, successful_checks=1, failed_checks=1, port=PORT
)
NAME = f"l3-{os.getpid()}"


def service(mode: str, protocol: str = "tcp", **changed: Any) -> plan.Service:
    """A service of the VIP that stands for a mode, on all three servers."""
    values: dict[str, Any] = {
        "virtualservice": f"vs-{mode}-{protocol}",
        "uuid": f"virtualservice-{mode}-{protocol}",
        "tenant": "admin",
        "vip": VIPS[mode],
        "protocol": protocol,
        "port": PORT,
        "port_end": PORT,
        "mode": mode,
        "hash_key": plan.BY_ADDRESS_AND_PORT,
        "idle_timeout": 300,
        "pool": f"p-{mode}",
        "pool_uuid": f"pool-{mode}",
        "slots": 4099,
        "seed": 7,
        "servers": tuple(plan.Server(address, PORT) for address in SERVERS.values()),
        "monitors": (MONITOR,),
    }
    return plan.Service(**values | changed)


class World:
    """The network, its servers' programs and one engine."""

    def __init__(self, folder: Path, spaces: Mapping[str, Namespace]) -> None:
        self.folder = folder
        self.spaces = spaces
        self.driver = REFERENCE
        self.engine: subprocess.Popen[bytes] | None = None

    def spawn(self, where: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a Python module of ours in a namespace."""
        with (self.folder / f"{where}.log").open("ab") as log:
            argv = ["nsenter", f"--net={self.spaces[where].path}", sys.executable, "-m", *words]
            return forked.popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def avi_server(self, where: str, verb: str, *words: str) -> str:
        """Run avi-server on a server for both VIPs; what it said. Raises CalledProcessError."""
        argv = ["nsenter", f"--net={self.spaces[where].path}", sys.executable, "-m", "dataplane.server", verb]
        for vip in VIPS.values():
            argv += ["--vip", vip]
        return forked.run([*argv, "--mode", "l3", *words], check=True, stdout=subprocess.PIPE, text=True).stdout

    def publish(self, *services: plan.Service) -> None:
        """Write the plan that the engine follows."""
        with closing(sqlite3.connect(self.folder / "config.db")) as connection, connection:
            connection.executescript(sqlite.SCHEMA)
            sqlite.write(connection, 1, services, plan.Common())

    def start_engine(self) -> None:
        """Run an engine and wait until it answers."""
        if not registry.entry(self.driver).completes_offloads:
            self.spaces["client"].sh("ethtool -K eth0 tx off >/dev/null")
        self.spaces["core"].run(lambda: selection.prepare_peer(self.driver, "engine"))
        words = ("dataplane", "run", "--state", str(self.folder), "--name", NAME)
        self.engine = self.spawn("engine", *words, "--interface", "eth0", "--driver", self.driver)
        until(lambda: self.status() is not None, self.log)

    def end_engine(self, signum: int = signal.SIGTERM) -> None:
        """Send the engine a signal and wait for its end."""
        if self.engine is not None:
            self.engine.send_signal(signum)
            self.engine.wait(60)
            self.engine = None

    def status(self) -> dict[str, Any] | None:
        """What the engine reports; None while it does not answer."""
        assert self.engine is not None
        assert self.engine.poll() is None, self.log()
        try:
            return client.ask(self.folder, NAME, "status")
        except EngineError:
            return None

    def servers(self, mode: str) -> dict[str, tuple[str, str]]:
        """State and reason of a pool's servers, by name."""
        told = self.status() or {"pools": []}
        (pool,) = (pool for pool in told["pools"] if pool["uuid"] == f"pool-{mode}")
        by_address = {s["address"]: (s["state"], s["reason"]) for s in pool["servers"]}
        return {name: by_address[address] for name, address in SERVERS.items()}

    def log(self) -> str:
        """What the engine said."""
        return (self.folder / "engine.log").read_text("utf-8", "replace")[-4000:]


@contextmanager
def built(folder: Path) -> Iterator[World]:
    """The network with its servers' programs running and prepared; no engine yet."""
    with ExitStack() as stack:
        names = ("client", "core", "engine", "far", *SERVERS)
        spaces = {name: stack.enter_context(Namespace()) for name in names}
        _wire(spaces)
        for name in SERVERS:
            stack.callback(record.forget, spaces[name].path.stat().st_ino)
        world = World(folder, spaces)
        for name in SERVERS:
            process = world.spawn(name, "tests.l3.peer", name, str(PORT))
            stack.callback(_end, process)
        stack.callback(world.end_engine)
        for name in PREPARED:
            world.avi_server(name, "apply", "--client", CLIENT)
        for name in SERVERS:
            until(lambda n=name: f":{PORT}" in spaces[n].sh("ss -Hltn"), lambda: "no server listens")  # type: ignore[misc]
        yield world


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _wire(spaces: Mapping[str, Namespace]) -> None:
    for name in ("core", "far"):
        spaces[name].sh(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0\n"
            "sysctl -qw net.ipv4.icmp_ratelimit=0\n"  # a word a second is not enough for all who ask here
            "sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0"
        )
    core, far = spaces["core"], spaces["far"]
    for name, address, router in (("client", CLIENT, "10.50.0.1"), ("engine", ENGINE, "10.1.0.1")):
        spaces[name].sh(
            f"ip link add eth0 type veth peer name {name} netns {core.name}; ip link set eth0 up\n"
            f"ip addr add {address}/24 dev eth0"
        )
        core.sh(f"ip link set {name} up; ip addr add {router}/24 dev {name}")
        spaces[name].sh(f"ip route add default via {router}")
    core.sh(
        f"ip link add far type veth peer name core netns {far.name}; ip link set far mtu {NARROW} up\n"
        "ip addr add 10.9.0.1/30 dev far"
    )
    far.sh(f"ip link set core mtu {NARROW} up; ip addr add 10.9.0.2/30 dev core; ip route add default via 10.9.0.1")
    core.sh("ip route add 10.2.0.0/24 via 10.9.0.2")
    far.sh("ip link add br0 type bridge; ip link set br0 up; ip addr add 10.2.0.1/24 dev br0")
    for name, address in SERVERS.items():
        spaces[name].sh(
            f"ip link add eth0 type veth peer name {name} netns {far.name}; ip link set eth0 up\n"
            f"ip addr add {address}/24 dev eth0"
        )
        far.sh(f"ip link set {name} master br0 up")
        spaces[name].sh("ip route add default via 10.2.0.1")
