"""Maps of the native decision that outlive the process that wrote them: found again, also when it was killed at it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from dataplane.native.decision.worker import Worker
from tests.packets.cases import CASES, frame, tcp
from tests.packets.world import ETH0, WORLD

from .changer import FLOWS
from .decider import received_on
from .nativedecider import NativeDecider

OURS = received_on(WORLD, ETH0)
ROWS = [row for row in CASES if row.interface == ETH0 and not row.before]


def test_a_successor_finds_values_counters_and_flows(tmp_path: Path) -> None:
    first = NativeDecider(FLOWS, folder=tmp_path)
    OURS.put(first.tables)
    for row in ROWS:
        first.run(row.frame)
    counters, openings = first.tables.counters(), first.openings()
    first.close()
    second = NativeDecider(FLOWS, folder=tmp_path)
    try:
        assert second.tables.found.pools == {pool.uuid: pool for pool in OURS.pools}
        assert set(second.tables.found.services) == {service.key for service in OURS.services}
        assert (second.tables.counters(), second.openings()) == (counters, openings)
        OURS.put(second.tables)
        second.tables.prune()
        assert second.tables.counters() == counters
    finally:
        second.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_a_killed_process_left_is_adopted_and_decided_by(seed: int, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.xdp.changer", str(tmp_path), str(seed)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as changer:
        try:
            assert changer.stdout is not None
            assert changer.stdout.readline() == "ready\n"
            time.sleep(0.05 * seed)  # in the midst of whatever it does
        finally:
            changer.kill()
    fresh, decider = NativeDecider(FLOWS), NativeDecider(FLOWS, folder=tmp_path)
    try:
        decider.run(frame(tcp()))  # nobody has put anything anew
        for one in (fresh, decider):
            OURS.put(one.tables)
            one.tables.prune()
            one.forget()
        for row in ROWS:
            assert decider.run(row.frame) == fresh.run(row.frame), row.what
    finally:
        fresh.close()
        decider.close()


def test_a_worker_of_a_killed_process_is_succeeded_with_its_counters(tmp_path: Path) -> None:
    decider = NativeDecider(FLOWS, folder=tmp_path)
    try:
        OURS.put(decider.tables)
        decider._worker.end()  # and one begins with its number
        decider._worker = worker = Worker(decider._maps)
        decider.run(frame(tcp()))
        worker.online(1)  # it is killed in a burst
        decider._worker = Worker(decider._maps)
        decider.run(frame(tcp()))
        assert [tally.packets for tally in decider.tables.counters().services.values() if tally.packets] == [2]
        settles = decider._maps["slabs"]._library.maps_settle
        assert settles(decider._maps.attached, 0), "nobody waits for the one that was killed"
        worker.end()
    finally:
        decider.close()
