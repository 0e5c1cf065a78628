"""The native decision: the library is what its source gives; its maps as their writers need them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.drivers import pcap
from dataplane.drivers.maps.layout import NAMES
from dataplane.errors import DriverError
from dataplane.native.decision.library import FOLDER, MAX_WORKERS
from dataplane.native.decision.maps import SharedMap, SharedMaps, SharedSlabs
from dataplane.native.decision.worker import Worker


@pytest.mark.parametrize(
    "built", [FOLDER / "decision", Path(pcap.__path__[0]) / "packetloop"], ids=lambda path: path.name
)
def test_rebuilding_gives_the_shipped_library(built: Path, tmp_path: Path) -> None:
    subprocess.run(["make", "-s", "-C", built.parent, f"OUT={tmp_path}"], check=True)
    name = f"{built.name}.x86_64.so"
    assert (tmp_path / name).read_bytes() == (built.parent / name).read_bytes(), "run `make xdp`"


@pytest.fixture
def maps() -> Iterator[SharedMaps]:
    made = SharedMaps(flows=1 << 10, workers=2)
    yield made
    made.close()


def test_there_is_a_map_for_each_of_the_programs(maps: SharedMaps) -> None:
    assert set(NAMES) < set(maps)


def test_a_hash_that_is_full_says_so_and_has_room_again(maps: SharedMaps) -> None:
    addresses = maps["addresses"]
    keys = [n.to_bytes(4, "big") for n in range(addresses.max_entries)]
    for key in keys:
        addresses.update(key, key[::-1])
    with pytest.raises(DriverError, match="the map addresses is full: it holds 16384 entries"):
        addresses.update(b"\xff\xff\xff\xff", bytes(4))
    assert dict(addresses.items()) == {key: key[::-1] for key in keys}
    for key in keys[::2]:
        addresses.delete(key)
    for key in keys[::2]:
        assert addresses.lookup(key) is None
        addresses.update(key, key)
    assert dict(addresses.items(64)) == {key: key if n % 2 == 0 else key[::-1] for n, key in enumerate(keys)}


def test_a_value_that_changes_again_and_again_needs_no_room(maps: SharedMaps) -> None:
    addresses = maps["addresses"]
    for n in range(3 * addresses.max_entries):
        addresses.update(b"key!", n.to_bytes(4, "little"))
    assert list(addresses.items()) == [(b"key!", n.to_bytes(4, "little"))]


def test_what_is_in_a_folder_is_adopted(tmp_path: Path) -> None:
    first = SharedMaps(tmp_path, flows=1 << 10, workers=3)
    first["addresses"].update(b"aaaa", b"1111")
    first["counters"].update(bytes(4), bytes(range(48)))
    first["elder"].update(b"f" * 16, b"e" * 24)
    first.close()
    second = SharedMaps(tmp_path, flows=1 << 10)
    assert second.workers == 3
    assert second["addresses"].lookup(b"aaaa") == b"1111"
    assert second["counters"].lookup(bytes(4)) == bytes(range(48))
    assert dict(second["elder"].items()) == {b"f" * 16: b"e" * 24}
    second.close()


def test_what_is_of_another_layout_is_refused(tmp_path: Path) -> None:
    SharedMaps(tmp_path, flows=1 << 10).close()
    with pytest.raises(DriverError, match="elder is of another layout"):
        SharedMaps(tmp_path, flows=1 << 11)
    with (tmp_path / "workers").open("r+b") as file:
        file.write(b"another!")
    with pytest.raises(DriverError, match="the maps cannot be opened"):
        SharedMaps(tmp_path, flows=1 << 10)


def test_what_is_taken_away_is_used_again_when_each_burst_is_over(maps: SharedMaps) -> None:
    addresses, first, second = maps["addresses"], Worker(maps, 0), Worker(maps, 1)
    first.online(1)
    addresses.update(b"key!", b"old.")
    addresses.update(b"key!", b"new.")
    assert places(addresses) == 2
    addresses.update(b"else", b"....")
    assert places(addresses) == 3, "the first one's place rests while a worker may look at it"
    second.online(1)
    first.online(2)  # its next burst
    addresses.update(b"more", b"....")
    assert places(addresses) == 3
    for worker in (first, second):
        worker.end()


def test_the_engine_waits_for_bursts_and_not_for_ever(maps: SharedMaps) -> None:
    slabs, worker = maps["slabs"], Worker(maps)
    assert isinstance(slabs, SharedSlabs)
    assert all_passed(slabs, 0), "nobody is online"
    worker.online(1)
    begun = time.monotonic()
    ending = threading.Timer(0.2, worker.offline)
    ending.start()
    assert all_passed(slabs, 20_000)
    assert time.monotonic() - begun >= 0.2
    worker.online(1)
    assert not all_passed(slabs, 100)
    begun = time.monotonic()
    slabs.settle()
    assert time.monotonic() - begun >= 1
    worker.end()


def all_passed(slabs: SharedSlabs, patience: int) -> bool:
    """Whether every worker began another burst within so many milliseconds."""
    return bool(slabs._library.maps_settle(slabs._maps.attached, patience))


def places(held: SharedMap) -> int:
    """How many places of a hash were ever in use."""
    return int.from_bytes(os.pread(held._file, 4, 0), "little")


def test_looking_through_a_table_takes_no_memory_for_what_is_empty() -> None:
    maps = SharedMaps(workers=MAX_WORKERS)
    for name in ("elder", "service_drops"):
        assert list(maps[name].items()) == []
        assert os.fstat(maps[name]._file).st_blocks * 512 < 1 << 16
    maps.close()


TABLE_OF_ONE_SET = 8
"""Flows."""


def test_a_lock_that_a_killed_process_held_costs_its_set_alone_and_is_let_go_by_the_next(tmp_path: Path) -> None:
    maps = SharedMaps(tmp_path, flows=TABLE_OF_ONE_SET)
    maps["elder"].update(b"f" * 16, b"e" * 24)
    held, first = maps["elder"]._file, (MAX_WORKERS * 64) + 128  # the engine's member in `workers`
    engine = (MAX_WORKERS + 1).to_bytes(4, "little")
    os.pwrite(held, engine, 4096)  # behind the bits of the sets
    assert maps["elder"].lookup(b"f" * 16) is None
    with pytest.raises(DriverError, match="elder"):
        maps["elder"].update(b"g" * 16, b"e" * 24)
    number = list(maps).index("elder")
    os.pwrite(maps["workers"]._file, ((number << 32) + 1).to_bytes(8, "little"), first + 8)
    maps.close()
    maps = SharedMaps(tmp_path, flows=TABLE_OF_ONE_SET)
    assert maps["elder"].lookup(b"f" * 16) == b"e" * 24
    maps.close()


def test_a_worker_without_counters_is_refused(maps: SharedMaps) -> None:
    Worker(maps, 1).end()
    with pytest.raises(DriverError, match="worker 2 cannot begin"):
        Worker(maps, 2)
    with pytest.raises(DriverError, match="there are counters for at most"):
        SharedMaps(workers=MAX_WORKERS + 1)
