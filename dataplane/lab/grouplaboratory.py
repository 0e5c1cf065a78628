"""A laboratory of several engines. They share a configuration in etcd, of which each host runs a member. If they speak
BGP, a router learns the VIP from them.

The engines' hosts, and their state directories below the laboratory's folder, have the engines' names.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dataplane.errors import LabError, command
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import Namespace, stop
from dataplane.lab.segments import BRIDGE
from dataplane.lab.topology import CLIENT, Group, Node

ENGINES_SYSTEM = 65001
"""The engines' autonomous system in the examples' sessions."""
FOLLOWS = 60.0
"""Seconds that the router has to follow a change."""
_SETTLES = 5.5
"""Seconds after an engine's first answer from etcd before it can take others for dead: a lease, and a moment."""
_CLUSTER = "lab"
_ELSEWHERE = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class GroupLab(Lab):
    """A laboratory of several engines."""

    def __init__(self, topology: Group, *, name: str = "", driver: str | None = None) -> None:
        super().__init__(topology, name=name, driver=driver)
        self.group = topology
        self.state = self.folder / topology.engine_name
        self._programs: dict[str, subprocess.Popen[bytes]] = {}  # by the names of their logs
        self._engines: dict[str, subprocess.Popen[bytes]] = {}
        self._frozen: list[Node] = []

    @property
    def store(self) -> str:
        """The URL of the store."""
        return f"etcd://{','.join(node.address for node in self.group.members)}/{_CLUSTER}"

    @property
    def router(self) -> Namespace:
        """The router's namespace."""
        assert self._segments.router is not None
        return self._segments.router

    def open(self) -> None:
        """Make the network. Raises LabError, and leaves nothing behind then."""
        needed = {"etcd": "etcd-server", **({"bird": "bird2"} if self.routes else {})}
        for program, package in needed.items():
            if shutil.which(program, path=_ELSEWHERE) is None:
                raise LabError(
                    f"{program} is not here, which this laboratory needs",
                    remedy=command("apt-get install {} && systemctl disable --now {}", package, program),
                )
        super().open()
        self.router.call("sysctl", "-qw", *(f"net.ipv4.conf.{link}.rp_filter=0" for link in ("all", "eth0", "eth1")))
        self.router.call("sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=1", "net.ipv4.conf.all.send_redirects=0")

    @property
    def routes(self) -> bool:
        """Whether the router learns the VIP by BGP."""
        assert self.group.router is not None
        return bool(self.group.router.system)

    def close(self) -> None:
        """Remove everything."""
        self.thaw()
        super().close()

    def _running(self) -> list[subprocess.Popen[bytes]]:
        return [*self._engines.values(), *super()._running(), *self._programs.values()]

    # etcd and the router

    def start_members(self) -> None:
        """Start the members of etcd, and seed the store with an empty configuration."""
        everybody = ",".join(f"{node.name}=http://{node.address}:2380" for node in self.group.members)
        for node in self.group.members:
            client, peer = (f"http://{node.address}:{port}" for port in (2379, 2380))
            words = ["etcd", "--name", node.name, "--data-dir", str(self.folder / f"etcd-{node.name}")]
            words += ["--listen-client-urls", client, "--advertise-client-urls", client]
            words += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
            words += ["--initial-cluster", everybody, "--log-level", "error", "--logger", "zap"]
            words += ["--pre-vote"]  # a member that was cut off and comes back starts no election
            self._start(node, words, f"etcd-{node.name}")
        self.state.mkdir(mode=0o700, parents=True)
        self.wait(lambda: not self.shell("cluster", "seed", "--store", self.store).returncode, "etcd to take the store")

    def lead(self, node: Node) -> None:
        """Make a host's member lead etcd, so that no election is needed when another host dies."""
        ids = {one: self._asked(one, "status", {})["header"]["member_id"] for one in self.group.members}
        leader = self._asked(node, "status", {})["leader"]
        if leader != ids[node]:
            (leading,) = (one for one, number in ids.items() if number == leader)
            self._asked(leading, "transfer-leadership", {"targetID": ids[node]})
        self.wait(lambda: self._asked(node, "status", {})["leader"] == ids[node], f"{node.name} to lead etcd")

    def _asked(self, node: Node, what: str, body: Mapping[str, str]) -> Mapping[str, Any]:
        """Ask a member of etcd (etcd 3.4, api_grpc_gateway)."""
        url = f"http://{node.address}:2379/v3/maintenance/{what}"
        told = self.hosts[node.name].call("curl", "--silent", "--fail", "--data", json.dumps(body), url)
        return dict(json.loads(told))

    def freeze(self) -> None:
        """Stop most members of etcd, so that it has no quorum."""
        self._frozen = list(self.group.members[1:])
        for node in self._frozen:
            self._programs[f"etcd-{node.name}"].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the stopped members go on."""
        for node in self._frozen:
            self._programs[f"etcd-{node.name}"].send_signal(signal.SIGCONT)
        self._frozen = []

    def start_router(self) -> None:
        """Start the router's own BIRD, so that it learns the VIP from the engines."""
        router = self.group.router
        assert router is not None
        sessions = "".join(
            f"protocol bgp {node.name} {{ local {router.near.address} as {router.system}; "
            f"neighbor {node.address} as {ENGINES_SYSTEM}; connect delay time 1; connect retry time 1; "
            "error wait time 1, 2; bfd { min tx interval 300 ms; min rx interval 300 ms; multiplier 3; }; "
            "ipv4 { import where net.len = 32; export none; }; }\n"
            for node in self.group.engines
        )
        folder = self.folder / "bird"
        folder.mkdir()
        (folder / "bird.conf").write_text(
            f"router id {router.near.address};\nprotocol device {{}}\nprotocol bfd {{}}\n"
            f"protocol kernel {{ merge paths yes; ipv4 {{ export all; }}; }}\n{sessions}",
            "ascii",
        )
        words = ["env", "-C", str(folder), f"PATH={_ELSEWHERE}", "bird", "-f", "-c", "bird.conf", "-s", "bird.ctl"]
        self._programs["bird"] = self.router.spawn(words, self.log("bird"))

    def hops(self) -> set[str]:
        """The names of the engines to which the router sends the VIP's packets, by its route or its ARP table."""
        told = json.loads(self.router.call("ip", "-j", "route", "show", f"{self.group.vip}/32") or "[]")
        hops = {hop["gateway"] for route in told for hop in (route.get("nexthops") or [route]) if "gateway" in hop}
        if not self.routes:
            known = json.loads(self.router.call("ip", "-j", "neigh", "show", self.group.vip) or "[]")
            macs = {one.get("lladdr") for one in known}
            return {node.name for node in self.group.engines if node.mac in macs}
        return {node.name for node in self.group.engines if node.address in hops}

    def sends_to(self, names: Iterable[str], after: Callable[[], object] = lambda: None) -> float:
        """Wait until the router sends to exactly these engines. after: a call to make first. Returns the seconds since
        the call began."""
        wanted, begun = set(names), time.monotonic()
        after()
        self.wait(lambda: self.hops() == wanted, f"the router to send to {', '.join(sorted(wanted))} alone", FOLLOWS)
        return time.monotonic() - begun

    # the engines

    def engine_states(self) -> dict[str, Path]:
        """The state directory of each engine, by its name."""
        return {node.name: self.folder / node.name for node in self.group.engines}

    def start_engine(self, *options: str) -> None:
        """Start etcd, the router's BGP and all engines, with options of `avi-se run`, and wait until they answer."""
        self.start_members()
        if self.routes:
            self.start_router()
        for node in self.group.engines:
            self.start_one(node, *options)
        for node in self.group.engines:
            self.wait(lambda name=node.name: self.status(name) is not None, f"{node.name} to answer")  # type: ignore[misc]

    def start_one(self, node: Node, *options: str) -> None:
        """Start an engine."""
        state = self.engine_states()[node.name]
        state.mkdir(mode=0o700, exist_ok=True)
        words = [sys.executable, "-m", "dataplane", "run", "--state", str(state), "--interface", "eth0"]
        words += ["--name", node.name, "--store", self.store, *(("--driver", self.driver) if self.driver else ())]
        self._engines[node.name] = self.hosts[node.name].spawn([*words, *options], self.log(node.name))

    def enable(self, node: Node, state: str) -> None:
        """Set an engine's `enable_state` in the shell. Raises LabError with the shell's output."""
        done = self.shell("-c", f"configure serviceengine {node.name}", "-c", f"enable_state {state}", "-c", "save")
        if done.returncode:
            raise LabError(f"enable_state {state} was refused: {done.stderr}{done.stdout}".strip())

    def signal_one(self, node: Node, signum: int = signal.SIGTERM) -> None:
        """Send an engine a signal."""
        self._engines[node.name].send_signal(signum)

    def end_one(self, node: Node) -> int:
        """Wait for the end of an engine that was told to end. Returns its exit status."""
        return stop(self._engines.pop(node.name))

    def status(self, name: str = "") -> Mapping[str, Any] | None:
        """An engine's report, by default the first one's; None while it does not answer. Raises LabError if it ended by
        itself."""
        engine = self._engines.get(name := name or self.group.engine_name)
        if engine is not None and engine.poll() is not None:
            raise LabError(f"service engine {name} ended: {self.tail(name)}")
        return super().status(name)

    def wait_ready(self) -> None:
        """Wait until every server has its share on every engine, and the router sends to the right engines."""
        wanted = {node.address: "up" for node in self.group.servers}
        for node in self.group.engines:
            self.wait(lambda name=node.name: self.servers(name) == wanted, f"every server to be up for {node.name}")  # type: ignore[misc]
        if self.routes:
            self.sends_to(self.engine_states())
        else:
            self.wait(lambda: self.active() is not None, "an engine to answer ARP for the VIP")

    def active(self) -> Node | None:
        """The only engine that answers ARP for the VIP; None: none does, or more than one."""
        found = [node for node in self.group.engines if self._answers(node)]
        return found[0] if len(found) == 1 else None

    def _answers(self, node: Node) -> bool:
        told = self.status(node.name)
        vips = told["vips"] if told else ()
        return any(vip["address"] == self.group.vip and vip["answers_arp"] for vip in vips)

    def complete(self) -> bool:
        """Whether every engine sees every other one."""
        told = [(self.status(name) or {}).get("membership") or {} for name in self.engine_states()]
        found = [{one["name"]: one["presence"] for one in its.get("engines", ())} for its in told]
        return all(its == dict.fromkeys(self.engine_states(), "up") for its in found)

    def settled(self) -> bool:
        """Whether each engine has been in the group long enough to take another one for dead."""
        told = [(self.status(name) or {}).get("membership") or {} for name in self.engine_states()]
        return self.complete() and all(time.time() - its["since"] > _SETTLES for its in told)

    def pull(self, node: Node) -> None:
        """Pull a host's cable out of the switch, as if the host died."""
        self.switch.call("ip", "link", "set", node.name, "nomaster")

    def plug(self, node: Node) -> None:
        """Put a host's cable back."""
        self.switch.call("ip", "link", "set", node.name, "master", BRIDGE)

    def shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the shell on the first engine's host, to its end."""
        argv = [sys.executable, "-m", "avi_shell", *words, "--state", str(self.state)]
        command = self.hosts[self.group.engine_name].command(*argv)
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def tail(self, name: str) -> str:
        """The last lines of a program's log; of all engines' logs, if the single engine's is asked for."""
        if name in self.engine_states() or name == CLIENT:
            return super().tail(name)
        told = [f"{engine}: {super(GroupLab, self).tail(engine)}" for engine in self.engine_states()]
        return "\n".join(told) if name == "engine" else super().tail(name)

    def _start(self, node: Node, words: list[str], name: str) -> None:
        self._programs[name] = self.hosts[node.name].spawn(words, self.log(name))
