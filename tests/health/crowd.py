"""A crowd of servers in one namespace, and a real engine that monitors them all.

    engine up0 10.9.0.1/16 ─ veth ─ up0 10.9.16.1 … 10.9.x.y, VIPs on lo

One kernel answers for all servers, one program for all of their services.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from dataplane import client, plan
from dataplane.drivers import selection
from dataplane.errors import EngineError
from dataplane.plan import sqlite
from dataplane.server import decapsulation
from tests import forked
from tests.health.segment import monitor
from tests.netns import Namespace
from tests.polling import until

ENGINE = "10.9.0.1"
PORT = 80
ANSWER = 60.0
"""Seconds in which an engine that runs answers."""


class Crowd:
    """The servers and the engine. pools: how many VIPs and pools the servers are spread over, one after the other."""

    def __init__(self, folder: Path, name: str, spaces: tuple[Namespace, Namespace], servers: int) -> None:
        self.folder = folder
        self.name = name
        self.engine, self.server = spaces
        self.addresses = [f"10.9.{16 + n // 250}.{n % 250 + 1}" for n in range(servers)]
        self.process: subprocess.Popen[bytes] | None = None

    def services(
        self, monitors: Sequence[plan.Monitor], *, mode: str = plan.L2, pools: int = 1, protocol: str = "tcp"
    ) -> list[plan.Service]:
        """One service a pool; each pool has its share of the servers, or the one there is."""
        made = []
        for number in range(pools):
            mine = self.addresses[number::pools] or self.addresses
            made.append(
                plan.Service(
                    virtualservice=f"vs{number}", uuid=f"virtualservice-{number}", tenant="admin", vip=vip(number),
                    protocol=protocol, port=PORT, port_end=PORT, mode=mode, hash_key=plan.BY_ADDRESS_AND_PORT,
                    idle_timeout=300, pool=f"p{number}", pool_uuid=f"pool-{number}", slots=plan.SLOTS, seed=7 + number,
                    servers=tuple(plan.Server(address, PORT) for address in mine), monitors=tuple(monitors),
                )
            )  # fmt: skip
        return made

    def publish(self, services: Iterable[plan.Service], version: int = 1) -> None:
        """Write the plan that the engine follows."""
        self.folder.mkdir(exist_ok=True)
        with closing(sqlite3.connect(self.folder / "config.db")) as store, store:
            store.executescript(sqlite.SCHEMA)
            sqlite.write(store, version, services, plan.Common())

    def start(self, driver: str, *options: str, patience: float = 60.0) -> None:
        """Run the engine and wait until it answers, at most so many seconds. options: more of `avi-se run`."""
        self.server.run(lambda: selection.prepare_peer(driver, "up0"))
        words = [sys.executable, "-m", "dataplane", "run", "--state", str(self.folder), "--name", self.name]
        argv = ["nsenter", f"--net={self.engine.path}", *words, "--interface", "up0", "--driver", driver, *options]
        with (self.folder / "engine.log").open("ab") as log:
            self.process = forked.popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: self.status() is not None, self.log, patience)

    def stop(self) -> None:
        """End the engine."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def status(self) -> dict[str, Any] | None:
        """What the engine reports; None while it does not answer. To tell of a hundred thousand servers takes it
        seconds, and more on a busy machine."""
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            return client.ask(self.folder, self.name, "status", patience=ANSWER)
        except EngineError:
            return None

    def told(self) -> dict[str, Any]:
        """What the engine reports as soon as it answers: a busy machine keeps it from that for a while."""
        found: list[dict[str, Any] | None] = []

        def answers() -> bool:
            found.append(self.status())
            return found[-1] is not None

        until(answers, self.log)
        return found[-1] or {}

    def states(self) -> dict[str, str]:
        """Every server's state, by its address; of one in several pools, the last one's."""
        told = self.status() or {"pools": []}
        return {server["address"]: server["state"] for pool in told["pools"] for server in pool["servers"]}

    def used(self) -> float:
        """Seconds of processor time that the engine has used."""
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    @property
    def mac(self) -> str:
        """The servers' MAC address."""
        return self.server.link("up0")[1].hex(":")

    def log(self) -> str:
        """What the engine said."""
        return (self.folder / "engine.log").read_text("utf-8", "replace")[-4000:]


def set_neighbours(there: Crowd, addresses: Sequence[str], mac: str) -> None:
    """What the engine's host takes for the MAC address of servers."""
    batch(there.engine, [f"neigh replace {a} dev up0 lladdr {mac} nud permanent" for a in addresses])


def vip(number: int) -> str:
    """The VIP of a pool."""
    return f"10.9.{200 + number // 250}.{number % 250 + 1}"


@contextmanager
def crowd(folder: Path, servers: int, *, kind: str = "tcp", mode: str = plan.L2, vips: int = 1) -> Iterator[Crowd]:
    """Servers that answer; no engine yet. kind: "tcp" or "http", what they do on PORT (`tests.health.answering`)."""
    with ExitStack() as stack:
        engine, server = stack.enter_context(Namespace()), stack.enter_context(Namespace())
        made = Crowd(folder, f"crowd-{os.getpid()}", (engine, server), servers)
        engine.sh(f"ip link add up0 type veth peer name up0 netns {server.path}; ip link set up0 up")
        engine.sh(f"ip address add {ENGINE}/16 dev up0")
        server.sh(
            "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=4096\n"
            "sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.conf.all.rp_filter=0; ip link set up0 up"
        )
        batch(server, [f"address add {address}/16 dev up0 noprefixroute" for address in made.addresses])
        server.sh("ip route add 10.9.0.0/16 dev up0")
        batch(server, [f"address add {vip(number)}/32 dev lo" for number in range(vips)])
        # Permanent: the kernel's own table of neighbours holds gc_thresh3, 1024, on the whole machine.
        set_neighbours(made, made.addresses, made.mac)
        if mode != plan.L2:
            _decapsulate(server, [vip(number) for number in range(vips)])
        words = [sys.executable, "-m", "tests.health.answering", kind, str(PORT)]
        answering = forked.popen(["nsenter", f"--net={server.path}", *words], stdout=subprocess.PIPE)
        stack.callback(_end, answering)
        assert answering.stdout is not None
        assert answering.stdout.readline(), "the servers' program did not start"
        stack.callback(made.stop)
        yield made


def _decapsulate(server: Namespace, vips: list[str]) -> None:
    def put() -> None:
        decapsulation.attach("up0")
        decapsulation.put("up0", vips)

    server.run(put)


def batch(where: Namespace, lines: Sequence[str]) -> None:
    """Commands of ip(8) there."""
    for start in range(0, len(lines), 1000):
        where.sh("ip -batch - <<E\n" + "\n".join(lines[start : start + 1000]) + "\nE")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def quick(type_: str, **fields: Any) -> plan.Monitor:
    """A monitor that asks every second."""
    return monitor(type_, **fields)


def times_wait(where: Namespace) -> int:
    """Sockets in TIME_WAIT there (sock_diag would do; ss is what an operator asks)."""
    return len(where.sh("ss -Htan state time-wait").splitlines())
