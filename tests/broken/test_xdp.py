"""What keeps the XDP driver from an interface, for real: named, gone round by `auto`, mended as printed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from dataplane import client
from dataplane.bpf import links, programs
from dataplane.bpf.bpffs import BPFFS
from dataplane.bpf.links import XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE, Link
from tests.broken.world import World, built, end
from tests.polling import until

pytestmark = pytest.mark.root

SLOWER = "pcap forwards about 6 times fewer frames a second"
"""What is said where `auto` takes pcap."""
FLAGS = {"native": XDP_FLAGS_DRV_MODE, "generic": XDP_FLAGS_SKB_MODE}


@contextmanager
def foreign(world: World, mode: str, *, link: bool) -> Iterator[int]:
    """Somebody else's XDP program on the engine's interface. Yields its id."""
    index, _ = world.spaces["engine"].link("eth0")

    def attach() -> Link | None:
        if link:
            return Link.create(program, index, FLAGS[mode])
        links.attach(program, index, FLAGS[mode])
        return None

    with programs.pass_program() as program:
        held = world.spaces["engine"].run(attach)
        there = world.spaces["engine"].run(lambda: links.attached(index))
        assert there is not None
        assert there.mode == mode
        yield there.program
        if held is not None:
            held.close()


def driver(world: World) -> tuple[str, str]:
    """The engine's driver and why it is this one."""
    told = world.status()
    assert told is not None
    return told["driver"]["name"], told["driver"]["reason"]


def status(world: World) -> str:
    """What `avi-se status` prints."""
    argv = [sys.executable, "-m", "dataplane", "status", "--state", str(world.folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("link", [False, True], ids=["attached", "linked"])
@pytest.mark.parametrize("mode", list(FLAGS))
def test_a_foreign_program(mode: str, link: bool, tmp_path: Path) -> None:
    with built(tmp_path, "l2") as world:
        world.end_engine()
        with foreign(world, mode, link=link) as program:
            named = f"interface eth0 has an XDP program already ('avi_pass', id {program}, {mode}): it is left alone"
            world.driver = "xdp"
            wrong, remedy = world.refused()
            assert named in wrong

            world.driver = "auto"
            world.start_engine()
            world.is_well()
            assert driver(world) == ("pcap", f"XDP cannot be had: {named}; to have it: {remedy}; {SLOWER}")
            assert f"driver chosen because XDP cannot be had: {named}" in status(world)
            (fallback,) = [one for one in (world.status() or {})["events"] if one["kind"] == "driver_fallback"]
            assert (fallback["severity"], named in fallback["text"]) == ("warning", True)
            started = [one["text"] for one in (world.status() or {})["events"] if one["kind"] == "engine_started"]
            assert started[-1].endswith("driver pcap on eth0")
            world.end_engine()

            world.sh("engine", remedy)
            world.driver = "xdp"
            world.start_engine()
            world.is_well()
            assert driver(world) == ("xdp", "xdp is configured")


def beside(world: World, folder: Path, *words: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A second engine on the engine's host, of another state directory."""
    run = (sys.executable, "-m", "dataplane", "run", "--state", str(folder))
    return world.spaces["engine"].program(*run, *words)


def refused(world: World, folder: Path, *words: str) -> tuple[str, str]:
    """What such an engine says that does not start: what is wrong, and what is to be tried."""
    with beside(world, folder, *words) as process:
        assert process.wait(60) == 1
        assert process.stderr is not None
        wrong, _, remedy = process.stderr.read().partition("\navi-se: try: ")
        return wrong, remedy.strip()


def test_another_engine_of_ours_is_known_and_left_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    with built(first, "l2", driver="xdp") as world:
        told = world.status()
        assert told is not None
        whose = f"service engine {world.name} of {first}"
        held = f"interface eth0 is held by {whose}, process {told['pid']} (native XDP)"
        end_it = f"give this engine other interfaces, by --interface; or end that engine first: kill {told['pid']}"
        wrong, remedy = refused(world, second, "--interface", "eth0", "--driver", "xdp")
        assert wrong == f"avi-se: error: {held}"
        assert remedy == end_it
        wrong, remedy = refused(world, second)  # without --interface: all that are free
        assert wrong.endswith(f"error: no interface is free: eth0 is held by {whose}, process {told['pid']}")
        assert remedy == end_it

        world.spaces["engine"].sh(
            "ip link add free0 type veth peer name free1; ip addr add 192.0.2.1/24 dev free0\n"
            "ip link set free0 up; ip link set free1 up"
        )
        with beside(world, second) as process:
            until(lambda: bool(client.engines(second)), lambda: f"no second engine: {process.poll()}")
            assert [i["name"] for i in client.status(second)[0]["interfaces"]] == ["free0"]
        world.is_well()

        world.end_engine(signal.SIGHUP)
        wrong, remedy = refused(world, second, "--interface", "eth0", "--driver", "xdp")
        assert wrong == f"avi-se: error: interface eth0 is held by what {whose} left to the kernel (native XDP)"
        assert remedy == f"avi-se clean --state {first} --name {world.name}"
        world.sh("engine", remedy)
        with beside(world, second, "--interface", "eth0", "--driver", "xdp") as process:
            until(lambda: bool(client.engines(second)), lambda: f"no second engine: {process.poll()}")


def test_two_processes_never_publish_to_the_same_pins(tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver="xdp") as world:
        told = world.status()
        assert told is not None
        (tmp_path / "run" / f"{world.name}.pid").unlink()  # as if the state directory was made anew meanwhile
        for driver in ("xdp", "pcap"):
            words = ("--name", world.name, "--interface", "eth0", "--driver", driver)
            wrong, remedy = refused(world, tmp_path, *words)
            assert f"process {told['pid']} runs on {BPFFS}/avi-se/" in wrong
            assert remedy == f"kill {told['pid']}"
        world.is_well()


def test_the_pcap_driver_ends_what_the_xdp_driver_left_to_the_kernel(tmp_path: Path) -> None:
    with built(tmp_path, "l2", driver="xdp") as world:
        index, _ = world.spaces["engine"].link("eth0")
        world.end_engine(signal.SIGHUP)
        assert world.spaces["engine"].run(lambda: links.attached(index)) is not None
        world.driver = "pcap"
        world.start_engine()
        world.is_well()
        assert world.spaces["engine"].run(lambda: links.attached(index)) is None


def test_the_xdp_driver_ends_what_a_killed_pcap_driver_left_to_the_kernel(tmp_path: Path) -> None:
    """A packet filter: a VIP that is no longer of the plan would stay cut off from the host."""
    with built(tmp_path, "l2", driver="pcap") as world:
        world.end_engine(signal.SIGKILL)
        assert "avi_" in world.sh("engine", "nft list tables")
        world.driver = "xdp"
        world.start_engine()
        world.is_well()
        assert world.sh("engine", "nft list tables") == ""


@contextmanager
def unmounted() -> Iterator[list[str]]:
    """A mount namespace without BPF file system. Yields the command that runs another one there."""
    script = f"while umount {BPFFS} 2>&-; do :; done; echo ready; exec sleep 600"
    holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "ready\n"
        yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]
    finally:
        holder.stdout.close()
        end(holder, signal.SIGKILL)


def is_mounted(there: list[str]) -> bool:
    """Whether that namespace has a BPF file system."""
    told = subprocess.run([*there, "stat", "-f", "-c", "%T", str(BPFFS)], capture_output=True, text=True, check=True)
    return told.stdout.strip() == "bpf_fs"


def test_an_engine_mounts_the_bpf_file_system(tmp_path: Path) -> None:
    with built(tmp_path, "l2") as world, unmounted() as there:
        world.end_engine()
        assert not is_mounted(there)
        world.driver, world.around = "xdp", there
        world.start_engine()
        world.is_well()
        assert driver(world) == ("xdp", "xdp is configured")
        assert is_mounted(there)
        world.end_engine()


def test_an_engine_that_may_not_mount_the_bpf_file_system_says_how(tmp_path: Path) -> None:
    with built(tmp_path, "l2") as world, unmounted() as there:
        world.end_engine()
        world.around = [*there, "setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
        world.driver = "xdp"
        wrong, remedy = world.refused()
        missing = "/sys/fs/bpf has no BPF file system, and it cannot be mounted: Operation not permitted"
        assert missing in wrong
        assert not is_mounted(there)

        world.driver = "auto"
        world.start_engine()
        world.is_well()
        assert driver(world) == ("pcap", f"XDP cannot be had: {missing}; try: {remedy}; {SLOWER}")
        world.end_engine()

        subprocess.run([*there, "sh", "-ec", remedy], check=True)
        world.driver = "xdp"
        world.start_engine()
        world.is_well()
        assert driver(world) == ("xdp", "xdp is configured")
        world.end_engine()
