"""Locks of a process that was killed while it started another one, which has them too until it is another program."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from dataplane.daemon import ownname
from dataplane.errors import EngineError
from dataplane.runtime import locks

NAME = f"avi-test/locks/{os.getpid()}"
LEAVES = f"""
import os, socket, time
held = socket.socket(socket.AF_UNIX)
held.bind("\\0{NAME}")
held.listen()
if not os.fork():
    time.sleep(0.3)
    os._exit(0)
"""
"""A program that takes a name and ends; what it forked has the name a little longer."""


def ended() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def locked(path: Path, process: int) -> int:
    """Lock an engine's file, in which it says that it is this process."""
    held = locks.hold(path, os.O_RDWR | os.O_CREAT)
    assert held is not None
    os.write(held, f"{process}\n".encode())
    return held


def test_the_name_of_a_killed_engine_is_had_as_soon_as_what_it_started_lets_go(tmp_path: Path) -> None:
    held = locked(tmp_path / "se-1.pid", ended())
    threading.Timer(0.2, os.close, (held,)).start()
    with ownname.held(tmp_path, "se-1"):
        assert (tmp_path / "se-1.pid").read_text().startswith(f"{os.getpid()}\n")


def test_a_machine_that_stands_still_leaves_a_former_holder_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, looks, sleep = locked(tmp_path / "se-1.pid", ended()), count(1), time.sleep

    def pause(seconds: float) -> None:
        number = next(looks)
        sleep(3 * seconds if number == 1 else 0.0)  # the machine stands still, until the time is over
        if number == 2:
            os.close(held)  # who has it goes on when the machine does

    monkeypatch.setattr(locks, "LEAVING", 0.04)
    monkeypatch.setattr(time, "sleep", pause)
    with ownname.held(tmp_path, "se-1"):
        assert next(looks) == 3


def test_the_name_of_an_engine_that_runs_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LEAVING", 1e6)
    held = locked(tmp_path / "se-1.pid", os.getpid())
    with pytest.raises(EngineError, match=f"runs already, as process {os.getpid()}"), ownname.held(tmp_path, "se-1"):
        pass
    os.close(held)


def test_a_former_holder_has_not_for_ever_to_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LEAVING", 0.1)
    held = locked(tmp_path / "se-1.pid", gone := ended())
    with pytest.raises(EngineError, match=f"runs already, as process {gone}"), ownname.held(tmp_path, "se-1"):
        pass
    os.close(held)


def test_a_claimed_name_of_a_killed_process_is_had_as_soon_as_what_it_started_lets_go() -> None:
    subprocess.run([sys.executable, "-c", LEAVES], check=True)
    held = locks.claim(NAME)
    assert not isinstance(held, int)
    with closing(held):
        assert locks.claim(NAME) == os.getpid(), "at once"
