"""The forwarder, built as `make dpdk` builds it."""

from __future__ import annotations

import fcntl
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from dataplane.client import instance
from dataplane.drivers.dpdk import program
from dataplane.lab.laboratory import Lab
from tests.lab.conftest import _forked as _forked

BACK = 1.5
"""Seconds after its death in which a forwarder is there again. A machine that is too busy for that shows it before, in
the same test: there it may take four times as long as the first forwarder's start, or half as long as the start of a
whole laboratory."""


@pytest.fixture(scope="session", autouse=True)
def forwarder() -> None:
    if subprocess.run(["pkg-config", "--exists", "libdpdk"], check=False).returncode:
        pytest.skip("DPDK is not installed: make dpdk")
    with (program.FOLDER / "Makefile").open() as alone:  # one of pytest's processes builds it
        fcntl.flock(alone, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", program.FOLDER], check=True)


def forwarders(lab: Lab) -> list[int]:
    """The processes that forward for a laboratory's engine."""
    instances = {instance(state, name) for name, state in lab.engine_states().items()}
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended since
            words = (path / "cmdline").read_text().split("\0")
            if words[0] == str(program.BINARY) and instances & set(words):
                found.append(int(path.name))
    return found
