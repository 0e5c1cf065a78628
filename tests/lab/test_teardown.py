"""A laboratory leaves nothing, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dataplane.bpf.bpffs import BPFFS
from dataplane.errors import LabError
from dataplane.lab import inventory, namespaces
from dataplane.lab.laboratory import Lab
from dataplane.server.record import FOLDER
from tests.drivers import REFERENCE
from tests.lab import plans

AVI_LAB = [sys.executable, "-m", "dataplane.lab"]
PINS = BPFFS / "avi-se"
LONG = ("--requests", "40000")
"""A run that does not end before something is done to it."""


def left(name: str) -> list[str]:
    """What there is of a laboratory: namespaces, files, pins."""
    spaces = [space.name for space in namespaces.existing(f"{inventory.PREFIX}{name}-")]
    pins = [path.name for path in PINS.glob(f"*{name}*")]
    return [*spaces, *(str(path) for path in inventory.FOLDER.glob(name)), *pins]


def started(words: list[str], until: str) -> subprocess.Popen[str]:
    """A run of avi-lab that has said something."""
    process = subprocess.Popen([*AVI_LAB, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = ""
    while until not in said:
        line = process.stdout.readline()
        assert line, f"it ended, having said {said}"
        said += line
    return process


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["starting the service engine", "preparing"])
def test_a_signal_takes_it_down(signum: signal.Signals, moment: str) -> None:
    name = plans.lab_name()
    process = started(["run", "l2_dsr", "--name", name, *LONG], until=moment)
    assert left(name)
    process.send_signal(signum)
    process.send_signal(signum)  # an impatient operator's second one does not stop the first one's work
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, left(name)) == (130, []), output


def test_down_removes_what_a_killed_run_left() -> None:
    name = plans.lab_name()
    process = started(["run", "l2_dsr", "--name", name, *LONG], until="preparing")
    held = subprocess.run([*AVI_LAB, "down", name], capture_output=True, text=True)
    assert (held.returncode, f"held by process {process.pid}" in held.stderr) == (1, True)
    process.kill()
    process.communicate()
    assert left(name)
    down = subprocess.run([*AVI_LAB, "down", name], capture_output=True, text=True)
    assert (down.returncode, left(name)) == (0, []), down.stderr


def test_down_removes_the_pins_of_a_killed_engine() -> None:
    """The engine of a killed laboratory was killed too: nobody else would take its pins away."""
    lab = plans.new_lab("l2_dsr", "xdp")
    lab.open()
    try:
        plans.start(lab)
        lab.stop_engine(signal.SIGKILL)
        assert [path.name for path in PINS.glob(f"*{lab.name}*")]
    finally:
        lab.close()
    assert left(lab.name) == []


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    lab = plans.new_lab("l2_dsr", REFERENCE)
    refused = tmp_path / "refused.avi"
    refused.write_text("no such command\n")
    with pytest.raises(LabError, match="avi-shell"), lab:
        lab.configure(refused)
    assert left(lab.name) == []


def test_nothing_stays_of_avi_server_s_records(lab: Lab) -> None:
    inodes = [lab.hosts[node.name].path.stat().st_ino for node in lab.topology.servers]
    records = [FOLDER / f"{inode}.json" for inode in inodes]
    assert all(record.exists() for record in records)
    lab.close()
    assert not any(record.exists() for record in records)


def test_a_name_is_used_once() -> None:
    with plans.new_lab("l2_dsr", REFERENCE) as lab:
        again = Lab(lab.topology, name=lab.name)
        with pytest.raises(LabError, match="is there already"):
            again.open()
        assert lab.hosts["client"].call("true") == ""


def test_down_names_the_laboratories_there_are() -> None:
    unknown = subprocess.run([*AVI_LAB, "down", f"none{os.getpid()}"], capture_output=True, text=True)
    assert unknown.returncode == 1
    assert f"no laboratory 'none{os.getpid()}'" in unknown.stderr


def test_a_process_is_known_by_its_number_and_its_start() -> None:
    ticks = namespaces.started(os.getpid())
    assert inventory.Record("x", (os.getpid(), ticks or 0), ()).held
    assert not inventory.Record("x", (os.getpid(), 1), ()).held
    assert not inventory.Record("x", (0, 0), ()).held


def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "PATIENCE", 0.2)
    with subprocess.Popen([sys.executable, "-m", "tests.lab.deaf"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        begun = time.monotonic()
        namespaces.end([process.pid])
        assert time.monotonic() - begun >= 0.2
        assert process.wait() == -signal.SIGKILL
