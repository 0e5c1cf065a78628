"""An engine whose container has little memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.field.world import field, forwards

pytestmark = pytest.mark.root

LITTLE = 100 << 20
"""Bytes: the process fits, the maps of XDP do not."""


@contextmanager
def limited(size: int) -> Iterator[list[str]]:
    """A control group of so many bytes. Yields the command that runs another one in it."""
    old = Path("/sys/fs/cgroup/memory")
    group = (old if old.is_dir() else Path("/sys/fs/cgroup")) / f"avi-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if old.is_dir() else "memory.max")).write_text(str(size))
        yield ["sh", "-ec", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
    finally:
        group.rmdir()


def test_auto_takes_pcap_where_the_maps_do_not_fit_into_memory(tmp_path: Path) -> None:
    with limited(LITTLE) as around, field(tmp_path, "auto", napi=True, runs=False) as world:
        world.around = around
        world.start_engine()
        world.is_well()
        told = world.status()
        assert told is not None
        assert told["driver"]["name"] == "pcap"
        assert "Cannot allocate memory" in told["driver"]["reason"]
        assert "memory.max of its control group" in told["driver"]["reason"]
        forwards(world)
        world.end_engine()

        world.driver = "xdp"
        wrong, remedy = world.refused()
        assert "Cannot allocate memory" in wrong
        assert "memory.max of its control group" in remedy
