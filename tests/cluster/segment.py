"""Hosts with an engine each on one segment, which share a configuration by an etcd on a network of its own.

    data   10.0.0.0/24   engines a .1, b .2, …; server .11; client .50; VIPs from .100 on
    store  10.2.0.0/24   the same hosts; members of etcd .201, …

A host is cut from either by its link.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from avi_shell.configuration import shared
from avi_shell.configuration.document import reference
from avi_shell.configuration.record import Author
from avi_shell.configuration.shared import SharedConfiguration
from dataplane import client
from dataplane.drivers import selection
from dataplane.errors import EngineError
from dataplane.placement.arbitration import LEASE
from tests import earlier, forked
from tests.configuration.addresses import address
from tests.configuration.conftest import Site, tcp_profile
from tests.netns import Namespace
from tests.polling import until

from .arpasking import Asking
from .members import Members

SERVER, CLIENT = "10.0.0.11", "10.0.0.50"


def vip(index: int) -> str:
    """The address of a VIP, from 0 on."""
    return f"10.0.{index // 100}.{100 + index % 100}"


class _Members(Members):
    """Members in namespaces of their own, which are there. shell: where the others of their network are asked from."""

    def __init__(self, folder: Path, spaces: Sequence[Namespace], shell: Namespace) -> None:
        super().__init__(folder, len(spaces))
        self.namespace, self._spaces = shell, spaces

    def _enter(self) -> None:
        pass

    def _leave(self) -> None:
        pass

    def host(self, index: int) -> str:
        return f"10.2.0.{201 + index}"

    def space(self, index: int) -> Namespace:
        return self._spaces[index]


class Host:
    """A host with an engine of its own name."""

    def __init__(self, name: str, there: Namespace, state: Path, url: str) -> None:
        self.name, self.there, self.state, self._url = name, there, state, url
        self.code = earlier.ROOT  # the checkout whose programs it runs
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        """Run its engine."""
        argv = [sys.executable, "-m", "dataplane", "run", "--state", str(self.state), "--interface", "eth0"]
        argv += ["--name", self.name, "--store", self._url, *(words or ("--driver", "pcap"))]
        self.state.mkdir(mode=0o700, exist_ok=True)
        with (self.state / "log").open("ab") as log:
            self.process = forked.popen(
                ["nsenter", f"--net={self.there.path}", *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.code, env=earlier.environment(self.code),
            )  # fmt: skip

    def shell(self, lines: str) -> str:
        """Run lines of a shell there. Returns what it printed. Raises CalledProcessError where one was refused."""
        return self.avi_shell("--store", self._url, lines=lines)

    def avi_shell(self, *words: str, lines: str = "") -> str:
        """Run `avi-shell` there. Returns what it printed. Raises CalledProcessError."""
        argv = ["nsenter", f"--net={self.there.path}", sys.executable, "-m", "avi_shell", *words]
        done = forked.run(
            [*argv, "--state", str(self.state)], input=lines, stdout=subprocess.PIPE, text=True, check=True,
            cwd=self.code, env=earlier.environment(self.code),
        )  # fmt: skip
        return done.stdout

    def end(self, signum: int = signal.SIGTERM) -> int | None:
        """End the engine, and wait until it has. Returns its exit status."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        process.send_signal(signal.SIGCONT)
        process.send_signal(signum)
        return process.wait(30)

    def status(self) -> dict[str, Any]:
        """What the engine reports; empty while it does not answer."""
        with suppress(EngineError):
            return client.ask(self.state, self.name, "status")
        return {}

    def members(self) -> set[str]:
        """The engines that it knows to be there."""
        membership = self.status().get("membership") or {}
        return {one["name"] for one in membership.get("engines", ())}

    def tells(self, text: str, kind: str = "") -> bool:
        """Whether an event has a text in it, and is of that kind."""
        told = self.status().get("events", ())
        return any(text in event["text"] and kind in ("", event["kind"]) for event in told)

    def log(self) -> str:
        """What the engine said."""
        return (self.state / "log").read_text("utf-8", "replace")[-3000:]

    @cached_property
    def mac(self) -> bytes:
        """The MAC address of its interface on the segment."""
        return self.there.link("eth0")[1]

    def link(self, network: str, state: str) -> None:
        """Cut the host from a network ("data", "store"), or connect it again: "down", "up"."""
        self.there.sh(f"ip link set {'eth0' if network == 'data' else 'eth1'} {state}")


class Segment:
    """The network with its hosts; the members of etcd run, and the cluster is seeded with a fresh configuration."""

    def __init__(self, stack: ExitStack, folder: Path, names: Sequence[str], members: int = 1) -> None:
        self.spaces = {
            name: stack.enter_context(Namespace())
            for name in ("switch", "server", "client", *names, *(f"m{i}" for i in range(members)))
        }
        self._wire(names, members)
        self.etcd = stack.enter_context(
            _Members(folder / "etcd", [self.spaces[f"m{i}"] for i in range(members)], self.spaces["client"])
        )
        self._store = self.etcd.address("fleet")
        self.shell = folder / "shell"  # the state directory of a host without an engine
        self.etcd.run(lambda: shared.seed(self.shell, self._store, None, Author()))
        self.hosts = {name: Host(name, self.spaces[name], folder / name, self._store.url) for name in names}
        for host in self.hosts.values():
            stack.callback(host.end, signal.SIGKILL)

    def configure(self, work: Callable[[Site], None]) -> None:
        """Commit something, on a host without an engine."""

        def inside() -> None:
            configuration = SharedConfiguration.join(self.shell, self._store)
            try:
                work(Site(configuration))
            finally:
                configuration.close()

        self.etcd.run(inside)

    def serve(self, count: int, **group: Any) -> None:
        """Configure so many virtual services, of a pool and a VIP each, and of one server. group: fields of the service
        engine group."""

        def work(site: Site) -> None:
            site.save("serviceenginegroup", name="Default-Group", max_vs_per_se=1000, **group)
            site.save("networkprofile", name="dsr", profile=tcp_profile(dsr_type="DSR_TYPE_L2"))
            servers = [{"ip": address(SERVER), "port": 80}]
            for index in range(count):
                site.save("pool", name=f"pool{index}", lb_algorithm="LB_ALGORITHM_CONSISTENT_HASH", servers=servers)
                site.save("vsvip", name=f"vip{index}", vip=[{"ip_address": address(vip(index))}])
                site.save(
                    "virtualservice",
                    name=f"vs{index}",
                    application_profile_ref=reference("applicationprofile", "System-L4-Application"),
                    network_profile_ref=reference("networkprofile", "dsr"),
                    pool_ref=reference("pool", f"pool{index}"),
                    vsvip_ref=reference("vsvip", f"vip{index}"),
                    services=[{"port": 80}],
                )

        self.configure(work)

    def owner(self, asking: Asking, address: str, among: Sequence[str] = ()) -> Host:
        """Wait until one engine alone, of some hosts or of any, answers ARP for a VIP."""
        found: list[Host] = []

        def one() -> bool:
            macs = asking.answering(address)
            found[:] = [host for name, host in self.hosts.items() if host.mac in macs and name in (among or name)]
            return len(macs) == 1 == len(found)

        def told() -> str:
            answered = {self._named(macs) for macs in asking.last(address, 20)}
            return "\n".join([f"{address}: {sorted(answered)} answered", *(h.log() for h in self.hosts.values())])

        until(one, told, 60)
        return found[0]

    def _named(self, macs: frozenset[bytes]) -> str:
        names = {host.mac: name for name, host in self.hosts.items()}
        return "+".join(sorted(names.get(mac, mac.hex(":")) for mac in macs)) or "nobody"

    def believe(self) -> None:
        """Wait until all engines know each other, and etcd has answered for longer than a lease: nobody is found dead
        before."""
        for host in self.hosts.values():

            def ready(host: Host = host) -> bool:
                return host.members() == set(self.hosts) and host.status()["membership"]["answering"] > LEASE

            until(ready, host.log, 60)

    def start(self, *names: str) -> None:
        """Run these hosts' engines, all by default, and wait until they know each other."""
        chosen = names or tuple(self.hosts)
        for name in chosen:
            self.hosts[name].start()
        for name in chosen:
            until(lambda n=name: self.hosts[n].members() >= set(chosen), self.hosts[name].log, 60)  # type: ignore[misc]

    def _wire(self, names: Sequence[str], members: int) -> None:
        spaces, switch = self.spaces, self.spaces["switch"]
        for space in spaces.values():
            space.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
        switch.sh(
            "ip link add data type bridge; ip link set data up; ip link add store type bridge; ip link set store up"
        )
        hosts = {name: f".{number}" for number, name in enumerate(names, 1)}
        data = {**hosts, "server": ".11", "client": ".50"}
        store = {**hosts, "client": ".50", **{f"m{i}": f".{201 + i}" for i in range(members)}}
        for bridge, interface, net, ends in (("data", "eth0", "10.0.0", data), ("store", "eth1", "10.2.0", store)):
            for name, last in ends.items():
                spaces[name].sh(
                    f"ip link add {interface} type veth peer name {name}-{bridge} netns {switch.path}\n"
                    f"ip addr add {net}{last}/{16 if bridge == 'data' else 24} dev {interface}\n"
                    f"ip link set {interface} up"
                )
                switch.sh(f"ip link set {name}-{bridge} master {bridge} up")
        for name in names:  # XDP needs the other end of a veth to be ready for it
            switch.run(lambda n=name: selection.prepare_peer(None, f"{n}-data"))  # type: ignore[misc]
        for name in ("client", "server"):
            spaces[name].sh("ethtool -K eth0 tx off >/dev/null")


@contextmanager
def segment(folder: Path, names: Sequence[str], members: int = 1) -> Iterator[Segment]:
    """Hosts of these names, which are gone afterwards."""
    with ExitStack() as stack:
        yield Segment(stack, folder, names, members)
