"""The systemd unit of an engine, and what the engine tells systemd: ready, alive, reloading, stopping."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane import client, plan
from dataplane.__main__ import main
from dataplane.daemon import unit
from dataplane.drivers import selection
from dataplane.errors import EngineError
from dataplane.lab import topology
from dataplane.plan import sqlite
from dataplane.runtime.notify import Notifier
from tests.drivers import every_driver
from tests.lab import plans
from tests.netns import Namespace
from tests.polling import until

ODD = "/var/lib/a b%i$HOME'\""


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The unit that `avi-se install-unit` prints."""
    assert main(["install-unit", "--print", *words]) == 0
    return capsys.readouterr().out


def command(text: str) -> list[str]:
    """The words of ExecStart, as systemd reads them."""
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(line)]


@pytest.mark.parametrize(
    "words", [[], ["--scripts", "--interface", "eth0", "--interface", "eth1"], ["--state", ODD, "--driver", "pcap"]]
)
def test_systemd_finds_nothing_wrong_with_it(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = unit.install("se-1", printed(capsys, *words), tmp_path)
    verified = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_its_command_is_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--state", ODD, "--name", "se-7", "--interface", "eth0", "--driver", "xdp"]
    words += ["--store", "etcd://a:1/c", "--store-ca", "/ca", "--metrics", "127.0.0.1:9100"]
    assert command(printed(capsys, *words)) == [sys.executable, "-P", "-m", "dataplane", "run", *words]
    assert main(["install-unit", "--print", "--store", "http://a"]) == 2


def test_scripts_alone_need_rights_over_the_whole_system(capsys: pytest.CaptureFixture[str]) -> None:
    assert "SYS_ADMIN" not in printed(capsys)
    assert "CAP_PERFMON" in printed(capsys)
    for words in (["--scripts"], ["--on-event", "/usr/local/bin/notify"]):
        assert "CAP_SYS_ADMIN" in printed(capsys, *words)


def test_where_it_cannot_be_written_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot write .*missing/avi-se-se-1.service: No such file"):
        unit.install("se-1", "", tmp_path / "missing")


def test_without_systemd_nothing_is_told_and_a_watchdog_of_others_is_left_alone() -> None:
    environment = {"NOTIFY_SOCKET": "@avi-test-nobody", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1", "X": "y"}
    notifier = Notifier(environment)
    assert environment == {"X": "y"}, "what the engine starts is no service"
    assert notifier.alive_every is None
    notifier.ready("nobody listens")
    assert Notifier({"WATCHDOG_USEC": "1000000"}).alive_every is None
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000"}).alive_every == 0.5


class Systemd:
    """The end of a notify socket: what was told so far, a message an entry."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        self._told: list[str] = []

    def close(self) -> None:
        self._socket.close()

    def told(self) -> list[str]:
        while True:
            try:
                self._told.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self._told

    def kinds(self) -> list[str]:
        """What was told, but for signs of life: an engine that ends still gives some."""
        return [message.partition("=")[0] for message in self.told() if not message.startswith("WATCHDOG")]

    def heard(self, begin: str, times: int = 1) -> bool:
        return sum(message.startswith(begin) for message in self.told()) >= times


@contextmanager
def service(tmp_path: Path, text: str) -> Iterator[tuple[Systemd, subprocess.Popen[str]]]:
    """An engine in a namespace, started by a unit: with its command and its capabilities alone."""
    (bounding,) = re.findall(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)
    plus = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in bounding.split())
    bound = ["setpriv", "--inh-caps=-all", f"--bounding-set=-all,{plus}"]
    there = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    environment = ["env", *(f"{name}={value}" for name, value in there.items())]
    with closing(Systemd(tmp_path / "notify")) as systemd, Namespace() as space:
        space.sh(
            "ip link add eth0 type veth peer name peer0; ip addr add 10.10.10.2/24 dev eth0\n"
            "ip link set eth0 up; ip link set peer0 up"
        )
        space.run(lambda: selection.prepare_peer("auto", "peer0"))
        with space.program(*environment, *bound, *command(text)) as process:
            yield systemd, process


def ended(process: subprocess.Popen[str]) -> str:
    return f"{process.poll()}: {process.stderr.read() if process.poll() is not None and process.stderr else ''}"


@pytest.mark.root
@every_driver
def test_systemd_hears_when_it_is_ready_alive_reloading_and_stopping(
    driver: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    whole = plans.service(topology.load(topology.find("l2_dsr")))
    with closing(sqlite3.connect(state / "config.db")) as store, store:
        store.executescript(sqlite.SCHEMA)
        sqlite.write(store, 1, [whole], plan.Common())
    words = ["--state", str(state), "--driver", driver, "--interface", "eth0"]
    with service(tmp_path, printed(capsys, *words)) as (systemd, process):
        until(lambda: systemd.heard("READY=1") or process.poll() is not None, lambda: ended(process))
        assert client.engines(state) == ["se-1"], ended(process)
        until(lambda: systemd.heard("WATCHDOG=1", 5), lambda: ended(process))
        # What was not written as commits are is seen when all is read again.
        with closing(sqlite3.connect(state / "config.db")) as store, store:
            store.execute("DELETE FROM plan WHERE key = ?", (whole.key,))
            sqlite.write(store, 1, [replace(whole, port=81, port_end=81)], None)
        process.send_signal(signal.SIGUSR1)
        until(lambda: systemd.heard("READY=1", 2), lambda: ended(process))
        assert systemd.kinds() == ["READY", "RELOADING", "READY"]
        assert [each["port"] for each in client.status(state)[0]["services"]] == [81]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert systemd.kinds() == ["READY", "RELOADING", "READY", "STOPPING"]
        assert os.listdir(state / "run") == []
