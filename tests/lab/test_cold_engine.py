"""An engine that begins after a change of a server's health takes over the connections of those that saw it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.lab import topology
from dataplane.lab.grouplaboratory import GroupLab
from dataplane.lab.namespaces import stop
from dataplane.lab.topology import Group
from tests.drivers import PREFERRED
from tests.lab import plans

pytestmark = pytest.mark.root
FIRST_PORT, COUNT = 20_000, 300
PATIENCE = 30.0


class Scene:
    """Three engines behind a router, servers that greet, and a client that holds connections. The third engine is not
    there yet."""

    def __init__(self, lab: GroupLab, stack: ExitStack) -> None:
        self.lab, self._next = lab, FIRST_PORT
        there = lab.group
        lab.prepare(there.servers)
        for node in there.servers:
            words = [sys.executable, "-m", "tests.lab.greeter", node.name, str(there.port), there.vip]
            stack.callback(stop, lab.hosts[node.name].spawn(words, lab.log(node.name)))
            lab.wait(lambda name=node.name: "ready" in lab.tail(name), "the servers")  # type: ignore[misc]
        lab.start_members()
        lab.start_router()
        for node in there.engines[:2]:
            lab.start_one(node)
        lab.configure()
        lab.sends_to({node.name for node in there.engines[:2]})
        words = [sys.executable, "-m", "tests.lab.holder", there.vip, str(there.port), str(PATIENCE)]
        self._holder = subprocess.Popen(
            lab.hosts["client"].command(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.enter_context(self._holder)
        stack.callback(self._holder.terminate)

    def open(self) -> dict[int, str]:
        """New connections; the server of each."""
        self._next += COUNT
        held = self._say("open", self._next - COUNT, COUNT)
        assert not [server for server in held.values() if server.startswith("!")]
        return held

    def heard(self) -> dict[int, str]:
        """A line on each connection; the server of each that comes back, or "!" and why it does not."""
        return self._say("ping")

    def takes(self, address: str, *, there: bool) -> None:
        """Wait until the engines that run have a server in their tables, or none of them has."""
        for node in self.lab.group.engines[:2]:
            self.lab.wait(
                lambda name=node.name: (self.lab.servers(name).get(address) == "up") is there,  # type: ignore[misc]
                f"{address} to be {'up' if there else 'down'}",
            )

    def _say(self, *words: object) -> dict[int, str]:
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        print(*words, file=self._holder.stdin, flush=True)
        return {int(port): server for port, server in json.loads(self._holder.stdout.readline()).items()}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    there = topology.load(topology.find("bgp_ecmp"))
    assert isinstance(there, Group)
    session = tmp_path / "session.avi"
    session.write_text(there.session.read_text().replace("min_scaleout_per_vs 3", "min_scaleout_per_vs 2"))
    with ExitStack() as stack:
        lab = GroupLab(replace(there, session=session), name=plans.lab_name(), driver=PREFERRED)
        stack.enter_context(lab)
        yield Scene(lab, stack)


def test_connections_begun_before_the_window_find_their_servers_by_an_engine_that_saw_nothing(scene: Scene) -> None:
    lab, (first, second, third), flapping = scene.lab, scene.lab.group.engines, scene.lab.group.servers[0]
    scene.takes(flapping.address, there=True)
    held = scene.open()
    lab.pull(flapping)
    scene.takes(flapping.address, there=False)
    moved = scene.open()  # with other servers, on slots that go back to their owner
    assert flapping.name not in moved.values()
    lab.plug(flapping)
    scene.takes(flapping.address, there=True)
    assert {port: server for port, server in scene.heard().items() if port in moved} == moved
    lab.start_one(third)
    lab.wait(lab.complete, "the third engine to be there")
    for node in (first, second):
        lab.signal_one(node)
        lab.end_one(node)
    lab.sends_to({third.name})
    after = scene.heard()
    wanted = {port: server for port, server in (held | moved).items() if server != flapping.name}
    assert {port: after[port] for port in wanted} == wanted
