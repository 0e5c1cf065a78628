"""Nothing of a run stays: checked at the end of each process that runs tests, and once more when all have ended.

Whatever a test makes outside its own process bears the number of the process that runs the tests, and every process
that it starts inherits a mark: so that runs side by side on one machine tell their own things from the others'.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import forked, scheduling
from tests.examples import USUAL, WANTED
from tests.scheduling import (
    pytest_collection,
    pytest_collection_modifyitems,
    pytest_runtest_protocol,
    pytest_xdist_make_scheduler,
)

__all__ = [
    "pytest_collection",
    "pytest_collection_modifyitems",
    "pytest_runtest_protocol",
    "pytest_xdist_make_scheduler",
]

MARK = "AVI_TEST_RUN"
# Tests start hundreds of programs of ours. Where the environment forbids Python to keep what it compiled, each of them
# would compile its modules again: a quarter of the processor time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
hypothesis.settings.register_profile(
    "suite",
    max_examples=WANTED,
    deadline=None,
    derandomize=WANTED == USUAL,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
# How fast the machine is, with other tests beside them, is not what properties are about. The suite tries the same
# inputs each time, so that a change passes or fails by what it is; `make properties` draws others each time.
hypothesis.settings.load_profile("suite")
SHARED = pytest.StashKey[Path]()
"""What the processes of a run share, known to the one that made it; a test may start pytest itself."""
PATIENCE = 45.0
"""Seconds that the kernel has to finish taking things down."""


@pytest.fixture(scope="session", autouse=True)
def nothing_stays() -> Iterator[None]:
    run = uuid.uuid4().hex
    os.environ[MARK] = run
    # A run in the background of a script is started with SIGINT ignored, one under nohup with SIGHUP, and hands that on
    # to what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    scheduling.enrol(os.getpid())
    forked.enable()
    yield
    forked.close()
    del os.environ[MARK]
    left = lasting([os.getpid()], f"{MARK}={run}")
    assert not left, f"left behind: {left}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> Generator[None, object, object]:
    """Of the process that hands out tests: before it starts the others."""
    if session.config.getoption("numprocesses", None) and not scheduling.works(session.config):
        session.config.stash[SHARED] = scheduling.open_folder()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Of the process that handed out tests: the others have ended, of which one may have been killed."""
    result = yield
    if folder := session.config.stash.get(SHARED, None):
        if left := lasting(scheduling.enrolled(), f"{scheduling.FOLDER}={folder}"):
            print(f"\nleft behind: {left}")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        scheduling.close_folder()
    return result


def lasting(pids: Collection[int], mark: str) -> dict[str, list[str]]:
    """What there still is of a test run when the kernel has had its time."""
    deadline = time.monotonic() + PATIENCE
    while (left := leftovers(pids, mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def leftovers(pids: Collection[int], mark: str) -> dict[str, list[str]]:
    """What there is of a test run, by kind; empty when all of it is gone.

    pids: the processes that run its tests. mark: the line of environment that what they start inherits.
    """
    looks: dict[str, Callable[[], list[str]]] = {
        "namespaces": lambda: _names(Path("/run/netns")),
        "interfaces": lambda: _names(Path("/sys/class/net")),
        "laboratories": lambda: _names(Path("/run/avi-lab")),
        "BPF pins": lambda: _names(Path("/sys/fs/bpf/avi-se")),
        "shared maps": lambda: [*_names(Path("/run/avi-se")), *_names(Path("/dev/shm/avi-se"))],
        "nftables tables": lambda: _output("nft", "list", "tables"),
    }
    found = {kind: [name for name in look() if bears(pids, name)] for kind, look in looks.items()}
    found["processes"] = _processes(mark)
    return {kind: names for kind, names in found.items() if names}


def bears(pids: Collection[int], name: str) -> bool:
    """Whether a name bears the number of one of these processes. Some digits of a longer number, or of the random
    hexadecimal ones that names end with, are none."""
    numbers = "|".join(map(str, pids))
    return bool(pids and re.search(rf"(?<![0-9a-f])({numbers})(?![0-9a-f])", name))


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.glob("*"))


def _output(*words: str) -> list[str]:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def _processes(mark: str) -> list[str]:
    """Processes that inherited the mark, zombies of this one left out (they have no environment any more)."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        if int(path.name) == os.getpid():
            continue
        try:
            if mark.encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append(f"{path.name}: {(path / 'cmdline').read_text().replace(chr(0), ' ')}")
        except OSError:  # it ended, or is not ours to look at
            continue
    return found
