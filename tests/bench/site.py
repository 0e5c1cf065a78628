"""A site for measurements of the control plane: an engine's namespace on a wire, servers that need no resolving, and
plans of any size."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar

from dataplane import client, plan
from dataplane.client import instance
from dataplane.drivers.xdp import attachment
from dataplane.drivers.xdp import driver as xdpdriver
from dataplane.drivers.xdp import pins as xdppins
from dataplane.engine.engine import Engine
from dataplane.network.state import Network
from dataplane.plan import sqlite
from dataplane.vip.gratuitous import GratuitousArp
from tests.netns import Namespace

ADDRESS, PREFIX = "10.255.255.254", 8
"""Of the engine: all servers are on its segment."""
NAME = "bench"
T = TypeVar("T")


def server(number: int) -> str:
    """The address of the n-th server of a site."""
    return socket.inet_ntoa((0x0A000001 + number).to_bytes(4, "big"))


def vip(number: int) -> str:
    """The address of the n-th service."""
    return socket.inet_ntoa((0xC6120001 + number).to_bytes(4, "big"))


def service(number: int, servers: Sequence[str], monitors: tuple[plan.Monitor, ...] = ()) -> plan.Service:
    """The n-th service: UDP, with a VIP and a pool of its own."""
    return plan.Service(
        f"vs{number}", f"virtualservice-{number}", "admin", vip(number), "udp", 80, 80, plan.L2,
        plan.BY_ADDRESS_AND_PORT, 300, f"p{number}", f"pool-{number:08}-0000-0000-0000-000000000000", plan.SLOTS,
        1000 + number, servers=tuple(plan.Server(address, 80) for address in servers), monitors=monitors,
    )  # fmt: skip


def many(services: int, servers: int) -> list[plan.Service]:
    """So many services, with so many servers of their own each."""
    return [service(n, [server(n * servers + m) for m in range(servers)]) for n in range(services)]


def whole(services: Sequence[plan.Service], version: int = 1) -> plan.Plan:
    """A plan of nothing but these."""
    return plan.Plan(version, {one.key: one for one in services}, plan.Common())


class Site:
    """The engine's namespace, with eth0 up and the MAC addresses of all servers known for good.

    wire: the other end of eth0, in a namespace of its own.
    """

    def __init__(self, servers: int, folder: str | None = None) -> None:
        """folder: where the state directory is made."""
        self._servers, self._folder = servers, folder
        self._ends = ExitStack()

    def __enter__(self) -> Site:
        self.state = Path(self._ends.enter_context(tempfile.TemporaryDirectory(dir=self._folder)))
        self.engine = self._ends.enter_context(Namespace())
        self.wire = self._ends.enter_context(Namespace())
        self.instance = instance(self.state, NAME)
        self._ends.callback(xdppins.remove, self.instance)
        self.engine.sh(
            f"ip link add eth0 type veth peer name wire netns {self.wire.name}\n"
            f"ip addr add {ADDRESS}/{PREFIX} dev eth0; ip link set eth0 up"
        )
        self.wire.sh("ip link set wire up")
        # A veth hands on what XDP sends only between two programs.
        self.wire.run(lambda: attachment.attach_pass("wire"))
        known = "".join(
            f"neigh replace {server(n)} dev eth0 lladdr {mac(server(n)).hex(':')} nud permanent\n"
            for n in range(self._servers)
        )
        subprocess.run(
            ["nsenter", f"--net={self.engine.path}", "ip", "-batch", "-"], input=known, text=True, check=True
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.close()

    def publish(self, services: Sequence[plan.Service], version: int = 1) -> None:
        """Store the plan like a commit does."""
        with closing(sqlite3.connect(self.state / "config.db")) as store, store:
            store.execute("PRAGMA journal_mode = WAL")
            store.executescript(sqlite.SCHEMA)
            sqlite.write(store, version, services, plan.Common())

    def within(self, body: Callable[[Engine], T], services: Sequence[plan.Service]) -> T:
        """Call a function with an engine of this process, on XDP, that has put the services; end it."""

        async def run() -> T:
            network = Network(lambda: None)
            await network.start()
            engine = Engine(NAME, ["eth0"], xdpdriver.XdpDriver(self.instance), network, [GratuitousArp()])
            try:
                await engine.start(whole(services))
                return body(engine)
            finally:
                await engine.close(keep=False)
                await network.close()

        return self.engine.run(lambda: asyncio.run(run()))

    @contextmanager
    def process(self) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
        """An engine of its own process, and the seconds from its start until it had put the plan that is stored. It is
        killed at the end: the kernel forwards on."""
        started = time.perf_counter()
        words = [sys.executable, "-m", "dataplane", "run", "--state", str(self.state), "--name", NAME]
        with subprocess.Popen(
            ["nsenter", f"--net={self.engine.path}", *words, "--interface", "eth0", "--driver", "xdp"],
            cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as running:  # fmt: skip
            try:
                while not client.wait_applied(self.state, 1, 60):
                    if running.poll() is not None:
                        raise RuntimeError(f"the engine ended with status {running.returncode}")
                    time.sleep(0.01)  # each look takes processor time from the engine where others want it, too
                yield running, time.perf_counter() - started
            finally:
                running.kill()


def mac(address: str) -> bytes:
    """The MAC address of a server of a site."""
    return b"\x02\0" + socket.inet_aton(address)


def resident(pid: int) -> int:
    """Bytes of memory that are a process's own (proc(5)), but for those of BPF maps: they are counted as the maps'."""
    total, counts = 0, True
    with open(f"/proc/{pid}/smaps") as stream:
        for line in stream:
            name, _, rest = line.partition(" ")
            if not name.endswith(":"):
                counts = "anon_inode:bpf-map" not in rest
            elif counts and name in ("Private_Clean:", "Private_Dirty:"):
                total += int(rest.split()[0])
    return total * 1024
