"""Captures that begin and end under traffic lose no frame."""

import pytest

from dataplane.plan import L2

from . import capturing, rates


@pytest.mark.root
def test_no_frame_is_lost_while_captures_begin_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturing, "LASTS", 0.005)
    monkeypatch.setattr(capturing, "PIECE", 20_000)
    with rates.balanced() as there:
        there.put(rates.pool(L2, there.wire.second.index), rates.service(0))
        there.send()
        lost, counted = capturing._at_half_the_rate(there, 200_000)
    assert lost == 0
    assert counted["frames"] == 200_000
    assert isinstance(counted["captures"], int)
    assert counted["captures"] >= 2
