"""`avi-se run` as a process: what it leaves in its state directory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataplane import client
from tests.broken.world import until
from tests.netns import Namespace

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


@contextmanager
def engine(there: Namespace, state: Path) -> Iterator[subprocess.Popen[str]]:
    """`avi-se run` on the pcap driver."""
    argv = [sys.executable, "-m", "dataplane", "run", "--state", str(state), "--driver", "pcap"]
    with subprocess.Popen(
        ["nsenter", f"--net={there.path}", *argv], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=15)


def test_a_stopped_engine_leaves_neither_its_socket_nor_its_process_number(tmp_path: Path) -> None:
    with segment() as there:
        with engine(there, tmp_path) as process:
            until(lambda: client.engines(tmp_path) == ["se-1"], process.poll)
            number = (tmp_path / "run" / "se-1.pid").read_text()
            assert number == f"{process.pid}\n"
            with engine(there, tmp_path) as second:
                assert second.wait(15) == 1
                assert second.stderr is not None
                assert f"service engine se-1 runs already, as process {process.pid}\n" in second.stderr.read()
            assert client.engines(tmp_path) == ["se-1"]
        assert process.returncode == 0
        assert list((tmp_path / "run").iterdir()) == []
