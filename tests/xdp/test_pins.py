"""Whose pins are whose, while their engines come and go; in an ordinary folder."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from dataplane.bpf import bpffs
from dataplane.drivers.xdp import pins
from dataplane.errors import DriverError
from dataplane.runtime import locks


@pytest.fixture(autouse=True)
def file_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(bpffs, "file_system", lambda: tmp_path)
    return tmp_path


def test_an_engine_starts_though_another_one_just_looks_whether_it_runs() -> None:
    folder = pins.root("one")
    folder.mkdir(parents=True)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    assert locks.take(held)
    looked = threading.Timer(0.05, os.close, (held,))
    looked.start()
    held_pins = pins.Pins("one")
    looked.join()
    with pytest.raises(DriverError, match=f"process {os.getpid()} runs on .*: two engines cannot share it"):
        pins.Pins("one")
    held_pins.close()


def test_an_engine_that_ends_while_another_one_looks_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pins.root("one")
    folder.mkdir(parents=True)

    def programs(there: Path) -> set[int]:
        there.rmdir()
        return {7}

    monkeypatch.setattr(pins, "_programs", programs)
    assert pins.holder(7) is None
