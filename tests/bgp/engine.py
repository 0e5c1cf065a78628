"""An engine of a host of its own, with a store of its own, that tells a router of two VIPs: one by layer 2, one by
layer 3."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataplane import client, plan
from dataplane.errors import EngineError
from dataplane.plan import sqlite
from tests import earlier, forked
from tests.netns import Namespace

from .routers import AS, ENGINES_AS

VIP, FAR_VIP, PORT, ROUTER = "10.99.0.1", "10.99.0.2", 5000, "10.9.0.254"
SERVERS = {"one": "10.9.0.11", "two": "10.9.0.12"}
FAR_SERVERS = {"far1": "10.10.0.21", "far2": "10.10.0.22"}
MODES = {VIP: (plan.L2, SERVERS), FAR_VIP: (plan.L3_IPIP, FAR_SERVERS)}
"""How each VIP is forwarded, and to whom."""
PEER = plan.Peer(ROUTER, ENGINES_AS, AS, "10.9.0.0/24", connect_timer=1)
BGP = plan.Bgp(ENGINES_AS, (PEER,), bfd_transmit=3000, bfd_receive=3000)
"""BFD ends a session after 9 s: a machine that stands still for one or two is nobody's death."""
QUICK = replace(BGP, bfd_transmit=300, bfd_receive=300)
"""BFD ends a session after 0.9 s."""
PING = plan.Monitor("ping", plan.MONITOR_PING, send_interval=1, receive_timeout=1, successful_checks=1, failed_checks=3)
DEAD = plan.Monitor("dead", plan.MONITOR_TCP, 1, 1, 1, 1, port=9)
"""A monitor that no server passes."""


def services(changed: Mapping[str, Any]) -> list[plan.Service]:
    """The services of both VIPs. changed: fields of all of them."""
    found = []
    for vip, (mode, servers) in MODES.items():
        for protocol in ("tcp", "udp"):
            values: dict[str, Any] = {
                "virtualservice": f"vs-{mode}-{protocol}", "uuid": f"virtualservice-{mode}-{protocol}",
                "tenant": "admin", "vip": vip, "protocol": protocol, "port": PORT, "port_end": PORT, "mode": mode,
                "hash_key": plan.BY_ADDRESS_AND_PORT, "idle_timeout": 300, "pool": mode, "pool_uuid": f"pool-{mode}",
                "slots": 251, "seed": 7, "servers": tuple(plan.Server(one, PORT) for one in servers.values()),
                "monitors": (PING,), "route": plan.Route(),
            }  # fmt: skip
            found.append(plan.Service(**{**values, **changed}))
    return found


class Engine:
    """One, in a namespace. folder: its state directory; driver: its name; address: on the engines' segment."""

    def __init__(self, there: Namespace, folder: Path, driver: str, address: str) -> None:
        self.there, self.folder, self.driver, self.address = there, folder, driver, address
        self.code = earlier.ROOT  # the checkout whose programs it runs
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700)
        self.publish()

    def publish(self, bgp: plan.Bgp | None = BGP, **changed: Any) -> None:
        """Write the plan that it follows. changed: of its services."""
        with closing(sqlite3.connect(self.folder / "config.db")) as connection, connection:
            connection.executescript(sqlite.SCHEMA)
            common = plan.Common(bgp={"Default-Group": bgp} if bgp else {})
            version = max(sqlite.newest(connection), 0) + 1
            sqlite.write(connection, version, services(changed), common)

    @property
    def bgp(self) -> Path:
        """The folder of its BIRD and of its keeper."""
        return self.folder / "run" / "se-1.bgp"

    def start(self) -> None:
        """Run it."""
        words = ["run", "--state", str(self.folder), "--driver", self.driver, "--interface", "eth0"]
        argv = ["nsenter", f"--net={self.there.path}", sys.executable, "-m", "dataplane", *words]
        with (self.folder / "log").open("ab") as log:
            self._process = forked.popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.code, env=earlier.environment(self.code),
            )  # fmt: skip

    def send(self, signum: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(signum)

    def end(self, signum: int = signal.SIGTERM) -> None:
        """Stop it, and wait until it has ended."""
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(60)
            self._process = None

    def clean(self) -> str:
        """Take away what it left, as an operator does. Returns what was said."""
        argv = ["nsenter", f"--net={self.there.path}", sys.executable, "-m", "dataplane", "clean", "--state"]
        return forked.run([*argv, str(self.folder)], capture_output=True, text=True, check=True).stdout

    def status(self) -> dict[str, Any]:
        """What it reports; empty while it does not answer."""
        with suppress(EngineError):
            return client.ask(self.folder, "se-1", "status")
        return {}

    def vip(self) -> dict[str, Any]:
        """What it reports of the VIP that is forwarded by layer 2."""
        return next(one for one in self.status()["vips"] if one["address"] == VIP)

    def tells(self, text: str, kind: str = "") -> bool:
        """Whether an event has a text in it, and is of that kind."""
        told = self.status().get("events", ())
        return any(text in event["text"] and kind in ("", event["kind"]) for event in told)

    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text("utf-8", "replace")[-4000:]
