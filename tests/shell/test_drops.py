"""Drops by name: what engines tell of them, with what the manual says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avi_shell.views import drops
from avi_shell.views.gathering import Engines, Reports
from dataplane.daemon.drops import LastDrops, described
from dataplane.forwarding.capture import Captured
from dataplane.forwarding.decision import DROPPED, FORWARDED
from dataplane.forwarding.dropreasons import DROP_REASONS
from tests.packets.cases import frame, tcp
from tests.packets.world import ip

SERVICE = {"uuid": "vs-1", "vip": "192.0.2.1", "protocol": "tcp", "port": 80, "port_end": 80}


class Answering(Engines):
    """Two engines of which one drops, with its rates."""

    def __init__(self, dropped: dict[str, int], rates: dict[str, Any] | None, unsampled: str = "") -> None:
        self.directory, self.user, self._rates = Path("/state"), "", rates
        self._answer = {"name": "se-1", "dropped": dropped, "samples": [], "unsampled": unsampled}

    def answers(self, request: str, only: str = "", seconds: float = 0.0, **arguments: Any) -> Reports:
        dropped = self._answer["dropped"]
        services = [
            {**SERVICE, "dropped": dropped},
            {**SERVICE, "uuid": "vs-2", "port": 81, "port_end": 81, "dropped": {}},
        ]
        report = {"name": "se-1", "rates": self._rates, "dropped": dropped, "services": services}
        told = report if request == "status" else self._answer
        made = Reports([told])
        made.silent = {}
        return made


def test_each_reason_has_the_manuals_words() -> None:
    assert set(DROP_REASONS) <= drops.meanings().keys()
    told = drops.meanings()["looped"]
    assert told.advice == "a server without the VIP forwards it back: avi-server apply there"


def test_those_of_a_service_stand_with_their_rates_and_the_most_frequent_first() -> None:
    of_services = {f"192.0.2.1/tcp/{port}-{port}": {"dropped": {"no_server": port / 10}} for port in (80, 81)}
    rates = {"dropped": {"malformed": 9.0}, "services": of_services}
    parts, (told,) = drops.of_service(Answering({"no_server": 3, "too_big_l2": 7}, rates), {"uuid": "vs-1"})
    assert [(one["reason"], one["packets"], one["packets_per_second"]) for one in told["dropped"]] == [
        ("too_big_l2", 7, 0.0),
        ("no_server", 3, 8.0),  # not those of vs-2
    ]
    assert "no_server: the pool has no server that is up. What to do: see the pool's reason." in parts
    assert "show serviceengine se-1 drops" in str(parts[-1])


def test_what_is_not_known_is_said() -> None:
    parts, (told,) = drops.of_engine(Answering({"malformed": 1}, None, "a capture of web runs"), "se-1")
    assert told["dropped"][0]["packets_per_second"] is None
    assert "No frame was looked at: a capture of web runs." in parts
    assert drops.of_engine(Answering({}, None), "se-2")[0] == ["Service engine se-2 does not run."]
    assert "Nothing was dropped." in drops.of_engine(Answering({}, None), "se-1")[0]


@pytest.mark.parametrize("cut", [14, 30, 36, 60])
def test_a_frame_is_described_as_far_as_it_goes(cut: int) -> None:
    whole = frame(tcp())
    told = described(Captured(0, 3, whole[:cut], len(whole), DROPPED, "malformed"), {3: "eth0"})
    assert (told["interface"], told["size"], told["source"] is not None) == ("eth0", len(whole), cut >= 34)
    assert (told["source_port"] is not None, bool(told["flags"])) == (cut >= 38, cut >= 48)


def test_the_last_of_each_reason_is_kept_and_told_of_the_vips_asked_for() -> None:
    last, whole = LastDrops(), frame(tcp())
    last.note([Captured(n, 3, whole, 60 + n, DROPPED, "malformed") for n in range(3)])
    last.note([Captured(9, 3, whole, 99, FORWARDED), Captured(9, 3, whole, 70, DROPPED, "looped")])
    assert {one["reason"]: one["size"] for one in last.report({})} == {"looped": 70, "malformed": 62}
    assert last.report({}, frozenset({ip("192.0.2.99")})) == []
