"""`avi-shell --store`, `avi-shell cluster` and `avi-shell follow`, over a real member of etcd."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avi_shell.__main__ import main
from avi_shell.configuration import shared
from avi_shell.configuration.configuration import Configuration
from avi_shell.fronts import cluster
from dataplane import client

from .hosts import dump
from .members import Members, until

pytestmark = pytest.mark.root

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(member: Members, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs `avi-shell`, in the members' namespace. Returns status, output, errors."""

    def run(*words: object) -> tuple[int, str, str]:
        status = member.run(lambda: main([str(word) for word in words]))
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def url(member: Members, tmp_path: Path) -> str:
    return member.address(f"c{tmp_path.name}"[:40]).url


def test_two_shells_of_two_hosts(shell: Shell, url: str, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    status, _, told = shell("--state", one, "--store", url, "-c", "show pool")
    assert status == 4
    assert told.startswith("avi-shell: error: etcd holds no configuration of cluster ctest_two")
    assert "avi-shell cluster seed" in told
    assert not one.exists()
    status, told, _ = shell("cluster", "seed", "--state", one, "--store", url)
    assert (status, told.split(";")[1]) == (0, " it begins with commit 1.\n")
    assert shell("--state", one, "-c", "configure pool p1", "-c", "save")[0] == 0
    status, told, _ = shell(
        "--state",
        other,
        "--store",
        url,
        "-c",
        "configure pool p1 enabled false",
        "-c",
        "save",
        "-c",
        "show pool p1",
    )
    assert status == 0
    assert "Updating an existing object" in told
    assert shell("--state", one, "-c", "configure pool p2", "-c", "save")[0] == 0
    assert json.loads(shell("--state", other, "--json", "-c", "show pool p2")[1])["data"]["name"] == "p2"
    assert dump(one) == dump(other)
    lines = [json.loads(line) for line in (one / "audit.jsonl").read_text().splitlines()]
    assert [line["committed"] for line in lines if line["committed"]] == [1, 2, 3, 4]
    assert [line["command"] for line in lines if not line["committed"]] == ["configure pool p1", "configure pool p2"]
    status, told, _ = shell("cluster", "status", "--state", one)
    assert status == 0
    assert "127.0.0.1:2379 | leads | 3.4" in told
    assert "is at commit 4, this host at 4.\nThe last snapshot is of commit 1;" in told
    told = json.loads(shell("cluster", "status", "--json", "--state", one)[1])
    assert {name: told[name] for name in ("commit", "here", "snapshot")} == {"commit": 4, "here": 4, "snapshot": 1}
    assert [(row["member"], row["state"], row["alarms"]) for row in told["members"]] == [
        ("127.0.0.1:2379", "leads", "none")
    ]


def test_what_is_refused_names_what_helps(shell: Shell, url: str, tmp_path: Path) -> None:
    one = tmp_path / "one"
    assert shell("--state", one, "--store", "http://h/c", "-c", "show pool")[::2] == (
        2,
        "avi-shell: error: argument --store: 'http://h/c': expected etcd://[USER@]HOST[:PORT],HOST[:PORT],…/CLUSTER\n",
    )
    assert shell("cluster", "seed", "--state", one, "--store", "etcd://h")[0] == 2
    assert "belongs to no cluster" in shell("cluster", "status", "--state", one)[2]
    assert "belongs to no cluster" in shell("follow", "--state", one)[2]
    assert "belongs to no cluster" in shell("cluster", "leave", "--state", one)[2]
    assert shell("cluster", "seed", "--state", one, "--store", url)[0] == 0
    assert shell("--state", one, "-c", "configure pool p1", "-c", "save")[0] == 0
    backup = tmp_path / "backup"
    assert shell("backup", backup, "--state", one)[0] == 0
    status, _, told = shell("restore", backup, "--state", one)
    assert status == 1
    assert told.endswith(f"which would not have what is restored; avi-shell cluster seed {backup} --replace\n")
    status, _, told = shell("cluster", "seed", backup, "--state", one)
    assert status == 1
    assert "has a configuration already" in told
    assert shell("--state", one, "-c", "configure pool p2", "-c", "save")[0] == 0
    status, told, _ = shell("cluster", "seed", backup, "--replace", "--state", one)
    assert (status, "it begins with commit 3" in told) == (0, True)
    assert "p2" not in shell("--state", one, "-c", "show pool")[1]
    assert shell("cluster", "reload", "--state", one)[1].endswith("it is at commit 3.\n")
    assert shell("cluster", "leave", "--state", one)[0] == 0
    assert shell("--state", one, "-c", "configure pool own", "-c", "save")[0] == 0
    assert "commit 4 of" in shell("--state", one, "--store", url, "-c", "show pool")[2]


def test_an_etcd_that_is_not_there(shell: Shell, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tmp_path / "one"
    assert shell("cluster", "seed", "--state", one, "--store", url)[0] == 0
    monkeypatch.setattr(shared, "_OPENING", 0.3)
    monkeypatch.setattr(cluster, "_PATIENCE", 0.3)
    elsewhere = url.replace("127.0.0.1", "127.0.0.9")
    status, _, told = shell("--state", one, "--store", elsewhere, "-c", "show pool")
    assert (status, told) == (
        4,
        "avi-shell: error: etcd does not answer: 127.0.0.9:2379: Connection refused\n",
    )
    status, told, errors = shell("cluster", "status", "--state", one, "--store", elsewhere)
    assert status == 4
    assert "127.0.0.9:2379 | Connection refused" in told
    assert shell("--state", one, "-c", "show pool")[0] == 0, "it remembers the members that answered"


def test_a_member_that_is_mistyped_and_an_engine_that_is_left_alone_are_told(
    shell: Shell, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", 0.3)
    status, told, warned = shell("cluster", "seed", "--state", tmp_path, "--store", url.replace("/c", ",127.0.0.9/c"))
    assert (status, told.startswith("Successfully seeded")) == (0, True)
    assert warned == (
        "avi-shell: warning: member 127.0.0.9:2379 of etcd: Connection refused; where its address is wrong, "
        "--store names the right ones\n"
    )
    monkeypatch.setattr(client, "engines", lambda state: ["se1"])
    monkeypatch.setattr(client, "notify", lambda state: None)
    status, _, warned = shell("cluster", "leave", "--state", tmp_path)
    assert (status, warned) == (
        0,
        "avi-shell: warning: service engine se1 runs here: it knows those of other hosts no more, and answers ARP for "
        "all VIPs beside them; end it, or join the cluster again\n",
    )


def test_a_host_without_a_shell_follows(member: Members, shell: Shell, url: str, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    argv = [sys.executable, "-m", "avi_shell", "follow", "--while-input", "--state"]
    where = ["nsenter", f"--net={member.namespace.path}"]
    with subprocess.Popen(
        [*where, *argv, other, "--store", url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdin is not None
        assert "etcd holds no configuration" in process.stderr.readline()
        assert shell("cluster", "seed", "--state", one, "--store", url)[0] == 0
        assert shell("--state", one, "-c", "configure pool p1", "-c", "save")[0] == 0
        until(lambda: (other / "config.db").exists() and (other / "cluster.json").exists() and dump(one) == dump(other))
        assert shell("--state", one, "-c", "configure pool p2", "-c", "save")[0] == 0
        until(lambda: dump(one) == dump(other))
        until(lambda: '"committed": 3' in (other / "audit.jsonl").read_text())
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_host_alone_loads_nothing_of_it(tmp_path: Path) -> None:
    program = (
        "import sys; from avi_shell.__main__ import main; "
        f"main(['--state', {str(tmp_path / 'one')!r}, '-c', 'configure pool p1', '-c', 'save', '-c', 'show pool']); "
        "print([name for name in sys.modules if 'cluster' in name or 'shared' in name or name == 'http.client'])"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "p1" in done.stdout


def test_the_plan_of_an_older_release_is_made_anew_when_all_have_this_one(
    member: Members, shell: Shell, url: str, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    folder = f"/avi/{url.rpartition('/')[2]}/"

    def put(key: str, value: bytes) -> None:
        member.run(lambda: member.client().put(folder + key, value))

    assert shell("cluster", "seed", "--state", one, "--store", url)[0] == 0
    assert shell("--state", other, "--store", url, "-c", "show version")[0] == 0
    assert "An older release" not in shell("cluster", "status", "--state", one)[1]
    put("format", b"1")  # as of a cluster that an older release began
    assert "An older release made the plan." in shell("cluster", "status", "--state", one)[1]
    assert "An older release made the plan." in shell("--state", other, "-c", "show cluster")[1]
    put("engine/old", b'{"format": 1}')
    status, _, told = shell("cluster", "upgrade", "--state", one)
    assert (status, "service engines that read no plan of format 2 are there: old" in told) == (1, True)
    put("engine/old", b'{"format": 2}')
    assert shell("cluster", "upgrade", "--state", one)[:2] == (
        0,
        f"Successfully upgraded the plan of cluster {url.rpartition('/')[2]} by commit 2.\n",
    )
    assert json.loads(shell("cluster", "status", "--json", "--state", other)[1])["format"] == 2
    assert shell("--state", other, "-c", "show version")[0] == 0
    assert dump(one) == dump(other)
    assert [commit.action for commit in Configuration.open(one).history()] == ["seed", "upgrade"]
    put("format", b"3")
    status, _, told = shell("--state", other, "-c", "show version")
    assert (status, "has plans of format 3, this release reads 2; upgrade this host" in told) == (4, True)
