"""A laboratory: namespaces for a client, a service engine and servers on one switch, and what runs in them.

    with Lab(topology) as lab:
        lab.start_engine(); lab.start_servers(); print(lab.configure()); lab.wait_ready()

The network is that of `segments`. Nothing of it is seen in the machine's own network namespace.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from dataplane import client
from dataplane.client import instance
from dataplane.drivers import selection
from dataplane.errors import EngineError, LabError
from dataplane.lab import inventory, nginx, ping
from dataplane.lab.asking import Asking
from dataplane.lab.namespaces import inside, stop
from dataplane.lab.requests import Answer
from dataplane.lab.segments import Segments
from dataplane.lab.tcpdump import Capture
from dataplane.lab.topology import CLIENT, ENGINE, Node, Topology
from dataplane.wording import counted

READY = 60.0
"""Seconds that engine, servers and health monitors have to come up."""
SHORTEST, LONGEST = 0.02, 0.1
"""Seconds between two looks at whether they have: a sixteenth of what was waited, within these."""


class Lab:
    """A laboratory with one engine. name: unique on this machine; driver: as `avi-se run --driver`; state: the state
    directory of shell and engine, by default one that is removed with the laboratory; sockets: the kind of device by
    which DPDK opens the engine's interface, "" = DPDK's own choice."""

    def __init__(
        self,
        topology: Topology,
        *,
        name: str = "",
        driver: str | None = None,
        state: Path | None = None,
        sockets: str = "",
    ) -> None:
        self.topology = topology
        self.name = inventory.check_name(name or f"run{os.getpid()}")
        self.folder = inventory.folder(self.name)
        self.state = state or self.folder / "state"
        self.driver = driver
        self.interface = f"{sockets}:eth0" if sockets else "eth0"
        self._segments = Segments(topology, f"{inventory.PREFIX}{self.name}-")
        self.switch, self.hosts = self._segments.switch, self._segments.hosts
        self.engine: subprocess.Popen[bytes] | None = None
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._captures: list[Capture] = []
        self._standing = False

    def __enter__(self) -> Lab:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._standing:
            self.close()

    def open(self) -> None:
        """Make the network. Raises LabError, and leaves nothing behind then."""
        if os.geteuid() != 0:
            raise LabError("a laboratory needs root: it makes network namespaces", remedy="sudo avi-lab …")
        inventory.claim(self.name, (instance(state, name) for name, state in self.engine_states().items()))
        try:
            self._segments.create()
            for node in self.topology.forwarders:
                inside(self.switch, partial(selection.prepare_peer, self.driver, node.name))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove everything, the engine first: it takes its own pins and rules away. Signals wait until it is done."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        try:
            for capture in self._captures:
                capture.stop()
            for process in self._running():
                stop(process)
            inventory.remove(self.name)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _running(self) -> list[subprocess.Popen[bytes]]:
        """The processes to end, the engine first."""
        return [*([self.engine] if self.engine else []), *self._servers.values()]

    def leave(self) -> None:
        """Leave it standing when this process ends; `avi-lab down` removes it."""
        inventory.release(self.name)
        self._standing = True

    # the engine

    def engine_states(self) -> dict[str, Path]:
        """The state directory of each engine, by its name."""
        return {self.topology.engine_name: self.state}

    def start_engine(self, *options: str) -> None:
        """Run `avi-se run` with these options in the engine's namespace, and wait until it answers. Raises LabError
        with its output."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = [sys.executable, "-m", "dataplane", "run", "--state", str(self.state), "--interface", self.interface]
        words += ["--name", self.topology.engine_name, *(("--driver", self.driver) if self.driver else ())]
        self.engine = self.hosts[ENGINE].spawn([*words, *options], self.log(ENGINE))
        self.wait(lambda: self.status() is not None, "the service engine to answer")

    def stop_engine(self, signum: int = signal.SIGTERM) -> int:
        """Send the engine a signal and wait for its end. Returns its exit status."""
        if self.engine is None:
            raise LabError("no service engine was started")
        status = stop(self.engine, signum)
        self.engine = None
        return status

    def status(self, name: str = "") -> Mapping[str, Any] | None:
        """The report of the engine, or of one of several by its name; None while it does not answer. Raises LabError if
        it ended by itself."""
        if self.engine is not None and self.engine.poll() is not None:
            raise LabError(f"the service engine ended: {self.tail(ENGINE)}")
        name = name or self.topology.engine_name
        try:
            return client.ask(self.engine_states()[name], name, "status")
        except EngineError:
            return None

    # the servers

    def start_servers(self) -> None:
        """Prepare every server with avi-server and start its program."""
        self.prepare(self.topology.servers)
        for node in self.topology.servers:
            self.start_server(node)

    def prepare(self, nodes: Iterable[Node], verb: str = "apply") -> None:
        """Run `avi-server apply` (or undo) on servers, all at once. Raises LabError with what one of them said."""
        words = [sys.executable, "-m", "dataplane.server", verb, "--vip", self.topology.vip]
        words += ["--mode", self.topology.mode, "--interface", "eth0", "--client", self.topology.client.address]
        runs = [
            (
                node,
                subprocess.Popen(
                    self.hosts[node.name].command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                ),
            )
            for node in nodes
        ]
        said = [(node, run.communicate()[0].decode(), run.returncode) for node, run in runs]
        for node, output, status in said:
            if status:
                raise LabError(f"avi-server {verb} on {node.name}: {output.strip()}")

    def start_server(self, node: Node) -> None:
        """Start a server's program: nginx for TCP, the echo server for UDP."""
        topology, folder = self.topology, self.folder / node.name
        folder.mkdir(exist_ok=True)
        if topology.protocol == "tcp":
            configured = folder / "nginx.conf"
            configured.write_text(nginx.configuration(node.name, folder, topology.port), "utf-8")
            words = ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configured)]
        else:
            words = [sys.executable, "-m", "dataplane.lab.udpecho", node.name, str(topology.port)]
        process = self._servers[node.name] = self.hosts[node.name].spawn(words, self.log(node.name))

        def listening() -> bool:
            if process.poll() is not None:
                raise LabError(f"{words[0]} on {node.name} ended: {self.tail(node.name)}")
            return _listens(process.pid, topology.port)

        self.wait(listening, f"{node.name} to listen on port {topology.port}")

    def stop_server(self, node: Node, signum: int = signal.SIGKILL) -> None:
        """End a server's program; its host answers with resets from then on."""
        stop(self._servers.pop(node.name), signum)

    # the shell

    def configure(self, session: Path | None = None) -> str:
        """Replay a session of the shell. Returns its transcript. Raises LabError with the transcript if a line is
        refused."""
        run = self.shell("--transcript", "-f", str(session or self.topology.session))
        if run.returncode:
            raise LabError(f"avi-shell refused the session (status {run.returncode}): {run.stderr}{run.stdout}".strip())
        return run.stdout

    def shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the shell on the state directory, to its end."""
        argv = [sys.executable, "-m", "avi_shell", *words, "--state", str(self.state)]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    # looking and waiting

    def wait(self, reached: Callable[[], bool], what: str, timeout: float = READY) -> None:
        """Poll until a condition holds. Raises LabError that names the condition if it does not in time."""
        began = time.monotonic()
        while not reached():
            waited = time.monotonic() - began
            if waited > timeout:
                raise LabError(f"waited {timeout:.0f} s for {what}, in vain; the engine's log: {self.tail(ENGINE)}")
            time.sleep(min(LONGEST, max(SHORTEST, waited / 16)))  # a look costs the engine processor time

    def wait_ready(self) -> None:
        """Wait until every server has its share and the VIP is announced."""
        wanted = {node.address: "up" for node in self.topology.servers}
        self.wait(lambda: self.servers() == wanted and self.announced(), "every server to be up")

    def servers(self, engine: str = "") -> dict[str, str]:
        """The engine's state of each server, by address, once the pool's table agrees with it: `up` means that the
        server has a share."""
        told = self.status(engine)
        pools = told["pools"] if told else ()
        return {
            server["address"]: server["state"]
            for pool in pools
            for server in pool["servers"]
            if (server["state"] == "up") == server["in_table"]
        }

    def announced(self) -> bool:
        """Whether the engine owns the VIP."""
        told = self.status()
        return any(vip["address"] == self.topology.vip and vip["announced"] for vip in (told["vips"] if told else ()))

    def ask(self, ports: range, *words: str) -> list[Answer]:
        """Make one request from each of the client's source ports. Returns the answers. words: more options of
        `lab.requests`."""
        return self.start_asking(ports, *words).finish()

    def start_asking(self, ports: range, *words: str) -> Asking:
        """Start requests as `ask` does, and go on while they run."""
        topology = self.topology
        line = [sys.executable, "-m", "dataplane.lab.requests", "--to", f"{topology.vip}:{topology.port}"]
        line += ["--ports", f"{ports[0]}-{ports[-1]}", *(("--udp",) if topology.protocol == "udp" else ()), *words]
        return Asking(self.hosts[CLIENT].command(*line))

    def capture(self, port: str) -> Capture:
        """Start tcpdump on a host's port of the switch: it sees what the host sends and receives."""
        capture = Capture(self.switch, port, self.folder / f"{port}.pcap", self.log(f"tcpdump-{port}"))
        self._captures.append(capture)
        capture.wait()
        return capture

    def finish_captures(self) -> None:
        """End the captures once they hold everything that was sent so far, and what the engine made of it.

        The driver takes frames in order, so once it answers a ping it holds no earlier frame. A last datagram, which
        passes the driver to the engine's host, proves that tcpdump has written them all. Raises LabError if a capture
        is not complete.
        """
        if not inside(self.hosts[CLIENT], partial(ping.answered, self.topology.vip, READY)):
            raise LabError(f"{self.topology.vip} did not answer a ping for {READY:.0f} s")
        mark = f"end of capture {os.urandom(8).hex()}"
        for node in self.topology.forwarders:
            self.hosts[CLIENT].call("bash", "-c", f"printf %s '{mark}' > /dev/udp/{node.address}/9")
        for capture in self._captures:
            self.wait(partial(capture.holds, mark.encode()), f"the capture of {capture.port}")
            capture.stop()
            if lost := capture.lost():
                raise LabError(f"the capture of {capture.port} lost {counted(lost, 'frame')}", remedy="fewer requests")
        self._captures.clear()

    def log(self, name: str) -> Path:
        """The file with a program's output."""
        return self.folder / f"{name}.log"

    def tail(self, name: str) -> str:
        """The last lines of a program's output."""
        try:
            return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-12:])
        except OSError:
            return "(nothing)"


def _listens(pid: int, port: int) -> bool:
    """Whether a socket in a process's namespace listens on a TCP port (proc_net(5): state 0A)."""
    table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return any(fields[1].endswith(f":{port:04X}") and fields[3] == "0A" for fields in map(str.split, table))
