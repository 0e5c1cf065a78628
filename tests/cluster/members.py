"""Members of an etcd, real ones, in a network namespace of their own."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dataplane.cluster.address import StoreAddress
from dataplane.cluster.etcd import Etcd
from dataplane.errors import ClusterError
from tests import polling
from tests.netns import Namespace

T = TypeVar("T")


class Members:
    """`with Members(folder, 3) as etcd: etcd.run(function)`. Member i is at 127.0.0.(i + 1), at etcd's usual ports."""

    def __init__(self, folder: Path, count: int = 1, options: Sequence[str] = (), scheme: str = "http") -> None:
        self.folder = folder
        self.count = count
        self.options = list(options)
        self.scheme = scheme  # of the clients
        self.namespace = Namespace()
        self._clients: list[Etcd] = []
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Members:
        self._enter()
        for index in range(self.count):
            self.start(index)
        if self.scheme == "http":
            until(lambda: self.run(lambda: self.client(1.0).get("ready") == []))
        return self

    def __exit__(self, *error: object) -> None:
        for index in list(self.processes):
            self.kill(index)
        self._leave()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _enter(self) -> None:
        self.namespace.__enter__()

    def _leave(self) -> None:
        self.namespace.__exit__()

    def address(self, cluster: str, **fields: Any) -> StoreAddress:
        """A cluster's store on these members."""
        return StoreAddress(tuple((self.host(i), 2379) for i in range(self.count)), cluster, **fields)

    def host(self, index: int) -> str:
        """The address of a member."""
        return f"127.0.0.{index + 1}"

    def space(self, index: int) -> Namespace:
        """The namespace of a member."""
        return self.namespace

    def start(self, index: int) -> None:
        """Start a member, or start it again."""
        here = self.host(index)
        everybody = ",".join(f"m{i}=http://{self.host(i)}:2380" for i in range(self.count))
        argv = [
            "nsenter", f"--net={self.space(index).path}", "etcd", "--name", f"m{index}", "--logger", "zap",
            "--log-level", "error", "--data-dir", str(self.folder / f"m{index}"),
            "--listen-client-urls", f"{self.scheme}://{here}:2379",
            "--advertise-client-urls", f"{self.scheme}://{here}:2379",
            "--listen-peer-urls", f"http://{here}:2380", "--initial-advertise-peer-urls", f"http://{here}:2380",
            "--initial-cluster", everybody, *self.options,
        ]  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f"m{index}.log", "ab") as log:
            self.processes[index] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, index: int) -> None:
        """Kill a member, as a host that dies."""
        process = self.processes.pop(index)
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()

    def stop(self, index: int) -> None:
        """Let a member stand still, with its connections."""
        self.processes[index].send_signal(signal.SIGSTOP)

    def go_on(self, index: int) -> None:
        """Let a member that stood still go on."""
        self.processes[index].send_signal(signal.SIGCONT)

    def leader(self) -> int:
        """The member that leads."""
        found: list[int] = []

        def ask() -> bool:
            client = self.client(1.0)
            for index in self.processes:
                try:
                    told = client.status((self.host(index), 2379))
                except ClusterError:
                    continue
                if told.get("leader") == told["header"]["member_id"]:
                    found[:] = [index]
            return bool(found)

        until(lambda: self.run(ask))
        return found[0]

    def run(self, function: Callable[[], T]) -> T:
        """Call a function in the members' namespace. The clients made for it end with it."""
        try:
            return self.namespace.run(function)
        finally:
            while self._clients:
                self._clients.pop().close()

    def client(self, patience: float = 10.0, address: StoreAddress | None = None) -> Etcd:
        """A client of these members."""
        self._clients.append(Etcd(address or self.address("test"), patience))
        return self._clients[-1]


def until(done: Callable[[], bool]) -> None:
    """Poll until something is so, whatever etcd says meanwhile."""

    def quiet() -> bool:
        try:
            return done()
        except ClusterError:
            return False

    polling.until(quiet)
