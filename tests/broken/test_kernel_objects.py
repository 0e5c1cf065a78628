"""All that an engine makes in the kernel stands in its registry, and nothing of it stays: neither at its end, nor after
a signal at any moment of its start, nor when `avi-se clean` followed a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dataplane import client, plan
from dataplane.bpf import links, programs
from dataplane.bpf.links import Link
from dataplane.kernel.objects import TRACE
from tests import forked, kernelstate
from tests.broken.world import MONITOR, World, built
from tests.drivers import every_driver
from tests.polling import until

pytestmark = pytest.mark.root

SCRIPT = plan.Monitor(
    "m2", plan.MONITOR_EXTERNAL, send_interval=1, receive_timeout=1, successful_checks=1, failed_checks=1,
    script="echo up",
)  # fmt: skip


def avi_se(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the operator on the engine's host."""
    where = ["nsenter", f"--net={world.spaces['engine'].path}", sys.executable, "-m", "dataplane"]
    return forked.run([*where, *words], capture_output=True, text=True, check=False)


def clean(world: World) -> subprocess.CompletedProcess[str]:
    return avi_se(world, "clean", "--state", str(world.folder), "--name", world.name)


def listed(world: World) -> list[tuple[str, str]]:
    """What the engine's registry lists."""
    return client.kernel_objects(world.folder, world.name)


def seen(world: World) -> dict[tuple[str, str], str]:
    return kernelstate.seen(world.spaces["engine"], world.name)


@every_driver
@pytest.mark.parametrize("mode", ["l2", "l3"])
def test_all_that_an_engine_makes_is_in_its_registry_and_goes(mode: str, driver: str, tmp_path: Path) -> None:
    monitors: dict[str, Any] = {"monitors": (MONITOR, SCRIPT)} if mode == "l2" else {}
    with built(tmp_path, mode, driver, **monitors) as world:
        world.end_engine()
        world.sh("engine", "sysctl -qw net.ipv4.conf.all.rp_filter=1")
        before = seen(world)
        for end in (signal.SIGTERM, signal.SIGKILL):
            world.start_engine()
            world.is_well()
            objects = listed(world)
            assert len(set(objects)) == len(objects)
            # A program that takes samples comes and goes meanwhile.
            until(lambda b=before: kernelstate.changed(b, seen(world)) == set(listed(world)))  # type: ignore[misc]
            assert any(kind == TRACE for kind, _ in objects) == (driver == "xdp")
            status = world.status()
            assert status is not None
            assert not [event for event in status["events"] if "put back" in event["text"]], "nobody else was here"
            refused = clean(world)
            assert refused.returncode == 1
            assert f"service engine {world.name} runs already, as process" in refused.stderr
            until(lambda b=before: kernelstate.changed(b, seen(world)) == set(listed(world)))  # type: ignore[misc]
            world.end_engine(end)
            if end == signal.SIGKILL:
                done = clean(world)
                assert (done.returncode, done.stderr) == (0, "")
                assert {line.split()[0] for line in done.stdout.splitlines()} == {"removed"}
                assert ("nftables table" in done.stdout, "XDP link" in done.stdout) == (
                    driver == "pcap",
                    driver in ("xdp", "dpdk"),
                )
                assert all(word in done.stdout for word in ("rule", "route", "accept_redirects=0"))
            assert kernelstate.changed(before, seen(world)) == set()
            assert list((tmp_path / "run").iterdir()) == []
        assert clean(world).stdout == f"nothing was left of service engine {world.name}\n"


def test_the_next_engine_puts_back_settings_of_one_that_was_killed(tmp_path: Path) -> None:
    with built(tmp_path, "l2") as world:
        world.end_engine()
        before = seen(world)
        for end in (signal.SIGKILL, signal.SIGTERM):
            world.start_engine()
            world.end_engine(end)
        assert kernelstate.changed(before, seen(world)) == set()


def told(world: World) -> list[dict[str, str]]:
    """What the engine says that it misses."""
    status = world.status()
    return list(status["kernel"]) if status else []


def test_what_cannot_be_put_back_stands_in_the_status_until_it_can(tmp_path: Path) -> None:
    """Somebody else's program takes the interface between two looks."""
    with built(tmp_path, "l2", "xdp") as world, programs.pass_program() as program:
        index, _ = world.spaces["engine"].link("eth0")

        def taken() -> Link | None:
            there = links.attached(index)
            if there is not None:
                subprocess.run(["bpftool", "link", "detach", "id", str(Link.of(there.program, index))], check=True)
            with suppress(OSError):
                return Link.create(program, index, links.XDP_FLAGS_DRV_MODE)
            return None

        link = None
        while link is None:
            link = world.spaces["engine"].run(taken)
        until(lambda: bool(told(world)), world.log)
        (missing,) = told(world)
        assert missing["object"] == "XDP link eth0"
        assert "interface eth0 has an XDP program already ('avi_pass'" in missing["reason"]
        status = world.status()
        assert status is not None
        assert "XDP link eth0 is missing" in status["services"][0]["reason"]
        assert sum("cannot be put back" in event["text"] for event in status["events"]) == 1
        link.close()
        until(lambda: not told(world), world.log)
        world.is_well()
