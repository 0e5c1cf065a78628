"""`clear`: counters are shown from zero on, to who cleared them, and go on by themselves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.session.session import Session
from avi_shell.views import gathering
from avi_shell.views.cleared import Cleared
from avi_shell.views.gathering import Engines, Reports

from .conftest import VIRTUAL_SERVICE

HANDSHAKES = {"sampled": 5, "answered": 4, "unanswered": 1, "share": 0.2}


def report(packets: int = 100, uuid: str = "pool-1") -> dict[str, Any]:
    of_server = {"address": "10.0.0.1", "failed_checks": 3, "failed_by_monitor": {"m": 3}}
    counted = {"packets": packets, "bytes": 10 * packets, "handshakes": dict(HANDSHAKES)}
    service = {
        "uuid": "vs-1",
        "vip": "10.0.0.9",
        "protocol": "tcp",
        "port": 80,
        "port_end": 80,
        "dropped": {"no_server": 7, "looped": 1},
    }
    return {
        "name": "se-1", "answered": 9, "dropped": {"malformed": 2},
        "services": [service | counted], "pools": [{"uuid": uuid, "servers": [of_server | copy.deepcopy(counted)]}],
    }  # fmt: skip


def test_what_was_cleared_is_taken_off_and_nothing_else(tmp_path: Path) -> None:
    assert Cleared(tmp_path, "root").clear([report()], "virtualservice", "vs-1") == 1
    now = report(130)
    now["services"][0]["dropped"]["no_server"] = 9
    Cleared(tmp_path, "root").subtract(now)  # by another process
    (service,) = now["services"]
    assert (service["packets"], service["bytes"], service["handshakes"]["sampled"]) == (30, 300, 0)
    assert service["dropped"] == {"no_server": 2}
    assert service["handshakes"]["share"] == 0.2
    assert now["pools"] == report(130)["pools"]
    assert (now["answered"], now["dropped"]) == (9, {"malformed": 2})


def test_each_kind_has_its_counters(tmp_path: Path) -> None:
    cleared = Cleared(tmp_path, "root")
    cleared.clear([report()], "pool", "pool-1")
    cleared.clear([report()], "serviceengine", "se-1")
    now = report()
    cleared.subtract(now)
    (server,) = now["pools"][0]["servers"]
    assert (server["packets"], server["failed_checks"], server["failed_by_monitor"]) == (0, 0, {"m": 0})
    assert (now["answered"], now["dropped"], now["services"][0]["packets"]) == (0, {}, 100)


def test_counters_that_began_anew_and_other_users_are_not_touched(tmp_path: Path) -> None:
    Cleared(tmp_path, "root").clear([report()], "virtualservice", "vs-1")
    assert (tmp_path / "cleared" / "root.json").stat().st_mode & 0o777 == 0o600
    lower, others = report(40), report(130)
    Cleared(tmp_path, "root").subtract(lower)
    Cleared(tmp_path, "somebody").subtract(others)
    assert (lower["services"][0]["packets"], others) == (40, report(130))
    assert Cleared(tmp_path, "root").clear([report()], "virtualservice", "vs-2") == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"counters": 7}', "\x00"])
def test_a_file_that_is_damaged_clears_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "cleared").mkdir()
    (tmp_path / "cleared" / "root.json").write_text(text)
    now = report()
    Cleared(tmp_path, "root").subtract(now)
    assert now == report()
    assert Cleared(tmp_path, "root").clear([report()], "virtualservice", "vs-1") == 1


def test_an_operator_clears_a_pool(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in VIRTUAL_SERVICE.splitlines():
        session.run(line)
    uuid = str((session.configuration.find("pool", "p1", "admin") or {})["uuid"])

    def answers(self: Engines, request: str, only: str = "", seconds: float = 0.0, **arguments: Any) -> Reports:
        made = Reports([report(uuid=uuid)])
        made.silent = {}
        return made

    monkeypatch.setattr(gathering.Engines, "answers", answers)
    done = session.run("clear pool p1")
    assert done.data == {"cleared": "p1", "service_engines": 1}
    told = session.engines.reports(uuid)
    assert told[0]["pools"][0]["servers"][0]["packets"] == 0
    assert session.run("clear virtualservice vs1").notices == ["No service engine counts anything of it."]
    assert session.run("clear").clear
    assert not session.run("clear pool p2").ok
    (whole,) = Engines(Configuration.in_memory(), session.directory).reports(uuid)
    assert whole["pools"][0]["servers"][0]["packets"] == 100
