"""Routers for tests, each in a namespace: BIRD and FRR as operators run them beside engines."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dataplane.bgp import birdcontrol
from dataplane.errors import EngineError
from tests.netns import Namespace
from tests.polling import until

AS, ENGINES_AS = 65000, 65001
FRR = Path("/usr/lib/frr")


class Router:
    """A BIRD that learns the routes of its neighbours, and puts them into the kernel. engines: addresses."""

    def __init__(self, there: Namespace, folder: Path, address: str, engines: list[str]) -> None:
        self.there, self.folder, self.address, self.engines = there, folder, address, engines
        folder.mkdir()
        self.configure(running=False)
        words = ["bird", "-f", "-c", "bird.conf", "-s", birdcontrol.SOCKET]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["nsenter", f"--net={there.path}", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
            )
        until(lambda: birdcontrol.process(folder), lambda: (folder / "log").read_text())

    def configure(self, words: str = "", bfd: int = 300, *, running: bool = True) -> None:
        """words: more for each session; bfd: milliseconds between two packets."""
        sessions = "".join(
            f"protocol bgp engine{number} {{ local {self.address} as {AS}; neighbor {engine} as {ENGINES_AS}; "
            "connect delay time 1; connect retry time 1; error wait time 1, 2; "
            f"bfd {{ min tx interval {bfd} ms; min rx interval {bfd} ms; multiplier 3; }}; "
            f"ipv4 {{ import all; export none; }}; {words} }}\n"
            for number, engine in enumerate(self.engines)
        )
        (self.folder / "bird.conf").write_text(
            f'log "bird.log" all;\nrouter id {self.address};\nprotocol device {{}}\nprotocol bfd {{}}\n'
            "protocol kernel { merge paths yes; ipv4 { export all; }; }\n" + sessions
        )
        if running:
            birdcontrol.ask(self.folder, "configure")

    def ask(self, command: str) -> str:
        """BIRD's answer, as text."""
        return "\n".join(line.text for line in birdcontrol.ask(self.folder, command))

    def hops(self, vip: str) -> set[str]:
        """The next hops towards a VIP, in the kernel."""
        return hops(self.there, vip)

    def learned(self, vip: str) -> set[str]:
        """The next hops towards a VIP in its own table, which has one or the other route at every moment. To replace a
        route in the kernel, BIRD deletes the one and adds the other."""
        try:
            told = self.ask(f"show route for {vip}")
        except EngineError:  # none
            return set()
        return set(re.findall(r"via (\S+)", told))

    def close(self) -> None:
        """End it."""
        _end(self._process)


def hops(there: Namespace, vip: str) -> set[str]:
    """The next hops towards a VIP, in the kernel of a router."""
    told = json.loads(there.sh(f"ip -j route show {vip}/32") or "[]")
    return {hop["gateway"] for route in told for hop in (route.get("nexthops") or [route]) if "gateway" in hop}


@contextmanager
def frr(there: Namespace, address: str, engines: Sequence[str], secret: str = "") -> Iterator[Path]:
    """FRR's zebra, bgpd and bfdd, as the manual's page configures them. Gives their folder."""
    neighbours = "".join(
        f" neighbor {engine} remote-as {ENGINES_AS}\n neighbor {engine} bfd\n neighbor {engine} timers connect 1\n"
        + (f" neighbor {engine} password {secret}\n" if secret else "")
        for engine in engines
    )
    learned = "".join(f"  neighbor {engine} prefix-list VIPS in\n" for engine in engines)
    watched = "".join(f" peer {engine}\n  receive-interval 300\n  transmit-interval 300\n" for engine in engines)
    text = (
        "ip prefix-list VIPS permit 0.0.0.0/0 ge 32\n"
        f"router bgp {AS}\n bgp router-id {address}\n no bgp ebgp-requires-policy\n"
        f"{neighbours} address-family ipv4 unicast\n{learned}  maximum-paths 8\nbfd\n{watched}"
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="frr-")))  # its users may go there
        folder.chmod(0o755)
        shutil.chown(folder, "frr", "frr")
        for name in ("zebra", "bfdd", "bgpd"):
            (folder / f"{name}.conf").write_text("" if name == "zebra" else text)
            words = [FRR / name, "-f", folder / f"{name}.conf", "-z", folder / "zserv.api", "-P", "0"]
            words += ["-i", folder / f"{name}.pid", "--vty_socket", folder, "--log", "stdout"]
            words += ["--bfdctl", folder / "bfdd.sock"] if name == "bfdd" else []
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            argv = ["nsenter", f"--net={there.path}", *map(str, words)]
            stack.callback(_end, subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
            socket, told = folder / f"{name}.vty", folder / f"{name}.log"
            until(socket.exists, told.read_text)
        yield folder


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


def vtysh(folder: Path, daemon: str, command: str) -> str:
    """FRR's answer to a command."""
    words = ["vtysh", "--vty_socket", str(folder), "-d", daemon, "-c", command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def communities(told: str) -> set[str]:
    """The communities that BIRD tells of a route."""
    return {":".join(pair) for pair in re.findall(r"\((\d+),(\d+)\)", told)}
