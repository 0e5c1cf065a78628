"""An engine that begins after a change of a server's health takes over the connections of those that saw it.

Measured by `python -m tests.lab.coldengine`, for `make fleet`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from dataplane import client
from dataplane.lab import topology
from dataplane.lab.grouplaboratory import GroupLab
from dataplane.lab.namespaces import stop
from dataplane.lab.topology import Group
from tests.drivers import PREFERRED
from tests.lab import plans

FIRST_PORT, PATIENCE = 10_000, 30.0


class Scene:
    """Three engines behind a router, servers that greet, and a client that holds connections, so many of each kind. The
    third engine is not there yet."""

    def __init__(self, lab: GroupLab, stack: ExitStack, count: int) -> None:
        self.lab, self._count, self._next = lab, count, FIRST_PORT
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
        self._next += self._count
        held = self._say("open", self._next - self._count, self._count)
        assert not (broken := [server for server in held.values() if server.startswith("!")]), broken[:3]
        return held

    def owners_of_next(self) -> dict[int, str]:
        """The server that would get each of the next connections if they were opened now: the first engine is asked."""
        lab, first = self.lab, self.lab.group.engines[0].name
        told, names = lab.status(first), {node.address: node.name for node in lab.group.servers}
        assert told is not None
        (service,) = (one["uuid"] for one in told["services"] if one["protocol"] == "tcp")
        of, asked = {"virtualservice": service, "client": lab.group.client.address}, lab.engine_states()[first]
        found = {}
        for port in range(self._next, self._next + self._count):
            flows = client.ask(asked, first, "flow", **of, port=port)["flows"]
            (found[port],) = (names[one["owner"]] for one in flows if one["protocol"] == "tcp")
        return found

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


def taken_over(scene: Scene) -> tuple[dict[int, str], dict[int, str]]:
    """A server is cut off and comes back; an engine begins then, and the others leave. Returns the server of each
    connection to servers that stayed, begun before that or while it was away, and what each of them has in the end.

    Left out are connections that began on slots in transition. Maglev moves a few slots among the servers that stay
    (11 of 65,537 with three), and gives them back. Such a slot has its owner's connections, and some that another one
    got meanwhile: only the engines that saw those begin can tell them apart.
    """
    lab, (first, second, third), flapping = scene.lab, scene.lab.group.engines, scene.lab.group.servers[0]
    scene.takes(flapping.address, there=True)
    held = scene.open()
    before = scene.owners_of_next()
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
    told_apart = {port: server for port, server in moved.items() if before[port] in (server, flapping.name)}
    assert len(moved) - len(told_apart) <= len(moved) // 50
    wanted = {port: server for port, server in (held | told_apart).items() if server != flapping.name}
    return wanted, {port: after[port] for port in wanted}


def standing(stack: ExitStack, folder: Path, count: int) -> Scene:
    """A scene, which ends with the stack."""
    there = topology.load(topology.find("bgp_ecmp"))
    assert isinstance(there, Group)
    session = folder / "session.avi"
    text = there.session.read_text().replace("min_scaleout_per_vs 3", "min_scaleout_per_vs 2")
    # BFD is slow: a machine that stands still ends no session.
    session.write_text(text.replace("bfd_profile mintx 500 minrx 500", "bfd_profile mintx 3000 minrx 3000"))
    lab = GroupLab(replace(there, session=session), name=plans.lab_name(), driver=PREFERRED)
    stack.enter_context(lab)
    return Scene(lab, stack, count)


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.coldengine", description=__doc__)
    parser.add_argument("--connections", type=int, default=900, help="before, and as many meanwhile (%(default)s)")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="avi-fleet-")))
        wanted, after = taken_over(standing(stack, folder, arguments.connections))
    broken = sum(after[port] != server for port, server in wanted.items())
    print(f"an engine that begins inside a window takes over {len(wanted)} connections: {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
