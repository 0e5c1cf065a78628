"""Two engines of two hosts behind one router, and servers beside them.

    client 10.8.0.50 ─ router ─ 10.9.0.0/24 ─ engines a .1 and b .2, servers .11 .12      VIP 10.99.0.1

Each engine has a store of its own, as hosts have; the router spreads flows over both.
"""

from __future__ import annotations

import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from dataplane import client, plan
from dataplane.drivers import selection
from dataplane.errors import EngineError
from dataplane.plan import sqlite
from tests.netns import Namespace
from tests.polling import until

from .routers import AS, ENGINES_AS, Router

VIP, PORT, ROUTER = "10.99.0.1", 5000, "10.9.0.254"
ENGINES = {"a": "10.9.0.1", "b": "10.9.0.2"}
SERVERS = {"one": "10.9.0.11", "two": "10.9.0.12"}
FLOWS = 16
INTERVAL = 0.002
"""Seconds between two datagrams."""
BGP = plan.Bgp(
    ENGINES_AS, (plan.Peer(ROUTER, ENGINES_AS, AS, "10.9.0.0/24", connect_timer=1),), bfd_transmit=300, bfd_receive=300
)


class Engine:
    """An engine of a host of its own. driver: its name."""

    def __init__(self, there: Namespace, folder: Path, driver: str) -> None:
        self.there, self.folder, self.driver = there, folder, driver
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700)
        self.publish()

    def publish(self, bgp: plan.Bgp | None = BGP, **changed: Any) -> None:
        """Write the plan that it follows. changed: of the service."""
        servers = tuple(plan.Server(address, PORT) for address in SERVERS.values())
        ping = plan.Monitor(
            "ping", plan.MONITOR_PING, send_interval=1, receive_timeout=1, successful_checks=1, failed_checks=1
        )
        values: dict[str, Any] = {
            "virtualservice": "vs1", "uuid": "virtualservice-1", "tenant": "admin", "vip": VIP, "protocol": "udp",
            "port": PORT, "port_end": PORT, "mode": plan.L2, "hash_key": plan.BY_ADDRESS_AND_PORT, "idle_timeout": 300,
            "pool": "p1", "pool_uuid": "pool-1", "slots": 251, "seed": 7, "servers": servers, "monitors": (ping,),
            "route": plan.Route(),
        }  # fmt: skip
        with closing(sqlite3.connect(self.folder / "config.db")) as connection, connection:
            connection.executescript(sqlite.SCHEMA)
            common = plan.Common(bgp={"Default-Group": bgp} if bgp else {})
            version = max(sqlite.newest(connection), 0) + 1
            sqlite.write(connection, version, [plan.Service(**values | changed)], common)

    def start(self) -> None:
        """Run it."""
        words = ["run", "--state", str(self.folder), "--driver", self.driver, "--interface", "eth0"]
        argv = ["nsenter", f"--net={self.there.path}", sys.executable, "-m", "dataplane", *words]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self, signum: int = signal.SIGTERM) -> None:
        """Stop it, and wait until it has ended."""
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(20)
            self._process = None

    def clean(self) -> str:
        """Take away what it left, as an operator does. Returns what was said."""
        argv = ["nsenter", f"--net={self.there.path}", sys.executable, "-m", "dataplane", "clean", "--state"]
        return subprocess.run([*argv, str(self.folder)], capture_output=True, text=True, check=True).stdout

    def status(self) -> dict[str, Any]:
        """What it reports; empty while it does not answer."""
        with suppress(EngineError):
            return client.ask(self.folder, "se-1", "status")
        return {}

    def tells(self, text: str) -> bool:
        """Whether an event has a text in it."""
        return any(text in event["text"] for event in self.status().get("events", ()))

    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text("utf-8", "replace")[-4000:]


class World:
    """The network with its router, engines and servers."""

    def __init__(self, stack: ExitStack, folder: Path, drivers: dict[str, str]) -> None:
        names = ("switch", "router", "client", *ENGINES, *SERVERS)
        self.spaces = {name: stack.enter_context(Namespace()) for name in names}
        self._wire(drivers)
        self.router = Router(self.spaces["router"], folder / "router", ROUTER, list(ENGINES.values()))
        stack.callback(self.router.close)
        self.engines = {name: Engine(self.spaces[name], folder / name, drivers[name]) for name in ENGINES}
        for engine in self.engines.values():
            stack.callback(engine.end)
            engine.start()

    def hops(self, *names: str) -> None:
        """Wait until the router sends to exactly these engines."""
        wanted = {ENGINES[name] for name in names}

        def told() -> str:
            logs = "\n".join(engine.log() for engine in self.engines.values())
            return f"{self.router.hops(VIP)}, wanted {wanted}\n{logs}"

        until(lambda: self.router.hops(VIP) == wanted, told, 40)

    def serve(self, *, vip: bool) -> None:
        """Give the servers the VIP, or take it from them."""
        for name in SERVERS:
            self.spaces[name].sh(f"ip addr {'add' if vip else 'del'} {VIP}/32 dev lo")

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Datagrams to the VIP all the while; the last ones have come back afterwards."""
        made = Traffic(self.spaces["client"], [self.spaces[name] for name in SERVERS])
        try:
            yield made
        finally:
            made.end()

    def _wire(self, drivers: dict[str, str]) -> None:
        spaces, switch = self.spaces, self.spaces["switch"]
        for space in spaces.values():
            space.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link set lo up")
        switch.sh("ip link add br0 type bridge; ip link set br0 up")
        for name, address in {"router": ROUTER, **ENGINES, **SERVERS}.items():
            spaces[name].sh(f"ip link add eth0 type veth peer name {name}0 netns {switch.path}; ip link set eth0 up")
            spaces[name].sh(f"ip addr add {address}/24 dev eth0")
            switch.sh(f"ip link set {name}0 master br0 up")
        for name, driver in drivers.items():
            if driver == "xdp":
                switch.run(lambda n=name: selection.prepare_peer(None, f"{n}0"))  # type: ignore[misc]
        spaces["client"].sh(f"ip link add eth0 type veth peer name eth1 netns {spaces['router'].path}")
        spaces["client"].sh(
            "ip link set eth0 up; ip addr add 10.8.0.50/24 dev eth0; ip route add default via 10.8.0.254"
        )
        spaces["router"].sh(
            "ip link set eth1 up; ip addr add 10.8.0.254/24 dev eth1\n"
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=1 net.ipv4.conf.all.send_redirects=0"
        )
        spaces["client"].sh("ethtool -K eth0 tx off >/dev/null")  # XDP fills in no checksums
        for name in SERVERS:
            spaces[name].sh(
                f"ip route add default via {ROUTER}; sysctl -qw net.ipv4.conf.all.arp_ignore=1 "
                "net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0"
            )
        self.serve(vip=True)


class Traffic:
    """Numbered datagrams of several flows, which servers send back past the engines."""

    def __init__(self, here: Namespace, servers: list[Namespace]) -> None:
        self.sent, self.back = 0, set[int]()
        self._ending = False
        self._sockets = here.run(lambda: [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(FLOWS)])
        self._servers = [server.run(_bound) for server in servers]
        self._threads = [threading.Thread(target=job, daemon=True) for job in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def flows(self, datagrams: int = 200) -> None:
        """Wait until so many more came back."""
        wanted = len(self.back) + datagrams
        until(lambda: len(self.back) >= wanted, lambda: f"{len(self.back)} of {self.sent} came back")

    @property
    def lost(self) -> int:
        """How many did not come back, of those that were sent until the end."""
        return self.sent - len(self.back)

    def end(self) -> None:
        """Send no more."""
        self._ending = True
        self._threads[0].join()
        with suppress(AssertionError):
            until(lambda: not self.lost, seconds=1)
        self._threads[1].join()
        for one in (*self._sockets, *self._servers):
            one.close()

    def _send(self) -> None:
        while not self._ending:
            self._sockets[self.sent % FLOWS].sendto(self.sent.to_bytes(4, "big"), (VIP, PORT))
            self.sent += 1
            time.sleep(INTERVAL)

    def _receive(self) -> None:
        """The servers' part, and the client's."""
        idle = 0
        while not self._ending or idle < 5:
            ready = select.select([*self._sockets, *self._servers], [], [], 0.1)[0]
            idle = 0 if ready else idle + 1
            for one in ready:
                with suppress(OSError):  # an ICMP error of a moment without a route
                    data, sender = one.recvfrom(64)
                    if one in self._servers:
                        one.sendto(data, sender)
                    else:
                        self.back.add(int.from_bytes(data, "big"))


def _bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((VIP, PORT))
    return made
