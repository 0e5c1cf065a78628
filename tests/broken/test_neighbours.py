"""The kernel's neighbour table full for real: named, and mended as printed.

Table and limits are those of all namespaces together: it is full for as long as the engine takes to say so, and the
limits are put back.
"""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.lab.standstill import Witness
from tests.broken.world import World, built
from tests.netns import Namespace
from tests.polling import SHORTEST, until

pytestmark = [pytest.mark.root, pytest.mark.alone]  # the table and its limits are the whole machine's

LIMITS = [Path(f"/proc/sys/net/ipv4/neigh/default/gc_thresh{n}") for n in (1, 2, 3)]
LONGEST = 4.5
"""Seconds: after five the kernel takes entries out again (neigh_forced_gc)."""


@pytest.fixture
def limits() -> Iterator[int]:
    """The kernel's limits, put back afterwards. Yields how many neighbours it keeps."""
    before = [path.read_text() for path in LIMITS]
    yield int(before[-1])
    for path, value in zip(LIMITS, before, strict=True):
        path.write_text(value)


class Filler:
    """A namespace of many neighbours."""

    def __init__(self, space: Namespace) -> None:
        self._space = space
        self._numbers = itertools.count(256)
        space.sh("ip link add fill type veth peer name other; ip link set fill up; ip link set other up")

    def fill(self, count: int) -> bool:
        """Add so many; whether there was no room for all of them."""
        lines = "".join(
            f"neigh replace 10.{n >> 16}.{n >> 8 & 255}.{n & 255} lladdr 02:00:00:00:00:01 dev fill nud reachable\n"
            for n in itertools.islice(self._numbers, count)
        )
        argv = ["nsenter", f"--net={self._space.path}", "ip", "-batch", "-"]
        done = subprocess.run(argv, input=lines, capture_output=True, text=True, check=False)
        assert not done.stderr or "No buffer space available" in done.stderr, done.stderr
        return bool(done.stderr)


def known(world: World) -> str:
    """The engine's neighbour entry of the broken server."""
    return world.sh("engine", f"ip neigh show {world.addresses['broken']} dev eth0").strip()


def test_the_neighbour_table_is_full(tmp_path: Path, limits: int) -> None:
    with built(tmp_path, "l2") as world:
        until(lambda: _named_and_mended(world, limits), world.log, 120)


def _named_and_mended(world: World, limits: int) -> bool:
    """Fill the table, and see that the engine says so. False where it could not in time, as the machine stood still:
    the kernel has made room again then."""
    with Namespace() as space:
        filler = Filler(space)
        began = time.monotonic()
        assert filler.fill(limits + 64)

        def lost() -> bool:
            """Whether the server's entry is gone and its place taken."""
            world.sh("engine", f"ip neigh del {world.addresses['broken']} dev eth0 || true")
            return filler.fill(64) and not known(world)

        full = "neighbour table of the engine's host is full"

        def told() -> bool:
            filler.fill(64)  # others leave
            return world.server()["state"] == "down" and full in world.server()["reason"]

        with Witness() as machine:
            try:
                until(lost, lambda: known(world), LONGEST)
                left = LONGEST - (time.monotonic() - began)
                until(
                    told, lambda: (world.server(), world.log()), left, longest=SHORTEST
                )  # a place that is left is taken
                assert world.server("healthy")["state"] == "up"
            except AssertionError:
                if not machine.stood(began):
                    raise
            else:
                subprocess.run(["sh", "-ec", world.server()["remedy"]], check=True, stdout=subprocess.DEVNULL)
                world.is_well()
                return True
    world.is_well()
    return False
