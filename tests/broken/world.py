"""A service engine with two servers, `broken` and `healthy`, one of which is to be broken.

    l2:  client .50 ─┐
         engine .1 ──┼─ 10.9.0.0/24 ─ broken .11, healthy .12          VIP 10.9.0.100
    l3:  engine 10.9.0.1 ─ router ─ 10.8.0.0/24 ─ broken .11, healthy .12

`broken` has a second card, eth1, there, which no route names. Everybody runs in a network namespace of his own.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from dataplane import client, plan
from dataplane.drivers import selection
from dataplane.errors import EngineError
from dataplane.plan import sqlite
from dataplane.server import record
from tests import forked
from tests.drivers import REFERENCE
from tests.netns import Namespace
from tests.polling import until

VIP, ENGINE, CLIENT = "10.9.0.100", "10.9.0.1", "10.9.0.50"
NETWORKS = {"l2": "10.9.0", "l3": "10.8.0"}
HOSTS = {"broken": 11, "healthy": 12}
PORT = 80
MONITOR = plan.Monitor(
    "m1", "HEALTH_MONITOR_TCP", send_interval=1, receive_timeout=1, successful_checks=1, failed_checks=1, port=PORT
)
BIN = Path(sys.executable).parent
_numbers = itertools.count(1)


class World:
    """The network, its servers' programs and one engine. name: the engine's."""

    def __init__(self, folder: Path, mode: str, spaces: Mapping[str, Namespace], driver: str) -> None:
        self.folder, self.mode, self.spaces, self.driver = folder, mode, spaces, driver
        self.name = f"broken-{os.getpid()}-{next(_numbers)}"
        self.addresses = {name: f"{NETWORKS[mode]}.{number}" for name, number in HOSTS.items()}
        self.serves = ["eth0"]
        self.options: list[str] = []  # more of `avi-se run`
        self.around: list[str] = []  # the command that runs the engine, where there is one
        self._engine: subprocess.Popen[bytes] | None = None
        self.version = 0  # of the plan that was published last
        self._programs: dict[str, subprocess.Popen[bytes]] = {}

    def sh(self, where: str, command: str) -> str:
        """Run a shell command on a host as its operator would, `avi-server` in reach."""
        argv = ["nsenter", f"--net={self.spaces[where].path}", "sh", "-ec", command]
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        assert done.returncode == 0, f"{command} on {where}: {done.stdout}"
        return done.stdout

    def spawn(self, where: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a Python module of ours on a host."""
        with (self.folder / f"{where}.log").open("ab") as log:
            argv = ["nsenter", f"--net={self.spaces[where].path}", sys.executable, "-m", *words]
            return forked.popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self, server: str, *words: str) -> None:
        """Start a server's program, and wait until it listens."""
        self._programs[server] = self.spawn(server, "tests.broken.listener", str(PORT), *words)
        until(lambda: f":{PORT} " in self.spaces[server].sh("ss -Hltn"), lambda: f"{server} does not listen")

    def tunnel(self, server: str) -> None:
        """Start what takes packets out of their tunnel as the kernel's own device would: by a device, tun9."""
        self._programs[f"{server}'s tunnel"] = self.spawn(server, "tests.broken.tunnel", "tun9")
        until(lambda: "tun9" in self.spaces[server].sh("ip -br link"), lambda: f"{server} has no tunnel")

    def serve(self, server: str, module: str, *ports: int) -> None:
        """Start another program on a server, and wait until it listens on its first port."""
        self._programs[f"{server}'s {module}"] = self.spawn(server, module, *map(str, ports))
        until(lambda: f":{ports[0]} " in self.spaces[server].sh("ss -Hltn"), lambda: f"{server} does not listen")

    def stop(self, server: str) -> None:
        """Kill a server's program."""
        if server in self._programs:
            end(self._programs.pop(server), signal.SIGKILL)

    def prepare(self, server: str, vip: str = VIP) -> None:
        """Make a server what a pool member must be."""
        argv = ["nsenter", f"--net={self.spaces[server].path}", sys.executable, "-m", "dataplane.server", "apply"]
        words = ["--vip", vip, "--mode", self.mode, "--interface", "eth0"]
        done = forked.run([*argv, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, f"{server}: {done.stdout}"

    def publish(self, **changed: Any) -> None:
        """Write the plan that the engine follows."""
        servers = tuple(plan.Server(address, PORT) for address in self.addresses.values())
        values: dict[str, Any] = {
            "virtualservice": "vs1", "uuid": "virtualservice-1", "tenant": "admin", "vip": VIP, "protocol": "tcp",
            "port": PORT, "port_end": PORT, "mode": plan.L2 if self.mode == "l2" else plan.L3_IPIP,
            "hash_key": plan.BY_ADDRESS_AND_PORT, "idle_timeout": 300, "pool": "p1", "pool_uuid": "pool-1",
            "slots": 251, "seed": 7, "servers": servers, "monitors": (MONITOR,),
        }  # fmt: skip
        with closing(sqlite3.connect(self.folder / "config.db")) as connection, connection:
            connection.executescript(sqlite.SCHEMA)
            self.version = max(sqlite.newest(connection), 0) + 1
            sqlite.write(connection, self.version, [plan.Service(**values | changed)], plan.Common())

    def announce_every(self, seconds: float) -> None:
        """Have owned VIPs announced again and again; 0: no more."""
        with closing(sqlite3.connect(self.folder / "config.db")) as connection, connection:
            common = plan.Common(announcing={"Default-Group": seconds} if seconds else {})
            self.version = sqlite.newest(connection) + 1
            sqlite.write(connection, self.version, [], common)

    def start_engine(self) -> None:
        """Run an engine and wait until it answers."""
        with (self.folder / "engine.log").open("ab") as log:
            self._engine = forked.popen(self._engine_argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: self.status() is not None, self.log)

    def refused(self) -> tuple[str, str]:
        """Run an engine that does not start. Returns what is wrong and the command that is to be tried."""
        done = forked.run(self._engine_argv(), capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 1, done
        wrong, _, remedy = done.stderr.partition("\navi-se: try: ")
        return wrong, remedy.strip()

    def _engine_argv(self) -> list[str]:
        where = ["nsenter", f"--net={self.spaces['engine'].path}", *self.around]
        words = ["run", "--state", str(self.folder), "--name", self.name, "--driver", self.driver]
        interfaces = [word for name in self.serves for word in ("--interface", name)]
        return [*where, sys.executable, "-m", "dataplane", *words, *interfaces, *self.options]

    def end_engine(self, signum: int = signal.SIGTERM) -> None:
        """Stop it."""
        if self._engine is not None:
            end(self._engine, signum)
            self._engine = None

    def status(self) -> dict[str, Any] | None:
        """What the engine reports; None while it does not answer."""
        assert self._engine is not None
        assert self._engine.poll() is None, self.log()
        with suppress(EngineError):
            return client.ask(self.folder, self.name, "status")
        return None

    def server(self, name: str = "broken") -> dict[str, Any]:
        """What the engine reports of a server."""
        told = self.status()
        found = [s for p in told["pools"] for s in p["servers"] if s["address"] == self.addresses[name]] if told else []
        return found[0] if found else {"state": "", "reason": ""}

    def diagnose(self, name: str = "broken") -> dict[str, Any]:
        """What the engine finds out about a server."""
        told = client.diagnose(self.folder, self.name, "pool-1", self.addresses[name])
        return dict(told["servers"][0])

    def reports(self, state: str, reason: str, name: str = "broken") -> None:
        """Wait until the engine reports a server so."""

        def told() -> bool:
            now = self.server(name)
            return now["state"] == state and reason in now["reason"]

        until(told, lambda: f"wanted {state}: {reason}\n{self.server(name)}\n{self.log()}")

    def has_told(self, state: str, reason: str, name: str = "broken") -> None:
        """Wait until an event tells of a server so."""

        def told() -> bool:
            said = [event["text"] for event in (self.status() or {"events": []})["events"]]
            return any(
                f"server {self.addresses[name]}:" in one and f"is {state}: " in one and reason in one for one in said
            )

        until(told, lambda: f"wanted an event: {state}: {reason}\n{self.log()}")

    def is_well(self) -> None:
        """Wait until the plan is applied, both servers are up, nothing is said against them, the VIP is announced."""
        for name in HOSTS:
            until(
                lambda n=name: self.server(n)["state"] == "up" and not self.server(n)["reason"],  # type: ignore[misc]
                lambda n=name: f"{n} is not well: {self.server(n)}\n{self.log()}",  # type: ignore[misc]
            )
        until(self._is_in_force, self.log)

    def follows(self) -> bool:
        """Whether the engine has applied the plan."""
        told = self.status()
        return told is not None and told["version"] >= self.version

    def _is_in_force(self) -> bool:
        told = self.status()
        return told is not None and told["version"] >= self.version and all(vip["announced"] for vip in told["vips"])

    def log(self) -> str:
        """What the engine said."""
        return (self.folder / "engine.log").read_text("utf-8", "replace")[-4000:]

    def close(self) -> None:
        """End everything that runs."""
        self.end_engine()
        for name in list(self._programs):
            self.stop(name)


@contextmanager
def built(
    folder: Path,
    mode: str,
    driver: str = REFERENCE,
    *,
    napi: bool = True,
    kind: str = "veth",
    runs: bool = True,
    publishes: bool = True,
    **changed: Any,
) -> Iterator[World]:
    """The network, well: both servers are up. napi: the far end of the engine's veth takes what XDP sends; kind: what
    the engine makes of its veth to serve it ("veth", "bridge", "macvlan", "vlan"); runs: the engine is started;
    publishes: there is a plan; changed: of the service."""
    with ExitStack() as stack:
        names = ("switch", "engine", "client", *HOSTS, *(("router",) if mode == "l3" else ()))
        spaces = {name: stack.enter_context(Namespace()) for name in names}
        for name in HOSTS:
            stack.callback(record.forget, spaces[name].path.stat().st_ino)
        world = World(folder, mode, spaces, driver)
        stack.callback(world.close)
        _wire(world, napi)
        if kind != "veth":
            _change_kind(world, kind)
        for name in HOSTS:
            world.prepare(name)
            world.start(name)
        if publishes:
            world.publish(**changed)
        if runs:
            world.start_engine()
            world.is_well()
        yield world


def end(process: subprocess.Popen[Any], signum: int) -> None:
    """Send a signal and wait for the end."""
    process.send_signal(signum)
    process.wait(60)


def _change_kind(world: World, kind: str) -> None:
    """Give the engine's address to a bridge over its veth, to a macvlan or a VLAN interface."""
    name, made = {
        "bridge": ("lan0", "ip link add lan0 type bridge; ip link set eth0 master lan0"),
        "macvlan": ("lan0", "ip link add lan0 link eth0 type macvlan mode bridge"),
        "vlan": ("eth0.10", "ip link add eth0.10 link eth0 type vlan id 10"),
    }[kind]
    world.sh("engine", f"ip addr flush dev eth0; {made}; ip link set {name} up; ip addr add {ENGINE}/24 dev {name}")
    if kind == "vlan":  # a trunk to the engine, and ports of the VLAN to the others
        world.sh("switch", "ip link set br0 type bridge vlan_default_pvid 10")
        world.sh("switch", "ip link set br0 type bridge vlan_filtering 1; bridge vlan add dev engine0 vid 10")
    world.serves = [name]


def _wire(world: World, napi: bool) -> None:
    spaces, near = world.spaces, NETWORKS["l2"]
    for name, space in spaces.items():
        space.sh(
            "for c in all default; do sysctl -qw net.ipv4.conf.$c.rp_filter=0 net.ipv4.conf.$c.send_redirects=1; done\n"
            "sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.conf.all.disable_ipv6=1"
            + ("; ip link add br0 type bridge; ip link add br1 type bridge; ip link set br0 up; ip link set br1 up"
               if name == "switch" else "")
        )  # fmt: skip
    _plug(spaces, "engine", "br0", f"{near}.1/24")
    if napi:
        spaces["switch"].run(lambda: selection.prepare_peer(None, "engine0"))
    _plug(spaces, "client", "br0", f"{near}.50/24")
    if world.mode == "l3":
        _plug(spaces, "router", "br0", f"{near}.254/24")
        _plug(spaces, "router", "br1", "10.8.0.254/24", "eth1")
        spaces["router"].sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0")
        spaces["engine"].sh(f"ip route add 10.8.0.0/24 via {near}.254")
    for name in HOSTS:
        _plug(spaces, name, "br0" if world.mode == "l2" else "br1", f"{world.addresses[name]}/24")
        if world.mode == "l3":
            spaces[name].sh("ip route add default via 10.8.0.254")
    second = f"{NETWORKS[world.mode]}.21/24"
    _plug(spaces, "broken", "br0" if world.mode == "l2" else "br1", second, "eth1", "noprefixroute")


def _plug(
    spaces: Mapping[str, Namespace], name: str, bridge: str, address: str, interface: str = "eth0", words: str = ""
) -> None:
    switch = spaces["switch"]
    port = f"{name[:9]}{interface[-1]}"
    spaces[name].sh(f"ip link add {interface} type veth peer name {port} netns {switch.path}")
    switch.sh(f"ip link set {port} master {bridge} up")
    spaces[name].sh(f"ip link set {interface} up; ip addr add {address} dev {interface} {words}")


def inet(address: str) -> bytes:
    """An address's four bytes."""
    return socket.inet_aton(address)
