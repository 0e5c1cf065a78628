"""`show pool NAME algo`: shares that engines report, beside those that ratios want."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avi_shell.output.result import Table
from avi_shell.views.evenness import algo
from avi_shell.views.gathering import Engines, Reports

POOL = {"name": "p1", "uuid": "pool-1", "lb_algorithm": "LB_ALGORITHM_CONSISTENT_HASH", "lb_algorithm_hash": "X"}


def server(number: int, share: float, packets: int, flows: int, weight: int = 1) -> dict[str, Any]:
    return {
        "address": f"10.0.0.{number}", "port": 80, "weight": weight, "in_table": share > 0, "share": share,
        "packets": packets, "handshakes": {"sampled": flows},
    }  # fmt: skip


class Reporting(Engines):
    """An engine whose report is known."""

    def __init__(self, *servers: dict[str, Any], pool: str = "pool-1") -> None:
        self.directory = Path("/state")
        pools = [{"uuid": pool, "slots": 65537, "servers": list(servers)}]
        self._reports = Reports([{"name": "se-1", "pools": pools}] if servers else [])
        self._reports.silent = {}

    def reports(self, about: str = "", only: str = "") -> Reports:
        assert about == "pool-1"
        return self._reports


def test_each_share_stands_beside_what_is_wanted() -> None:
    engines = Reporting(
        server(1, 0.50003, 100, 30, 2), server(2, 0.24999, 300, 20), server(3, 0.25, 0, 50), server(4, 0, 0, 0)
    )
    parts, (entry,) = algo(engines, POOL)
    table = next(part for part in parts if isinstance(part, Table))
    assert [list(row) for row in table.rows] == [
        ["10.0.0.1", "2", " 50.0 ####", " 50.0 ####", " 25.0 ##", " 30.0 ##"],
        ["10.0.0.2", "1", " 25.0 ##", " 25.0 ##", " 75.0 ######", " 20.0 ##"],
        ["10.0.0.3", "1", " 25.0 ##", " 25.0 ##", "  0.0", " 50.0 ####"],
        ["10.0.0.4", "1", "  0.0", "  0.0", "  0.0", "  0.0"],
    ]
    assert entry["largest_deviation"] == {
        "slots": {"address": "10.0.0.1", "by": 0.00003},
        "packets": {"address": "10.0.0.2", "by": 0.5},
        "flows": {"address": "10.0.0.3", "by": 0.25},
    }
    assert "10.0.0.1 is to get 50.0 % by its ratio of 2. Equal ratios would give 33.3 %." in "".join(map(str, parts))
    told = str(parts[-1])
    assert told.startswith("Slots: as wanted. ")
    assert "Packets: 10.0.0.2 is farthest from what is wanted, by +50.0 %." in told
    assert told.endswith("one in 64 is looked at: 100 so far.")


@pytest.mark.parametrize(
    ("engines", "says"),
    [
        (Reporting(), "No service engine runs. Start one: avi-se run --state /state --interface IF"),
        (Reporting(server(1, 1, 0, 0), pool="pool-2"), "No service engine forwards pool p1"),
    ],
)
def test_what_nobody_forwards_has_no_shares(engines: Engines, says: str) -> None:
    parts, data = algo(engines, POOL)
    assert (str(parts[-1]).startswith(says), data) == (True, [])


def test_nothing_is_said_of_what_did_not_come_yet() -> None:
    parts, (entry,) = algo(Reporting(server(1, 1.0, 0, 0)), POOL)
    assert (entry["servers"][0]["packets"], entry["largest_deviation"]["packets"]) == (None, None)
    assert next(part for part in parts if isinstance(part, Table)).rows[0][4:] == ("-", "-")
    assert "Flows" not in str(parts[-1])
    assert str(algo(Reporting(server(1, 1.0, 9, 0)), POOL)[0][-1]).endswith("one in 64 is looked at: none so far.")
