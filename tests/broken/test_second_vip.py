"""A VIP that comes to a pool in use takes nothing from the first: a server without it is out for that VIP alone."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.broken.world import HOSTS, VIP, World, built
from tests.drivers import common_drivers, drivers_that_outlive
from tests.polling import until

pytestmark = pytest.mark.root

NEW = "10.9.0.200"
GREETER = 81
RANGE: dict[str, Any] = {"port_end": GREETER, "idle_timeout": 2}
LACKING = f"down for VIP {NEW}: server answers, VIP does not: VIP missing on its loopback?"


class Held:
    """Connections of the client that stay open. name: of the server that each leads to."""

    def __init__(self, world: World, vip: str, count: int) -> None:
        connect = lambda: socket.create_connection((vip, GREETER), 5)  # noqa: E731
        self.wires = [world.spaces["client"].run(connect) for _ in range(count)]
        self.names = [wire.recv(100).decode().strip() for wire in self.wires]

    def live(self) -> None:
        """Fail unless each still leads to its server."""
        for wire in self.wires:
            wire.sendall(b"there?\n")
        for wire in self.wires:
            assert wire.recv(100) == b"there?\n"

    def close(self) -> None:
        for wire in self.wires:
            wire.close()


@contextmanager
def greeting(world: World) -> Iterator[None]:
    """Have the servers say their names, and echo, on another port of the service. The client fills its checksums in."""
    world.sh("client", "ethtool -K eth0 tx off >/dev/null")
    with ExitStack() as stack:
        for name in HOSTS:
            listening = world.spaces[name].run(lambda: socket.create_server(("", GREETER), backlog=100))
            stack.callback(listening.close)
            stack.callback(listening.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=_greet, args=(name, listening), daemon=True).start()
        yield


def _greet(name: str, listening: socket.socket) -> None:
    with suppress(OSError):  # it was closed
        while True:
            threading.Thread(target=_echo, args=(name, listening.accept()[0]), daemon=True).start()


def _echo(name: str, wire: socket.socket) -> None:
    with wire, suppress(OSError):
        wire.sendall(name.encode() + b"\n")
        while data := wire.recv(100):
            wire.sendall(data)


def servers_of(world: World, vip: str, count: int = 30) -> Counter[str]:
    """Which servers new connections of the client to a VIP lead to."""
    with closing(Held(world, vip, count)) as held:
        held.live()
        return Counter(held.names)


def told(world: World) -> dict[str, Any]:
    status = world.status()
    if status is None:
        return {"pool": {"tables": 0, "state": ""}, "services": {}, "events": []}
    services = {service["vip"]: service for service in status["services"]}
    events = [event["text"] for event in status["events"]]
    return {"pool": status["pools"][0], "services": services, "events": events}


def state(world: World, vip: str) -> str:
    return str(told(world)["services"].get(vip, {"state": "not there"})["state"])


def shown(world: World) -> Callable[[], str]:
    return lambda: json.dumps(told(world), indent=1) + world.log()


@common_drivers
def test_a_second_vip_leaves_the_first_in_service(driver: str, tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver, **RANGE) as world, greeting(world), closing(Held(world, VIP, 30)) as first:
        begun = len(told(world)["events"])
        world.publish(vip=NEW, **RANGE)
        for name in HOSTS:
            world.reports("up", LACKING, name)
        until(lambda: state(world, NEW) == "down", shown(world))
        now = told(world)
        assert now["services"][VIP]["state"] == "up"
        assert (
            f"no server of its pool is up: {', '.join(world.addresses.values())} server answers"
            in (now["services"][NEW]["reason"])
        )
        assert (now["pool"]["state"], now["pool"]["tables"]) == ("up", 2)
        assert f"down for VIP {NEW}: no server is up" in now["pool"]["reason"]
        assert [v["state"] for s in now["pool"]["servers"] for v in s["vips"]] == ["up", "down"] * 2
        first.live()
        assert servers_of(world, VIP).keys() == set(HOSTS)

        world.prepare("broken", NEW)
        until(lambda: state(world, NEW) == "up", shown(world))
        assert servers_of(world, NEW).keys() == {"broken"}
        first.live()
        with closing(Held(world, NEW, 30)) as second:
            world.prepare("healthy", NEW)
            world.is_well()
            until(lambda: servers_of(world, NEW, 10).keys() == set(HOSTS), shown(world))
            second.live()
            first.live()
        before = sum(server["packets"] for server in told(world)["pool"]["servers"])
        until(lambda: told(world)["pool"]["tables"] == 1, shown(world))
        assert sum(server["packets"] for server in told(world)["pool"]["servers"]) >= before
        assert servers_of(world, NEW).keys() == servers_of(world, VIP).keys() == set(HOSTS)

        world.sh("broken", f"ip addr del {NEW}/32 dev lo")
        until(lambda: LACKING in world.server("broken")["reason"], shown(world))
        until(lambda: told(world)["pool"]["tables"] == 2, shown(world))
        assert servers_of(world, NEW).keys() == {"healthy"}
        first.live()
        assert servers_of(world, VIP).keys() == set(HOSTS)
        events = told(world)["events"][begun:]
        assert not [text for text in events if "is down" in text and VIP in text or text == f"VIP {VIP} is down"]
        assert f"server {world.addresses['broken']}:80 of pool p1 is up: {LACKING}" in events


@drivers_that_outlive
def test_an_engine_that_starts_again_goes_on_with_each_vip_as_it_was(driver: str, tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver, **RANGE) as world, greeting(world):
        world.prepare("healthy", NEW)
        world.publish(vip=NEW, **RANGE)
        world.reports("up", LACKING, "broken")
        until(lambda: state(world, NEW) == "up", shown(world))
        with closing(Held(world, VIP, 20)) as first, closing(Held(world, NEW, 20)) as second:
            assert set(first.names) == set(HOSTS)
            assert set(second.names) == {"healthy"}
            world.end_engine(signal.SIGKILL)
            first.live()
            second.live()
            world.start_engine()
            assert servers_of(world, NEW).keys() == {"healthy"}
            assert told(world)["pool"]["tables"] == 2
            first.live()
            second.live()
