"""An engine whose BPF file system ends with it: it says so, and never that the kernel forwards on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.field.world import curl, field, forwards

pytestmark = pytest.mark.root

PRIVATE = "/sys/fs/bpf is of this mount namespace alone"


def test_pins_of_a_mount_namespace_of_its_own_are_told_to_end_with_the_engine(tmp_path: Path) -> None:
    with field(tmp_path, "xdp", napi=True, runs=False) as world:
        world.sh("client", "ethtool -K eth0 tx off")
        world.around = ["unshare", "--mount", "sh", "-ec", 'umount -l /sys/fs/bpf || :; exec "$@"', "sh"]
        world.start_engine()
        world.is_well()
        forwards(world)
        told = world.status()
        assert told is not None
        (note,) = told["driver"]["notes"]
        assert note.startswith(f"a crash or SIGHUP ends forwarding: {PRIVATE}")
        assert "nsenter --net=" in note
        assert note in [event["text"] for event in told["events"]]
        argv = [sys.executable, "-m", "dataplane", "status", "--state", str(world.folder)]
        printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        assert PRIVATE in " ".join(printed.split())

        world.end_engine(signal.SIGHUP)
        assert "the kernel forwards on" not in world.log()
        assert f"stopped; forwarding ended with it: {PRIVATE}" in world.log()
        assert curl(world, patience=1) == ""


def test_where_the_host_has_the_pins_the_kernel_forwards_on(tmp_path: Path) -> None:
    with field(tmp_path, "xdp", napi=True) as world:
        world.sh("client", "ethtool -K eth0 tx off")
        told = world.status()
        assert told is not None
        assert told["driver"]["notes"] == []
        world.end_engine(signal.SIGHUP)
        assert "stopped; the kernel forwards on" in world.log()
        forwards_on = curl(world)
        world.start_engine()
        assert forwards_on == "0"
