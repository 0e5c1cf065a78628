"""`avi-se run` as a process: what it leaves in its state directory."""

from __future__ import annotations

import platform
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane import client, plan
from dataplane.lab import topology
from dataplane.network import namespace
from dataplane.plan import sqlite
from tests.lab import plans
from tests.netns import Namespace
from tests.packets.cases import arp_request
from tests.polling import until

pytestmark = pytest.mark.root


@contextmanager
def segment() -> Iterator[Namespace]:
    """A namespace with one interface that an engine can serve."""
    with Namespace() as there:
        there.sh(
            "ip link add eth0 type veth peer name peer0; ip addr add 10.0.0.1/24 dev eth0\n"
            "ip link set eth0 up; ip link set peer0 up"
        )
        yield there


def engine(there: Namespace, state: Path, *program: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """`avi-se run` on the pcap driver. program: a module with its words to run in its place."""
    words = program or ("dataplane",)
    return there.program(sys.executable, "-m", *words, "run", "--state", str(state), "--driver", "pcap")


@pytest.mark.parametrize(("interface", "what"), [("lo", "the loopback interface"), ("tun0", "no Ethernet interface")])
def test_an_interface_without_neighbours_is_refused(interface: str, what: str, tmp_path: Path) -> None:
    with segment() as there:
        there.sh(
            "ip link set lo up; ip tuntap add tun0 mode tun; ip addr add 10.5.0.1/24 dev tun0; ip link set tun0 up"
        )
        words = [sys.executable, "-m", "dataplane", "run", "--state", str(tmp_path / "state"), "--driver", "pcap"]
        with there.program(*words, "--interface", interface) as process:
            assert process.wait(60) == 1
            assert process.stderr is not None
            said = process.stderr.read()
    why = f"interface {interface} cannot be served: it is {what}, and has no neighbours with MAC addresses"
    assert why in said
    assert "try: --interface with one of eth0, peer0" in said


def test_a_stopped_engine_leaves_neither_its_socket_nor_its_process_number(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with segment() as there:
        with engine(there, state) as process:
            until(lambda: client.engines(state) == ["se-1"], process.poll)
            assert (state.stat().st_mode & 0o777, (state / "run").stat().st_mode & 0o777) == (0o700, 0o700)
            number = (state / "run" / "se-1.pid").read_text()
            assert number.splitlines() == [str(process.pid), f"{namespace.boot()} {platform.node()}"]
            with engine(there, state) as second:
                assert second.wait(60) == 1
                assert second.stderr is not None
                assert f"service engine se-1 runs already, as process {process.pid}\n" in second.stderr.read()
            assert client.engines(state) == ["se-1"]
            (state / "run" / "se-1.pid").unlink()  # as if the state directory was made anew meanwhile
            with engine(there, state) as third:
                assert third.wait(60) == 1
                assert third.stderr is not None
                assert f"error: process {process.pid} is the pcap driver of se-1-" in third.stderr.read()
            assert client.engines(state) == ["se-1"]
        assert process.returncode == 0
        assert list((state / "run").iterdir()) == []


def test_engines_of_two_hosts_share_no_state_directory(tmp_path: Path) -> None:
    """The other host is this kernel with another boot's number: a mount namespace shows the engine a file of ours."""
    (tmp_path / "boot").write_text("11111111-2222-3333-4444-555555555555\n")
    elsewhere = f"mount --bind {tmp_path}/boot /proc/sys/kernel/random/boot_id; exec {sys.executable} -m dataplane "
    state = tmp_path / "state"
    with segment() as there, engine(there, state) as process:
        until(lambda: client.engines(state) == ["se-1"], process.poll)
        words = f"{elsewhere} run --state {state} --name se-2 --driver pcap"
        with there.program("unshare", "--mount", "sh", "-c", words) as second:
            assert second.wait(60) == 1
            assert second.stderr is not None
            told = second.stderr.read()
        where = f"on another host: {platform.node()}, process {process.pid}"
        assert f"error: service engine se-1 runs on this state directory {where}\n" in told
        assert "--store etcd://" in told
        process.kill()
        process.wait()
        assert (state / "run" / "se-1.pid").exists()
        with there.program("unshare", "--mount", "sh", "-c", words) as third:
            until(lambda: client.engines(state) == ["se-2"], third.poll)


def test_a_damaged_row_of_the_plan_is_named_and_the_others_are_forwarded(tmp_path: Path) -> None:
    whole = plans.service(topology.load(topology.find("l2_dsr")))
    other = replace(whole, port=81, port_end=81)
    with closing(sqlite3.connect(tmp_path / "config.db")) as store, store:
        store.executescript(sqlite.SCHEMA)
        sqlite.write(store, 1, [whole, other], plan.Common())
        store.execute("UPDATE plan SET document = substr(document, 1, 100) WHERE key = ?", (other.key,))
    with segment() as there, engine(there, tmp_path) as process:
        until(lambda: client.engines(tmp_path) == ["se-1"], process.poll)
        (status,) = client.status(tmp_path)
        assert [(service["vip"], service["port"]) for service in status["services"]] == [(whole.vip, whole.port)]
        ((key, reason),) = [(row["key"], row["reason"]) for row in status["damaged"]]
        assert key == other.key
        assert "not JSON" in reason
        damaged = [event["text"] for event in status["events"] if event["kind"] == "configuration_damaged"]
        assert any(f"the plan of {key} cannot be read" in text for text in damaged)
        with closing(sqlite3.connect(tmp_path / "config.db")) as store, store:
            sqlite.write(store, 2, [other], None)
        until(lambda: not client.status(tmp_path)[0]["damaged"], process.poll)


def test_an_engine_that_cannot_know_its_group_refuses_to_start(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "config.db")) as store, store:
        store.executescript(sqlite.SCHEMA)
        store.execute("INSERT INTO plan VALUES ('', 1, '[]')")
    with segment() as there, engine(there, tmp_path) as process:
        assert process.wait(60) == 1
        assert process.stderr is not None
        told = process.stderr.read()
    assert "avi-se: error: what the engines share cannot be read" in told
    assert "Traceback" not in told


VIP = "10.10.10.100"


def ask() -> None:
    """Send a frame that an engine has to look at."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("peer0", 0))
        wire.send(arp_request(VIP))


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (
            "dataplane.drivers.pcap.nativemover NativeMover run",
            "the pcap driver has ended: ZeroDivisionError: division by zero",
        ),
        (
            "dataplane.engine.housekeeping Housekeeping _unresolved",
            "unexpected error: Housekeeping.resolve ended: ZeroDivisionError",
        ),
        ("dataplane.network.state Network _take_event", "unexpected error: Network._listen ended: ZeroDivisionError"),
    ],
)
def test_an_engine_that_cannot_go_on_ends_with_an_error(mistake: str, told: str, tmp_path: Path) -> None:
    """What a mistake of ours ends is no silent half of an engine: whoever watches the process can start another."""
    arm = tmp_path / "armed"
    with closing(sqlite3.connect(tmp_path / "config.db")) as store, store:
        store.executescript(sqlite.SCHEMA)
        sqlite.write(store, 1, [plans.service(topology.load(topology.find("l2_dsr")))], plan.Common())
    faulty = ("tests.dataplane.faultyengine", *mistake.split(), str(arm))
    with segment() as there, engine(there, tmp_path, *faulty) as process:
        until(lambda: client.engines(tmp_path) == ["se-1"], process.poll)
        arm.touch()
        # frames for the one, a change of the network for the other
        deadline = time.monotonic() + 45
        while process.poll() is None:
            assert time.monotonic() < deadline
            there.sh("ip neigh replace 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0; ip neigh del 10.0.0.9 dev eth0")
            there.run(ask)
            time.sleep(0.02)
        assert process.returncode == 1
        assert process.stderr is not None
        assert f"avi-se: error: {told}" in process.stderr.read()
        assert "avi_" not in there.sh("nft list tables")


def test_an_engine_that_may_not_or_has_no_place_says_so_in_words(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()
    may_not = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    for around, state, told in (
        (
            may_not,
            tmp_path,
            "a service engine may not run here: Operation not permitted\navi-se: try: run it as root",
        ),
        ([], taken, f"{taken} is no state directory: it is no directory\navi-se: try: --state names one"),
    ):
        argv = [*around, sys.executable, "-m", "dataplane", "run", "--state", str(state), "--driver", "pcap"]
        with segment() as there:
            done = subprocess.run(["nsenter", f"--net={there.path}", *argv], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert f"avi-se: error: {told}" in done.stderr
        assert "Traceback" not in done.stderr
