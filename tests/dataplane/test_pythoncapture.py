"""A capture of frames that are decided on in Python: the packet table, and what becomes of it when it ends."""

from __future__ import annotations

import pytest

from dataplane.drivers.pcap.flowcache import FlowCache
from dataplane.drivers.pcap.pythoncapture import PythonCapture
from dataplane.errors import DriverError
from dataplane.forwarding import capture, decision
from dataplane.forwarding.capture import MOST, Left, Wanted
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flows
from tests.packets.cases import CASES
from tests.packets.world import ETH0, WORLD


class Place:
    """A cache that another may stand for."""

    def __init__(self) -> None:
        values = LookupTables()
        WORLD.put(values)
        self.plain = self.cache = FlowCache(values, Flows())

    def swap(self, cache: FlowCache | None) -> None:
        self.cache = cache or self.plain


@pytest.mark.parametrize("drops", [False, True])
def test_every_case_becomes_what_it_was_and_is_told_of(drops: bool) -> None:
    wanted = Wanted(most=MOST, drops=drops)
    for row in CASES:
        place = Place()
        place.plain.values.answer_until(row.answers_until(1))
        running = PythonCapture(wanted, place.cache, place.swap)
        for earlier in row.before:
            place.cache.decide(earlier, row.interface, 1)
        running.take()
        verdict = place.cache.decide(row.frame, row.interface, 2)
        want = row.expected
        assert (verdict.action, verdict.reason, verdict.frames) == (want.action, want.reason, want.frames), row.what
        told = running.take()
        if not capture.is_wanted(row.frame, wanted) or (drops and want.action != decision.DROPPED):
            assert told == [], row.what
            continue
        (one,) = told
        assert one[1:] == (
            row.interface.index, row.frame[:MOST], len(row.frame), want.action, want.reason,
            tuple(Left(frame[:MOST], len(frame)) for frame in want.frames),
        )  # fmt: skip


def test_there_is_one_at_a_time_and_none_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "ROOM", 2)
    place, row = Place(), next(row for row in CASES if row.expected.action == decision.FORWARDED)
    running = PythonCapture(Wanted(), place.cache, place.swap)
    with pytest.raises(DriverError, match="another capture runs"):
        PythonCapture(Wanted(), place.cache, place.swap)
    for _ in range(5):
        place.cache.decide(row.frame, ETH0, 1)
    assert (len(running.take()), running.lost()) == (2, 3)
    running.close()
    assert place.cache is place.plain
    place.cache.decide(row.frame, ETH0, 1)
    assert running.take() == []
