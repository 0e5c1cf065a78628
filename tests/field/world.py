"""The engine of tests/broken on an interface of some kind, with servers that take uploads and datagrams."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.broken.world import HOSTS, VIP, World, built, inet
from tests.polling import until

TCP, UDP = 8080, 5353
UPLOAD = 3_000_000


@contextmanager
def field(folder: Path, driver: str, *, napi: bool = False, kind: str = "veth", runs: bool = True) -> Iterator[World]:
    """An engine as in a container: its veth ends at a bridge that has no NAPI there. kind: "veth", or what the engine
    makes of it: "bridge", "macvlan", "vlan"."""
    with built(folder, "l2", driver, napi=napi, kind=kind, runs=runs, port=TCP, port_end=TCP) as world:
        for name in HOSTS:
            world.serve(name, "tests.field.server", TCP, UDP)
        world.publish(protocol="udp", port=UDP, port_end=UDP, uuid="virtualservice-2", virtualservice="vs2")
        yield world


def forwards(world: World) -> None:
    """A request, an upload of 3 MB and a datagram through the VIP are answered."""
    until(lambda: curl(world) == "0", lambda: f"no answer\n{world.status()}\n{world.log()}")
    big = world.folder / "upload"
    big.write_bytes(bytes(UPLOAD))
    assert curl(world, "--data-binary", f"@{big}", patience=60) == str(UPLOAD)  # the machine may be busy
    assert world.spaces["client"].run(_datagram) == b"?" * 1000


def curl(world: World, *words: str, patience: int = 20) -> str:
    """What a request to the VIP gives; "" where it fails."""
    argv = ["nsenter", f"--net={world.spaces['client'].path}", "curl", "-s", "-m", str(patience), *words]
    return subprocess.run([*argv, f"http://{VIP}:{TCP}/"], stdout=subprocess.PIPE, text=True, check=False).stdout


def _datagram() -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(45)
        asking.sendto(b"?" * 1000, (VIP, UDP))
        return asking.recv(2000)


def counted(world: World) -> int:
    """The packets that the engine forwarded."""
    return sum(service["packets"] for service in (world.status() or {"services": []})["services"])


def rejects_nothing(world: World) -> None:
    """The client says nothing of datagrams that nobody took: the engine would forward that, and count it."""
    world.sh("client", "nft 'table ip t { chain c { type filter hook output priority 0; icmp type 3 drop; }; }'")


def vip(world: World) -> dict[str, object]:
    """What the engine tells of the VIP."""
    told = world.status()
    found = [vip for vip in told["vips"] if inet(vip["address"]) == inet(VIP)] if told else []
    return found[0] if found else {}
