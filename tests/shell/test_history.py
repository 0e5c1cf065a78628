"""The history as operators see it: commits, what differs since one of them, and the commits of one object."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.history import History, Touch
from avi_shell.configuration.record import Author
from avi_shell.configuration.store import Store
from avi_shell.output import render
from avi_shell.output.result import Result, Table
from avi_shell.session.session import Session

BY = Author("admin", "alice as root", "/dev/pts/3 from 192.0.2.7")
LINES = """\
configure pool p1
servers ip 10.1.1.10 port 80
save
servers ip 10.1.1.11 port 80
save
save comment "first servers"
configure pool p1 description x
no servers ip 10.1.1.10 port 80
save comment "one less"
rename pool p1 p2
configure tenant t1
save
delete pool p2
configure pool p2
save
""".splitlines()
"""Commits 1 to 6, an hour apart, the first at midnight."""


def _hourly(patch: pytest.MonkeyPatch, configuration: Configuration) -> None:
    """A clock of an hour a commit."""
    now = "avi_shell.configuration.configuration.time.time"
    patch.setattr(now, lambda: 1.7e9 - 84800 + 3600 * configuration.version())


@pytest.fixture(scope="module")
def prepared() -> Iterator[bytes]:
    """The store after these lines, in a zone two hours before UTC's."""
    with pytest.MonkeyPatch.context() as zone:
        zone.setenv("TZ", "UTC-2")
        time.tzset()
        configuration = Configuration.in_memory()
        session = Session(configuration, Path("/nonexistent"), author=BY)
        with pytest.MonkeyPatch.context() as clock:
            _hourly(clock, configuration)
            for number, line in enumerate(LINES, 1):
                session.origin = f"s.avi:{number}"
                assert session.run(line).ok, line
        with configuration.snapshot() as store:
            database = store.connection.serialize()
        yield database
    time.tzset()


@pytest.fixture
def filled(prepared: bytes, monkeypatch: pytest.MonkeyPatch) -> Session:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(prepared)
    configuration = Configuration(Store(connection, "memory"))
    _hourly(monkeypatch, configuration)
    return Session(configuration, Path("/nonexistent"), author=BY)


def shown(result: Result) -> list[str]:
    assert result.error is None, result.error
    return render.text_lines(result.parts)


def cells(result: Result) -> list[list[str]]:
    """The rows of a result's tables."""
    assert result.error is None, result.error
    return [list(row) for part in result.parts if isinstance(part, Table) for row in part.rows]


def refused(session: Session, line: str) -> str:
    error = session.run(line).error
    assert error is not None
    return render.message(error)


def test_commits_newest_first(filled: Session) -> None:
    result = filled.run("show configuration history")
    by, there = "alice as root (admin)", "/dev/pts/3 from 192.0.2.7"
    assert cells(result) == [
        ["6", "2023-11-14 05:40:00+02:00", by, f"s.avi:14, {there}", "admin", "created Pool p2", ""],
        ["5", "2023-11-14 04:40:00+02:00", by, f"s.avi:13, {there}", "admin", "deleted Pool p2", ""],
        ["4", "2023-11-14 03:40:00+02:00", by, f"s.avi:11, {there}", "admin", "created Tenant t1", ""],
        ["3", "2023-11-14 02:40:00+02:00", by, f"s.avi:10, {there}", "admin", "rename: changed Pool p2", ""],
        ["2", "2023-11-14 01:40:00+02:00", by, f"s.avi:7, {there}", "admin", "changed Pool p1", "one less"],
        ["1", "2023-11-14 00:40:00+02:00", by, f"s.avi:1, {there}", "admin", "created Pool p1", "first servers"],
    ]
    assert result.parts[1:] == [
        "The configuration is known as it was after commits 0 to 6; at most 10,000 commits of 365 days are remembered."
    ]
    assert result.data["commits"][4] == {
        "number": 2,
        "time": 1.7e9 - 81200,
        "when": "2023-11-14T01:40:00.000+02:00",
        "user": "admin",
        "os_user": "alice as root",
        "terminal": there,
        "tenant": "admin",
        "origin": "s.avi:7",
        "comment": "one less",
        "action": "update",
        "kind": "pool",
        "name": "p1",
        "line": "configure pool p1 description x",
        "content": True,
        "objects": [{"kind": "pool", "tenant": "admin", "cloud": "Default-Cloud", "name": "p1", "what": "update"}],
    }
    assert (result.data["known"], result.data["bounds"]) == ({"first": 0, "last": 6}, {"commits": 10_000, "days": 365})


def test_as_many_commits_as_were_asked_for(filled: Session) -> None:
    result = filled.run("do show configuration history 2" if filled.open else "show configuration history 2")
    assert [row[0] for row in cells(result)] == ["6", "5"]
    assert "These are 2 of 6 commits: show configuration history 6" in result.parts
    assert "0 commits cannot be shown" in refused(filled, "show configuration history 0")
    assert "'all' is not a number; expected: <1-999999>" in refused(filled, "show configuration history all")


def test_many_objects_of_a_commit_are_counted(filled: Session) -> None:
    transfer.import_(
        filled.configuration, {"Pool": [{"name": f"q{n}"} for n in range(1200)] + [{"name": "p2", "enabled": False}]}
    )
    assert cells(filled.run("show configuration history 1"))[0][5] == "import: created 1,200 Pool, changed 1 Pool"


def test_an_empty_history_is_told(session: Session) -> None:
    assert session.run("show configuration history").parts == ["There is no commit yet."]


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("diff 2 3", [["Pool p2", "name", "p1", "p2"]]),
        ("diff 3 2", [["Pool p1", "name", "p2", "p1"]]),
        (
            "diff 1 3",
            [
                ["Pool p2", "name", "p1", "p2"],
                ["Pool p2", "servers[10.1.1.10:80]", "ip 10.1.1.10 port 80 hostname 10.1.1.10", ""],
                ["Pool p2", "description", "", "x"],
            ],
        ),
        (
            "diff 4 5",
            [
                ["Pool p2", "", "stored", "deleted"],
                ["Pool p2", "servers[10.1.1.11:80]", "ip 10.1.1.11 port 80 hostname 10.1.1.11", ""],
                ["Pool p2", "vrf_ref", "global", ""],
                ["Pool p2", "description", "x", ""],
                ["Pool p2", "tenant_ref", "admin", ""],
                ["Pool p2", "cloud_ref", "Default-Cloud", ""],
            ],
        ),
        ("diff 3 4", [["Tenant t1", "", "", "created"]]),
        ("diff 4 3", [["Tenant t1", "", "stored", "deleted"]]),
    ],
)
def test_what_differs_between_two_configurations(filled: Session, line: str, rows: list[list[str]]) -> None:
    assert cells(filled.run(f"show configuration {line}")) == rows


def test_what_differs_says_of_which_configurations_and_of_none(filled: Session) -> None:
    (table,) = filled.run("show configuration diff 2 3").parts
    assert isinstance(table, Table)
    assert table.columns == ("Object", "Field", "After commit 2", "After commit 3")
    (table,) = filled.run("show configuration diff 2").parts
    assert isinstance(table, Table)
    assert table.columns[2:] == ("After commit 2", "Now")
    assert shown(filled.run("show configuration diff 6")) == ["The configuration after commit 6 is the one now."]
    filled.run("configure tenant t1 description x")
    filled.run("save")
    filled.run("configure tenant t1 no description")
    filled.run("save")
    assert shown(filled.run("show configuration diff 6 8")) == [
        "The configuration after commit 6 is the one after commit 8."
    ]


def test_a_configuration_that_is_not_known_is_refused_by_number(filled: Session) -> None:
    assert "after commit 99 is not known; it is known after commits 0 to 6" in refused(
        filled, "show configuration diff 99"
    )
    assert "after commit 7 is not known" in refused(filled, "show configuration diff 2 7")
    assert "'x' is not a number; expected: <commit>" in refused(filled, "show configuration diff x")
    assert "the line ends after 'diff'" in refused(filled, "show configuration diff")
    filled.configuration.bound_history(2, 365)
    filled.run("configure pool p3")
    filled.run("save")
    assert "known after commits 5 to 7" in refused(filled, "show configuration diff 4")
    assert shown(filled.run("show configuration history"))[-1].startswith(
        "The configuration is known as it was after commits 5 to 7; at most 2 commits"
    )


def test_the_history_of_an_object_follows_its_renames_and_outlives_it(filled: Session) -> None:
    filled.run("rename pool p2 p3")
    filled.run("delete pool p3")
    for name in ("p2", "p3", "p1"):
        result = filled.run(f"show pool {name} history")
        told = [entry["number"] for entry in result.data]
        assert told == {"p2": [8, 7, 6, 5, 3, 2, 1], "p3": [8, 7, 6], "p1": [5, 3, 2, 1]}[name]
    text = shown(filled.run("show pool p1 history"))
    assert text[0].startswith("Commit 5, 2023-11-14 04:40:00+02:00, by alice as root (admin), s.avi:13")
    assert [line for line in text if line.startswith("  ")] == [
        "  deleted Pool p2",
        "  changed Pool p2",
        "  changed Pool p1",
        "  created Pool p1",
    ]
    assert "| servers[10.1.1.10:80] | ip 10.1.1.10 port 80 hostname 10.1.1.10 |       |" in text
    assert any(line.endswith("s.avi:7, /dev/pts/3 from 192.0.2.7: one less") for line in text)
    assert cells(filled.run("show pool p1 history 4"))[-5:] == [
        ["servers[10.1.1.10:80]", "", "ip 10.1.1.10 port 80 hostname 10.1.1.10"],
        ["servers[10.1.1.11:80]", "", "ip 10.1.1.11 port 80 hostname 10.1.1.11"],
        ["vrf_ref", "", "global"],
        ["tenant_ref", "", "admin"],
        ["cloud_ref", "", "Default-Cloud"],
    ]


def test_a_configuration_session_hides_nothing_of_the_history(filled: Session) -> None:
    for line in ("configure session", "configure pool p9", "save"):
        assert filled.run(line).ok
    assert filled.run("show configuration history").data["known"]["last"] == 6
    assert shown(filled.run("show configuration diff 6")) == ["The configuration after commit 6 is the one now."]
    assert [entry["number"] for entry in filled.run("show history").data] == [1, 2, 3, 4, 5, 6]
    assert "changes are known since commit 0" in shown(filled.run("show pool p9 history"))[0]


def test_objects_that_had_one_name_are_told_apart(filled: Session) -> None:
    made = [line for line in shown(filled.run("show pool p2 history")) if line.startswith("  created Pool")]
    assert [line.split()[2] for line in made] == ["p2", "p1"]
    assert len({line.split("(")[1] for line in made}) == 2
    assert [entry["number"] for entry in filled.run("show pool p2 history 2").data] == [6, 5]


def test_an_object_without_a_history_and_one_that_never_was(filled: Session) -> None:
    result = filled.run("show networkprofile System-TCP-Proxy history")
    assert (result.data, shown(result)) == (
        [],
        ["No commit that is known changed NetworkProfile System-TCP-Proxy; changes are known since commit 0."],
    )
    assert "there is no pool 'nix' in tenant admin, nor was there one" in refused(filled, "show pool nix history")


def test_a_tenant_sees_the_history_of_its_own_objects_and_admins(filled: Session) -> None:
    for line in ("switchto tenant t1", "configure pool mine", "save", "switchto tenant *"):
        filled.run(line)
    assert [entry["number"] for entry in filled.run("show pool mine history").data] == [7]
    filled.run("switchto tenant admin")
    assert "there is no pool 'mine'" in refused(filled, "show pool mine history")
    filled.run("switchto tenant t1")
    assert [entry["number"] for entry in filled.run("show pool mine history").data] == [7]
    assert len(filled.run("show pool p1 history").data) == 4


def test_a_tenant_sees_no_commit_of_another_ones_objects(filled: Session) -> None:
    for tenant in ("t2", "t1", "t2"):
        lines = (
            f"switchto tenant admin;configure tenant {tenant};save;switchto tenant {tenant};configure pool of-{tenant}"
        )
        for line in [*lines.split(";"), "save"]:
            assert filled.run(line).ok, line
    filled.run("switchto tenant admin")
    both = {
        "Pool": [
            {"name": f"of-{tenant}", "tenant_ref": f"/api/tenant/?name={tenant}", "enabled": False}
            for tenant in ("t1", "t2")
        ]
    }
    transfer.import_(filled.configuration, both)
    views = (
        "show configuration history",
        "show configuration diff 6",
        "show configuration diff 9",
        "show configuration diff 7 8",
        "show history",
    )
    for line in views:
        assert "of-t2" in render.as_json(filled.run(line)), line
    filled.run("switchto tenant t1")
    for line in views:
        assert "of-t2" not in render.as_json(filled.run(line)), line
    assert not any("of-t2" in c.help for c in filled.offer("show configuration diff ").candidates)
    rows = cells(filled.run("show configuration history"))
    assert [row[0] for row in rows] == ["10", "9", "7", "6", "5", "4", "3", "2", "1"]
    assert rows[0][5] == "import: changed Pool of-t1 of tenant t1"
    other = "What other tenants have is not told here: switchto tenant admin shows it."
    assert other in shown(filled.run("show configuration history"))
    assert "These are 1 of 9 commits: show configuration history 9" in shown(filled.run("show configuration history 1"))
    assert shown(filled.run("show configuration diff 6"))[-1] == other
    assert shown(filled.run("show configuration diff 7 8")) == [
        "The configuration after commit 7, as far as tenant t1 sees it, is the one after commit 8."
    ]


def test_commits_of_an_older_release_are_shown_without_what_they_changed(state: Path) -> None:
    from tests.configuration.test_history import format_1

    format_1(state).close()
    session = Session(Configuration.open(state), state)
    rows = cells(session.run("show configuration history 3"))
    assert [(row[0], row[5]) for row in rows] == [
        ("20", "import"),
        ("19", "created Pool p1"),
        ("18", "deleted Pool gone"),
    ]
    assert "known as it was after commits 20 to 20" in shown(session.run("show configuration history 3"))[-1]
    assert "after commit 19 is not known" in refused(session, "show configuration diff 19")
    assert "changes are known since commit 20" in shown(session.run("show pool p1 history"))[0]
    session.configuration.close()


def test_commits_are_offered_by_completion(filled: Session) -> None:
    offer = filled.offer("show configuration diff ")
    assert [(c.word, c.help) for c in offer.candidates][:2] == [
        ("6", "2023-11-14 05:40:00+02:00 alice as root (admin): created Pool p2"),
        ("5", "2023-11-14 04:40:00+02:00 alice as root (admin): deleted Pool p2"),
    ]
    assert ("2", "one less") in [(c.word, c.help.split(": ")[1]) for c in offer.candidates]


def test_completion_reads_no_more_of_a_large_commit_than_it_tells(
    filled: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer.import_(filled.configuration, {"Pool": [{"name": f"q{n}"} for n in range(60)]})
    read: list[int] = []

    def touch(log: History, row: Any) -> Touch:
        read.append(row[0])
        return real(log, row)

    real = History._touch
    monkeypatch.setattr(History, "_touch", touch)
    newest = filled.offer("show configuration diff ").candidates[0]
    assert newest.word == "7"
    assert newest.help.endswith(" admin: import: created Pool q0, created Pool q1, created Pool q2, …")
    assert read.count(7) == 4


def test_the_views_are_there_in_every_mode_and_as_json(filled: Session) -> None:
    filled.run("configure pool p2")
    views: list[tuple[str, Callable[[Any], bool]]] = [
        ("show configuration history 1", lambda data: data["commits"][0]["number"] == 6),
        ("do show configuration diff 5", lambda data: data[0]["change"] == "create"),
        ("show tenant t1 history", lambda data: data[0]["objects"][0]["name"] == "t1"),
    ]
    for line, holds in views:
        told = json.loads(render.as_json(filled.run(line)))
        assert told["ok"]
        assert holds(told["data"])
    assert filled.mode == ["pool"]
