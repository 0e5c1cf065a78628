"""How tests share the machine when several processes run them (`pytest -n 4`, what `make test` does).

A module's tests stay together in one process. Those of LONG come first, and one by one unless they share a fixture: at
the end of a run no process waits long for another. A test marked `alone` runs while no other test of the run does, and
after all others: it fills a table of the whole machine, or judges how much time something took.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

LONG = (
    "tests/bench/test_bench.py::test_every_row_can_be_measured[crowd]",
    "tests/bench/test_bench.py::test_every_row_can_be_measured[monitors]",
    "tests/broken/test_announcements.py",
    "tests/bgp",
    "tests/l3",
    "tests/dpdk",
    "tests/lab",
    "tests/broken",
    "tests/field",
    "tests/sight",
    "tests/torture",
    "tests/health",
    "tests/shell/test_live.py",
    "tests/shell/test_properties.py",
    "tests/test_readme.py::test_make_demo",
    "tests/test_wheel.py",
    "tests/server",
    "tests/dataplane",
    "tests/cluster",
    "tests/xdp",
    "tests/shell",
    "tests/bench",
    "tests/configuration/test_transfer.py",
    "tests/grammar/test_completion.py",
)
"""How the names of tests begin that take long, the longest first."""
FOLDER = "AVI_TEST_FOLDER"
"""The variable that tells the processes of one run where their locks are."""
GROUPS = "groups.json"
"""The file that says which tests stay together: groups by the names of tests."""
PROCESS = ".process"
"""Ends the name of a file that tells of a process that runs tests."""


def works(config: pytest.Config) -> bool:
    """Whether this is one of several processes that run tests (pytest-xdist's)."""
    return hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order tests, and write down which stay together; in one process the order is that of the files."""
    shared = folder()
    if not (shared and works(config)):
        return
    items.sort(key=lambda item: len(LONG) + 1 if _alone(item) else _rank(item.nodeid))
    groups = {item.nodeid: _group(item) for item in items}
    written = shared / f"{os.getpid()}.groups"
    written.write_text(json.dumps(groups))
    written.rename(shared / GROUPS)  # all processes write the same


def _group(item: pytest.Item) -> str:
    if _alone(item):
        return "alone"
    by_itself = _rank(item.nodeid) < len(LONG) and not _shares(item)
    return item.nodeid if by_itself else item.nodeid.partition("::")[0]


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # has no types
    """Hands out groups in their order, to whatever process has next to nothing left."""

    @cached_property
    def _groups(self) -> dict[str, str]:
        shared = folder()
        assert shared is not None
        found: dict[str, str] = json.loads((shared / GROUPS).read_text())
        return found

    def _split_scope(self, nodeid: str) -> str:
        return self._groups[nodeid]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduler:
    """The scheduler of every run in several processes. pytest-xdist's own reads groups from names that pytest 9.2 lets
    nobody change."""
    config.option.loadscopereorder = False
    return Scheduler(config, log)


def _rank(test: str) -> int:
    """The place of a test among the long ones; the number of those for all others."""
    return next((place for place, begin in enumerate(LONG) if test.startswith(begin)), len(LONG))


def _shares(item: pytest.Item) -> bool:
    """Whether what a test stands on is made once for its module."""
    made = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return any(one.scope == "module" for several in made.values() for one in several)


def _alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Import all tests, and with them what they test. What is there then stays: to look at it for garbage, now and
    after each test that makes many objects, would take a fourteenth of the tests' processor time."""
    shared = folder()
    if not (shared and works(session.config)):
        return (yield)
    gc.disable()
    try:
        with compiled(shared):
            return (yield)
    finally:
        gc.enable()
        gc.freeze()


@contextmanager
def compiled(folder: Path) -> Iterator[None]:
    """A process that imports everything, after another one has: Python keeps what it compiled of a module. Processes
    that compiled all modules side by side would need seven seconds more of a processor each."""
    with open(folder / "imported", "a") as imported:
        fcntl.flock(imported, fcntl.LOCK_EX)
        first = not os.fstat(imported.fileno()).st_size
        if not first:
            fcntl.flock(imported, fcntl.LOCK_UN)
        yield
        if first:
            imported.write(f"{os.getpid()}\n")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for one's turn. Comes before pytest-timeout's own wrapper: waiting does not count."""
    shared = folder()
    if not (shared and works(item.config)):
        return (yield)
    with turn(shared, _alone(item)):
        return (yield)


@contextmanager
def turn(folder: Path, alone: bool) -> Iterator[None]:
    """The machine, shared with other tests or had alone.

    Who comes passes a gate, and who wants to be alone keeps it shut while the others end: nobody overtakes.
    """
    with open(folder / "gate", "w") as gate, open(folder / "machine", "w") as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            # By word, not by closing: a process that the test left has the open file too.
            fcntl.flock(machine, fcntl.LOCK_UN)


def open_folder() -> Path:
    """Make what the processes of one run share: by the one that hands out the tests, before it starts the others."""
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="avi-tests-")
    return Path(os.environ[FOLDER])


def close_folder() -> None:
    """Take it away again, when the others have ended."""
    shutil.rmtree(os.environ.pop(FOLDER))


def folder() -> Path | None:
    """What the processes of one run share; None where one process runs all tests."""
    return Path(os.environ[FOLDER]) if FOLDER in os.environ else None


def enrol(pid: int) -> None:
    """A process of the run begins to run tests."""
    if shared := folder():
        (shared / f"{pid}{PROCESS}").touch()


def enrolled() -> list[int]:
    """Every process of the run that began to run tests."""
    shared = folder()
    return [int(path.stem) for path in shared.glob(f"*{PROCESS}")] if shared else []
