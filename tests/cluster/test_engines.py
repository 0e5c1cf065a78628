"""Engines of a host that shares its configuration."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration import shared
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.record import Author
from avi_shell.configuration.shared import SharedConfiguration
from dataplane import client
from dataplane.__main__ import main
from dataplane.cluster import address as addresses
from tests.configuration.conftest import Site
from tests.polling import until

from .hosts import dump
from .members import Members

pytestmark = pytest.mark.root


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    with Members(tmp_path / "etcd") as found:
        found.namespace.sh(
            "ip link add eth0 type veth peer name peer0; ip addr add 10.0.0.1/24 dev eth0\n"
            "ip link set eth0 up; ip link set peer0 up"
        )
        yield found


def engine(there: Members, state: Path, *words: str) -> AbstractContextManager[subprocess.Popen[str]]:
    argv = (sys.executable, "-m", "dataplane", "run", "--state", str(state), "--interface", "eth0", "--driver", "pcap")
    return there.namespace.program(*argv, *words)


def vips(state: Path) -> list[str]:
    return [service["vip"] for status in client.status(state) for service in status["services"]]


def events(state: Path) -> str:
    return "\n".join(event["text"] for status in client.status(state) for event in status["events"])


def test_an_engine_follows_what_other_hosts_commit_and_starts_without_etcd(members: Members, tmp_path: Path) -> None:
    state, other, address = tmp_path / "state", tmp_path / "other", members.address("engines")

    def commit(name: str, vip: str) -> None:
        def inside() -> None:
            configuration = SharedConfiguration.join(other, address)
            Site(configuration).dsr(name, vip)
            configuration.close()

        members.run(inside)

    def followers() -> list[Any]:
        argv = ["pgrep", "-f", f"avi_shell follow.*--state {state}( |$)"]
        return subprocess.run(argv, stdout=subprocess.PIPE, text=True).stdout.split()

    with engine(members, state, "--store", address.url) as process:
        until(lambda: client.engines(state) == ["se-1"], process.poll)
        until(lambda: "etcd holds no configuration of cluster engines" in events(state))
        members.run(lambda: shared.seed(other, address, None, Author()))
        commit("vs1", "10.0.0.100")
        until(lambda: vips(state) == ["10.0.0.100"], lambda: events(state))
        until(lambda: dump(state) == dump(other))
        assert addresses.remembered(state) == address
        process.kill()
    until(lambda: not followers())
    members.kill(0)
    with engine(members, state) as process:
        until(lambda: client.engines(state) == ["se-1"], process.poll)
        assert vips(state) == ["10.0.0.100"]
        until(lambda: "not followed: etcd does not answer: 127.0.0.1:2379: Connection refused" in events(state))
        members.start(0)
        assert members.run(lambda: members.client(20.0).get("/avi/engines/snapshot"))
        commit("vs2", "10.0.0.101")
        until(lambda: vips(state) == ["10.0.0.100", "10.0.0.101"], lambda: events(state))
        process.terminate()
        assert process.wait(60) == 0
    assert not followers()
    assert list((state / "run").iterdir()) == []


def test_what_a_host_did_that_died_is_undone_by_an_engine_of_another(members: Members, tmp_path: Path) -> None:
    state, other, address = tmp_path / "state", tmp_path / "other", members.address("engines")

    def commit() -> None:
        shared.seed(other, address, None, Author())
        with closing(SharedConfiguration.join(other, address)) as configuration:
            configuration.save("pool", {"name": "kept"}, "admin")
            configuration.save("pool", {"name": "tried"}, "admin", Author(confirm=1.0))

    members.run(commit)
    with engine(members, state, "--store", address.url) as process:
        until(lambda: client.engines(state) == ["se-1"], process.poll)
        until(lambda: "Commit 3 was not confirmed: it is undone by commit 4" in events(state), lambda: events(state))
    assert [row[5] for row in dump(state)["object"] if row[2] == "pool"] == ["kept"]


def test_a_store_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "--state", str(tmp_path), "--store", "etcd://h"]) == 2
    assert "argument --store: 'etcd://h': expected etcd://" in capsys.readouterr().err


def test_an_engine_of_one_host_starts_no_follower(members: Members, tmp_path: Path) -> None:
    Configuration.open(tmp_path).close()
    with engine(members, tmp_path) as process:
        until(lambda: client.engines(tmp_path) == ["se-1"], process.poll)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        assert not children
