"""A server that is disabled while connections use it: the flows that ended are told apart from those in use."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataplane import plan
from tests.broken.world import PORT, VIP, World
from tests.drivers import common_drivers
from tests.field.world import TCP, field
from tests.polling import until

pytestmark = pytest.mark.root

PORTS = range(20_001, 20_013)
"""The client's. Either server has some of them."""


def connected(world: World) -> dict[int, socket.socket]:
    """Connections to the VIP, each in the middle of a request, by the client's port."""

    def connect() -> list[socket.socket]:
        return [socket.create_connection((VIP, TCP), 8, ("", port)) for port in PORTS]

    made = dict(zip(PORTS, world.spaces["client"].run(connect), strict=True))
    for one in made.values():
        one.send(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
    return made


def ports(world: World, name: str) -> set[int]:
    """The clients' ports of a server's connections."""
    lines = world.sh(name, f"ss -Htn state established 'sport = :{TCP}'").splitlines()
    return {int(line.split()[-1].rpartition(":")[2]) for line in lines}


@common_drivers
def test_flows_that_ended_are_told_apart_from_those_in_use(driver: str, tmp_path: Path) -> None:
    with field(tmp_path, driver, napi=True) as world:
        world.sh("client", "ethtool -K eth0 tx off")
        world.is_well()
        made = connected(world)
        until(lambda: len(ports(world, "broken")) + len(ports(world, "healthy")) == len(PORTS))
        leaving = ports(world, "broken")
        assert len(leaving) > 1
        broken, healthy = (world.addresses[name] for name in ("broken", "healthy"))
        world.publish(
            port=TCP,
            port_end=TCP,
            servers=(plan.Server(broken, PORT, enabled=False, serve_until=plan.FOR_EVER), plan.Server(healthy, PORT)),
            former=(plan.Former(time.time(), ((broken, 1, 0), (healthy, 1, 0))),),
        )

        def counted(asked: set[int], wanted: Callable[[int, int], bool]) -> Callable[[], bool]:
            """Whether what the engine tells is so, while some connections go on."""

            def so() -> bool:
                for port in asked:
                    made[port].send(b"more")
                told = world.server()
                return told["flows"] is not None and wanted(told["flows"], told["idle_flows"])

            return so

        every = len(leaving)
        until(counted(leaving, lambda flows, idle: (flows, idle) == (every, 0)), lambda: world.server())
        stays = leaving.pop()
        for port in leaving:
            made[port].close()
        until(counted({stays}, lambda flows, idle: (flows, idle) == (every, every - 1)), lambda: world.server())
        assert world.server()["last_packet"] < 10
        assert f"{every} flows remain of those tracked: {every - 1} idle for 10 s or more" in world.server()["reason"]
        for one in made.values():
            one.close()
