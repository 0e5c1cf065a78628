"""An engine in a memory control group that is too small for XDP's maps: another driver, or one clear sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.broken.world import World
from tests.field.world import field, forwards

pytestmark = pytest.mark.root

JUST_TOO_SMALL = 112
"""MiB: the maps would fit, and the engine beside them would not."""


@contextmanager
def limited(size: int) -> Iterator[Path]:
    """A control group below this process's own, with so many MiB."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    whole = next((path for number, _, path in lines if number == "0"), "/")
    path = next((path for _, controllers, path in lines if "memory" in controllers.split(",")), None)
    root, limit = (
        ("/sys/fs/cgroup", "memory.max") if path is None else ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    )
    made = Path(root + (path or whole)) / f"avi-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as exc:
        pytest.skip(f"no control group can be made: {exc}")
    try:
        if not (made / limit).exists():
            pytest.skip(f"{made.parent} does not hand memory down")
        (made / limit).write_text(str(size << 20))
        yield made
    finally:
        made.rmdir()


def killed(group: Path) -> int:
    """How many processes of a group the kernel killed for want of memory."""
    told = next(path for name in ("memory.oom_control", "memory.events") if (path := group / name).exists())
    return int(dict(line.split() for line in told.read_text().splitlines())["oom_kill"])


def within(world: World, group: Path) -> None:
    """Start the engine in the group."""
    world.around = ["sh", "-ec", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]


@pytest.mark.parametrize("size", [48, JUST_TOO_SMALL])
def test_auto_takes_pcap_where_memory_is_too_small_for_xdp(size: int, tmp_path: Path) -> None:
    with limited(size) as group, field(tmp_path, "auto", napi=True, runs=False) as world:
        within(world, group)
        try:
            world.start_engine()
            told = world.status()
            assert told is not None
            assert told["driver"]["name"] == "pcap"
            assert "XDP's maps take" in told["driver"]["reason"]
            assert "its control group allows" in told["driver"]["reason"]
            world.is_well()
            forwards(world)
        finally:
            world.end_engine()
            assert killed(group) == 0


def test_the_xdp_driver_refuses_and_says_what_it_needs(tmp_path: Path) -> None:
    with limited(JUST_TOO_SMALL) as group, field(tmp_path, "xdp", napi=True, runs=False) as world:
        within(world, group)
        wrong, remedy = world.refused()
        assert "its control group allows" in wrong
        assert remedy.startswith("give the engine more memory (memory.max of its control group")
        assert killed(group) == 0
