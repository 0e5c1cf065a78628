"""Three engines of three hosts behind one router, servers beside them, and others behind another router's port.

    client 10.8.0.50 ─ router ─ 10.9.0.0/24 ─ engines a .1, b .2, c .3, servers .11 .12        VIP 10.99.0.1, layer 2
                          └──── 10.10.0.0/24 ─ servers .21 .22                                 VIP 10.99.0.2, layer 3

Each engine has a store of its own, as hosts have; the router spreads flows over all of them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dataplane.drivers import selection
from dataplane.server import record
from tests import forked
from tests.netns import Namespace
from tests.polling import until

from .engine import FAR_SERVERS, FAR_VIP, PORT, ROUTER, SERVERS, VIP, Engine
from .routers import Router, frr, hops
from .traffic import Held, Traffic

ENGINES = {"a": "10.9.0.1", "b": "10.9.0.2", "c": "10.9.0.3"}
CLIENT = "10.8.0.50"


class World:
    """The network with its router, engines and servers. drivers: of the engines; with_frr: FRR is the router, and not
    BIRD; connections: held to each VIP; interval: seconds between two datagrams."""

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        drivers: dict[str, str],
        *,
        with_frr: bool = False,
        connections: int = 100,
        interval: float = 0.002,
    ) -> None:
        self.interval, self._connections = interval, connections
        names = ("switch", "far", "router", "client", *ENGINES, *SERVERS, *FAR_SERVERS)
        self.spaces = {name: stack.enter_context(Namespace()) for name in names}
        self._wire(drivers)
        self._start_servers(stack, folder)
        if with_frr:
            self.router: Router | None = None
            stack.enter_context(frr(self.spaces["router"], ROUTER, list(ENGINES.values())))
        else:
            self.router = Router(self.spaces["router"], folder / "router", ROUTER, list(ENGINES.values()))
            stack.callback(self.router.close)
        self.engines = {
            name: Engine(self.spaces[name], folder / name, drivers[name], address) for name, address in ENGINES.items()
        }
        for engine in self.engines.values():
            stack.callback(engine.end)
            engine.start()
        self.held = Held(self.spaces["client"], (VIP, FAR_VIP), PORT)
        stack.callback(self.held.close)

    def next_hops(self, vip: str = VIP) -> set[str]:
        """The engines, by their addresses, that the router sends a VIP's packets to."""
        return hops(self.spaces["router"], vip)

    def hops(self, *names: str, seconds: float = 60) -> float:
        """Wait until the router sends to exactly these engines, for both VIPs. Returns the seconds that it took."""
        wanted, begun = {ENGINES[name] for name in names}, time.monotonic()

        def sends() -> bool:
            return all(self.next_hops(vip) == wanted for vip in (VIP, FAR_VIP))

        def told() -> str:
            logs = "\n".join(engine.log() for engine in self.engines.values())
            return f"{self.next_hops()}, wanted {wanted}\n{logs}"

        until(sends, told, seconds, longest=0.02)
        return time.monotonic() - begun

    def serve(self, *, vip: bool) -> None:
        """Give the servers of layer 2 the VIP, or take it from them."""
        for name in SERVERS:
            self.spaces[name].sh(f"ip addr {'add' if vip else 'del'} {VIP}/32 dev lo")

    def plug(self, name: str, *, there: bool) -> None:
        """Pull an engine's cable, or put it back: its own link stays up, as behind a switch."""
        self.spaces["switch"].sh(f"ip link set {name}0 {'master br0' if there else 'nomaster'}")

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Datagrams, and words on held connections, all the while; the last ones have come back afterwards."""
        self.held.ping()
        if not self.held.count or self.held.broken:
            self.held.open(self._connections)
        made = Traffic(self.spaces["client"], (VIP, FAR_VIP), PORT, self.held, self.interval)
        try:
            made.flow()
            yield made
            made.flow()
        finally:
            made.end()

    def _wire(self, drivers: dict[str, str]) -> None:
        spaces = self.spaces
        for name, space in spaces.items():
            space.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
            if name in ("switch", "far"):
                space.sh("ip link add br0 type bridge; ip link set br0 up")
        for switch, prefix in (("switch", "10.9.0."), ("far", "10.10.0.")):
            ends = {"router": f"{prefix}254", **(ENGINES | SERVERS if switch == "switch" else FAR_SERVERS)}
            for name, address in ends.items():
                link = "eth2" if (switch, name) == ("far", "router") else "eth0"
                spaces[name].sh(
                    f"ip link add {link} type veth peer name {name}0 netns {spaces[switch].path}\n"
                    f"ip link set {link} up; ip addr add {address}/24 dev {link}"
                )
                spaces[switch].sh(f"ip link set {name}0 master br0 up")
                if name != "router":
                    spaces[name].sh(f"ip route add default via {prefix}254")
        for name, driver in drivers.items():
            if driver == "xdp":
                spaces["switch"].run(lambda n=name: selection.prepare_peer(None, f"{n}0"))  # type: ignore[misc]
        spaces["client"].sh(f"ip link add eth0 type veth peer name eth1 netns {spaces['router'].path}")
        spaces["client"].sh(
            f"ip link set eth0 up; ip addr add {CLIENT}/24 dev eth0; ip route add default via 10.8.0.254\n"
            "ethtool -K eth0 tx off >/dev/null"  # XDP fills in no checksums
        )
        spaces["router"].sh(
            "ip link set eth1 up; ip addr add 10.8.0.254/24 dev eth1\n"
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=1 net.ipv4.conf.all.send_redirects=0\n"
            "for each in all eth0 eth1 eth2; do sysctl -qw net.ipv4.conf.$each.rp_filter=0; done"
        )

    def _start_servers(self, stack: ExitStack, folder: Path) -> None:
        """Prepare the servers as operators do, and have them greet, and echo, at their VIP."""
        for mode, vip, servers in (("l2", VIP, SERVERS), ("l3", FAR_VIP, FAR_SERVERS)):
            for name in servers:
                stack.callback(record.forget, self.spaces[name].path.stat().st_ino)
                self._program(name, "dataplane.server", "apply", "--vip", vip, "--mode", mode, "--interface", "eth0")
                log = folder / f"{name}.log"
                with log.open("wb") as sink:
                    argv = self._argv(name, "tests.lab.greeter", name, str(PORT), vip)
                    program = forked.popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
                stack.callback(_end, program)
                until(lambda log=log: "ready" in log.read_text(), log.read_text)  # type: ignore[misc]

    def _argv(self, name: str, *words: str) -> list[str]:
        return ["nsenter", f"--net={self.spaces[name].path}", sys.executable, "-m", *words]

    def _program(self, name: str, *words: str) -> None:
        done = forked.run(self._argv(name, *words), capture_output=True, text=True)
        assert not done.returncode, done.stdout + done.stderr


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)
