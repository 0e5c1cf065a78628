"""Engines of several hosts that share a store know each other."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane import client
from dataplane.daemon import statustext
from dataplane.lab.namespaces import Namespace
from tests import forked
from tests.polling import until

from .segment import Host, Segment, segment

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Segment]:
    with segment(tmp_path_factory.mktemp("segment"), ["a", "b"]) as made:
        made.start()
        yield made


def test_engines_tell_what_they_know_of_each_other(there: Segment) -> None:
    a, b = there.hosts.values()
    told = {one["name"]: one for one in a.status()["membership"]["engines"]}
    until(lambda: "10.0.0.2" in str(a.status()["membership"]["engines"]))
    told = {one["name"]: one for one in a.status()["membership"]["engines"]}
    assert told["b"]["addresses"] == ["10.0.0.2"]
    assert told["b"]["macs"] == [b.status()["interfaces"][0]["mac"]]
    assert told["b"]["group"] == "Default-Group"
    until(lambda: a.status()["following"] == {"store": there.etcd.address("fleet").url, "fault": ""})
    shown = "\n".join(statustext.render(client.status(a.state), 160))
    assert f"member of {there.etcd.address('fleet').url}" in shown
    assert f"{there.etcd.address('fleet').url} is followed" in shown
    argv = [sys.executable, "-m", "avi_shell", "--state", str(a.state), "-c"]
    listed = there.etcd.run(lambda: forked.run([*argv, "show serviceengine"], capture_output=True, text=True)).stdout
    assert "| b    | Default-Group | 10.0.0.2 | Default-Cloud | OPER_UP    |" in listed
    assert (
        "| b              |"
        in there.etcd.run(lambda: forked.run([*argv, "show serviceengine a"], capture_output=True, text=True)).stdout
    )


def test_an_engine_that_ends_is_known_to_be_gone_at_once(there: Segment) -> None:
    a, b = there.hosts.values()
    assert b.end() == 0
    until(lambda: a.members() == {"a"}, a.log)
    until(lambda: a.tells("service engine b of host", "member_left"))
    assert not a.tells("service engine a of host"), "of itself it tells nothing"
    there.start("b")


def test_an_engine_takes_over_what_its_former_run_said(there: Segment) -> None:
    b = there.hosts["b"]

    def created() -> int:
        (key,) = there.etcd.run(lambda: there.etcd.client().get("/avi/fleet/engine/b"))
        return key.created

    def again() -> bool:
        """On a busy machine a start takes longer than the lease lives: then it is tried once more."""
        before = created()
        b.end(signal.SIGKILL)
        there.start("b")
        until(lambda: b.status()["membership"]["state"] == "member", b.log)
        return created() == before

    assert any(again() for _ in range(4))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_that_an_engine_started_outlives_it(signum: int, there: Segment) -> None:
    b = there.hosts["b"]
    until(lambda: len(Namespace(b.there.name).processes()) > 1, b.log)  # the program that follows the store
    b.end(signum)
    until(lambda: not Namespace(b.there.name).processes(), lambda: Namespace(b.there.name).processes())
    there.start("b")


def test_a_second_engine_of_a_name_is_refused(there: Segment, tmp_path: Path) -> None:
    a, b = there.hosts.values()
    other = Host("a", b.there, tmp_path / "other", there.etcd.address("fleet").url)
    other.state.mkdir(mode=0o700)
    (other.state / "cluster.json").write_bytes((a.state / "cluster.json").read_bytes())
    other.start()
    assert other.process is not None
    assert other.process.wait(60) == 1
    assert "avi-se: error: an engine a runs already, on host " in other.log()
    assert "--name gives another one a name" in other.log()
    assert a.members() == {"a", "b"}


def test_a_second_engine_of_a_name_is_refused_in_a_container_with_the_same_path(there: Segment, tmp_path: Path) -> None:
    """Each has a file system of its own, and the boot of the host that they have in common."""
    a, b = there.hosts.values()
    (tmp_path / "cluster.json").write_bytes((a.state / "cluster.json").read_bytes())
    tmp_path.chmod(0o700)
    run = [sys.executable, "-m", "dataplane", "run", "--state", str(a.state), "--name", "a", "--interface", "eth0"]
    mounted = ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh"]
    entered = ["nsenter", f"--net={b.there.path}", *mounted, str(tmp_path), str(a.state)]
    done = forked.run([*entered, *run, "--driver", "pcap"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "avi-se: error: an engine a runs already, on host " in done.stderr) == (1, True)
    assert a.members() == {"a", "b"}


def test_an_engine_that_etcd_does_not_answer_says_so_and_forwards_on(there: Segment) -> None:
    a, b = there.hosts.values()
    a.link("store", "down")
    until(lambda: a.status()["membership"]["state"] == "cut off", a.log)
    until(
        lambda: a.tells(
            "the engines of other hosts do not hear of this one, and it not of them: etcd does not answer",
            "cluster_lost",
        )
    )
    until(lambda: b.members() == {"b"}, b.log)
    a.link("store", "up")
    until(lambda: a.status()["membership"]["state"] == "member", a.log)
    until(lambda: b.members() == {"a", "b"}, b.log)
