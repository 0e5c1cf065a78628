"""The shell beside a real service engine, in a network namespace of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.output.result import Result, Table
from avi_shell.session.session import Session
from avi_shell.views import diagnose, live
from dataplane import client
from dataplane.__main__ import main
from tests import forked

from .conftest import ROOT, VIRTUAL_SERVICE

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="root: network namespaces"),
]


class Place:
    """A namespace with one interface, `avi0` at 10.1.1.1/24, and a state directory."""

    def __init__(self, state: Path) -> None:
        self.name = f"avi-shell-{os.getpid()}"
        self.state = state

    def up(self) -> None:
        for command in (
            f"ip netns add {self.name}",
            f"ip -n {self.name} link set lo up",
            f"ip -n {self.name} link add avi0 type veth peer name avi1",
            f"ip -n {self.name} addr add 10.1.1.1/24 dev avi0",
            f"ip -n {self.name} link set avi0 up",
            f"ip -n {self.name} link set avi1 up",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)

    def shell(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "avi_shell", "--state", str(self.state), *arguments]
        return forked.run(
            ["nsenter", f"--net=/run/netns/{self.name}", *program],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def engines(self) -> list[int]:
        """The processes that run an engine on this state directory. A program that an engine starts looks like a second
        engine until it is another program: children do not count."""
        found: dict[int, int] = {}
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().split(b"\0")
                parent = int((entry.parent / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if b"dataplane" in words and str(self.state).encode() in words:
                found[int(entry.parent.name)] = parent
        return [pid for pid, parent in found.items() if parent not in found]

    def down(self) -> None:
        for pid in self.engines():
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 45
        while self.engines() and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in self.engines():
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "state")
    try:
        made.up()
        yield made
    finally:
        made.down()


def test_an_engine_started_beside_the_shell_applies_and_tells(place: Place) -> None:
    done = place.shell("--engine", "avi0", "--wait", "30", stdin=VIRTUAL_SERVICE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "No service engine runs" not in done.stdout
    (engine,) = place.engines()

    listed = place.shell("-c", "show virtualservice", "-c", "show serviceengine").stdout
    assert "| vs1  | 10.1.1.100 | -           | 80       | Default-Cloud | OPER_UP " in listed
    assert "10.1.1.1 | Default-Cloud | OPER_UP" in listed
    assert "driver" in listed

    # On a terminal of 80 columns every table is a line a row, and both programs use the same words.
    names = ("virtualservice vs1 detail", "pool p1 algo", "pool p1 server", "pool p1 detail", "serviceengine se-1")
    told = {view: place.shell("-c", "terminal width 80", "-c", f"show {view}").stdout for view in names}
    status = subprocess.run(
        [sys.executable, "-m", "dataplane", "status", "--state", str(place.state)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    tables = [line for text in (*told.values(), status) for line in text.splitlines() if line[:1] in ("|", "+")]
    assert max(map(len, tables)) <= 80
    row = re.compile(r"^\| 10\.1\.1\.10 \| 80 +\| (OPER_)?\w+ +\| \w* +\| \d+\.\d % +\| 0 +\| 0 +\|$", re.MULTILINE)
    assert all(row.search(text) for text in (told["pool p1 server"], told["pool p1 detail"], status))
    assert "| 10.1.1.10 | 1     | 100.0 ###### | 100.0 ###### | -         | -       |" in told["pool p1 algo"]
    event = re.compile(
        r"^[\d-]{10} [\d:]{8}[+-]\d\d:\d\d VIP 10\.1\.1\.100 is up(, announced)?( \(commit \d+\))?$", re.MULTILINE
    )
    engine_told = told["serviceengine se-1"]
    assert event.search(engine_told)
    assert event.search(status)
    for words in ("version applied", "chosen because", "answered (ARP,"):  # cells may be folded
        assert words in engine_told
        assert words in status

    views = ("-c", "show pool p1 server", "-c", "show virtualservice vs1 detail")
    pool, service = (json.loads(line)["data"][0] for line in place.shell("--json", *views).stdout.splitlines())
    assert pool["servers"][0]["address"] == "10.1.1.10"
    assert service["vip"] == "10.1.1.100"

    lines = ("-c", "show pool p1 server diagnose", "-c", "show pool p1 server diagnose 10.1.1.10 | json")
    table, document = place.shell(*lines).stdout.split("\n[", 1)
    assert "| 10.1.1.10 | 10.1.1.100 |" in table
    assert "10.1.1.10: server does not answer: no reply to ARP for 10.1.1.10 on avi0" in table
    (diagnosed,) = json.loads("[" + document)[0]["servers"]
    assert diagnosed["probes"]["ARP"] == "silent"
    assert diagnosed["findings"][0]["host"] == "server"
    assert "avi-server check" not in table, "its way back is not what is wrong"
    refused = place.shell("-c", "show pool p1 server diagnose 10.1.1.77")
    assert (refused.returncode, "the pool has no server 10.1.1.77; it has 10.1.1.10" in refused.stderr) == (1, True)

    with closing(Configuration.open(place.state)) as configuration:
        session = Session(configuration, place.state)
        session.run("show virtualservice vs1 live")
        looked = session.again("show virtualservice vs1 live")
        archived = session.run(f"show tech-support {place.state}/support.tar.gz")
    assert looked.data[0]["services"][0]["packets_per_second"] == 0.0
    assert [line.name for line in looked.sight.servers] == ["10.1.1.10:80"]
    assert archived.data["could_not_be_made"] == {}
    with tarfile.open(place.state / "support.tar.gz") as archive:
        files = {one.name.partition("/")[2]: one for one in archive.getmembers()}
        held = archive.extractfile(files["network/se-1/addresses.txt"])  # the engine's network is not the shell's
        assert held is not None
        assert "inet 10.1.1.1/24 scope global avi0" in held.read().decode()
    assert {"engines/se-1/status.json", "engines/se-1/kernel.json", "engines/se-1/events.jsonl"} <= set(files)

    # a commit that plans nothing new is applied at once; a second --engine starts nothing
    again = place.shell("--engine", "avi0", "--wait", "30", "-c", "configure tenant t1", "-c", "save")
    assert (again.returncode, again.stderr) == (0, "")
    assert place.engines() == [engine]

    os.kill(engine, signal.SIGTERM)
    deadline = time.monotonic() + 45
    while client.engines(place.state) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "No service engine runs" in place.shell("-c", "show virtualservice").stdout


def test_an_engine_that_cannot_start_is_told(place: Place) -> None:
    done = place.shell("--engine", "nosuch0", "-c", "version")
    assert done.returncode == 1
    assert "the service engine did not start" in done.stderr
    assert "nosuch0" in done.stderr
    may_not = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    argv = [
        *may_not,
        sys.executable,
        "-m",
        "avi_shell",
        "--state",
        str(place.state),
        "--engine",
        "avi0",
        "-c",
        "version",
    ]
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{place.name}", *argv], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert (
        "did not start: a service engine may not run here: Operation not permitted; try: run it as root" in done.stderr
    )


def test_an_engine_whose_forwarding_goes_on_without_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "KEPT", (tmp_path / "bpf", tmp_path / "run"))
    (tmp_path / "bpf" / client.instance(tmp_path / "other", "se-1")).mkdir(parents=True)
    assert live.no_engine(tmp_path).startswith("No service engine runs. Start one: avi-se run")
    (tmp_path / "bpf" / client.instance(tmp_path, "se-1")).mkdir()
    assert live.no_engine(tmp_path).startswith("No service engine runs, but what se-1 left forwards on")
    assert live.no_engine(tmp_path).endswith(f"take it away: avi-se clean --state {tmp_path} --name se-1")


def test_who_commits_or_asks_for_status_hears_of_forwarding_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client, "KEPT", (tmp_path / "bpf",))
    session = Session(Configuration.open(tmp_path / "state"), tmp_path / "state")
    lone = Result("save", 0, data={"name": "v1"})
    session.tell_engines(True, lone)
    assert str(lone.parts[0]).startswith("No service engine runs, so 'v1' is not forwarded yet. Start one: avi-se run")
    (tmp_path / "bpf" / client.instance(tmp_path / "state", "se-1")).mkdir(parents=True)
    left = Result("save", 0, data={"name": "v1"})
    session.tell_engines(True, left)
    assert str(left.parts[0]).startswith(
        "No service engine runs, but what se-1 left forwards on, as before this commit."
    )
    assert main(["status", "--state", str(tmp_path / "state")]) == 1
    told = capsys.readouterr().err
    assert told.startswith("No service engine runs, but what se-1 left forwards on, without monitors.")
    assert f"take it away: avi-se clean --state {tmp_path / 'state'} --name se-1" in told
    session.configuration.close()


def test_what_is_known_of_the_way_back_to_clients_is_shown() -> None:
    entry = {"address": "10.0.0.11", "vip": "10.0.0.100", "state": "up", "verdict": "", "way_back": "", "findings": []}
    small = {**entry, "findings": [{"host": "engine", "what": "packets of full size do not arrive", "grave": False}]}
    far = {**entry, "findings": [{"host": "server", "what": "it may not answer far clients?", "grave": False}]}
    seen = {**entry, "way_back": "39 of 40 TCP connections looked at were answered"}
    shown = diagnose._verdicts([{"service_engine": "se-1", "servers": [entry, seen, small, far]}])
    assert [row[-1] for row in shown.rows] == [
        f"the path to it has no fault; {diagnose.UNSEEN}",
        "the path to it has no fault; of its way back to clients: 39 of 40 TCP connections looked at were answered",
        f"the path to it works, with what the note says; {diagnose.UNSEEN}",
        f"the path to it has no fault; {diagnose.UNSEEN}",
    ]
    assert "avi-server check --client" in diagnose.UNSEEN
    configuration = Configuration.in_memory()
    told = [{"servers": [entry, seen]}], [{"servers": [seen, {**entry, "verdict": "it is dead"}]}]
    assert [list(diagnose._unseen(configuration, {"uuid": "pool-1"}, found)) for found in told] == [
        [
            "On a server, with a client's address, this looks at the way back: "
            "avi-server check --vip 10.0.0.100 --mode l2 --client CLIENT"
        ],
        [],
    ]
    assert (entry["check"], "check" in seen) == ("avi-server check --vip 10.0.0.100 --mode l2 --client CLIENT", False)
    server = {"address": "10.0.0.11", "weight": 1, "mac": None, "interface": None}
    many, few = {"answered": 39, "unanswered": 1, "share": 0.025}, {"answered": 0, "unanswered": 1, "share": 1.0}
    none = {"answered": 40, "unanswered": 0, "share": None}
    reported = [server, *({**server, "handshakes": handshakes} for handshakes in (many, few, none))]
    (table,) = live._next_hops({"servers": reported})
    assert isinstance(table, Table)
    assert [row[-1] for row in table.rows] == ["", "2.5 %", "", ""]
