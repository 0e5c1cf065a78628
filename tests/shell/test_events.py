"""`show events`: whose are shown, and what is read of engines that do not answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from avi_shell.output import render
from avi_shell.output.result import Result
from avi_shell.session.session import Session
from dataplane import client
from dataplane.events import kinds
from dataplane.events.journal import Journal
from dataplane.events.model import Kind, Subject

from .conftest import VIRTUAL_SERVICE

HERE = Subject("serviceengine", "se-1")


@pytest.fixture
def site(session: Session) -> Session:
    """A virtual service, and another tenant's."""
    for line in VIRTUAL_SERVICE.splitlines():
        assert session.run(line).ok, line
    return session


def uuid(session: Session, kind: str, name: str) -> str:
    return str(session.run(f"show {kind} {name}").data["uuid"])


def happened(path: Path, *told: tuple[float, Kind, Subject, str], engine: str = "se-1") -> None:
    """An engine's file of events."""
    kept = Journal()
    for at, kind, about, text in told:
        kept.add(kind, about, text, at, engine, 7 if kind is kinds.VIP_ANNOUNCED else None)
    path.write_text("".join(json.dumps(event.data()) + "\n" for event in kept.all()))


def texts(result: Result) -> list[str]:
    assert result.ok, result.error
    return [event["text"] for event in result.data]


def printed(session: Session, line: str) -> list[str]:
    return list(render.transcript(session.run(line), ""))[1:]


def told(session: Session) -> Sequence[tuple[float, Kind, Subject, str]]:
    pool, service = uuid(session, "pool", "p1"), uuid(session, "virtualservice", "vs1")
    member = Subject("server", "10.1.1.10:80", "admin", pool, "p1")
    return (
        (100.0, kinds.ENGINE_STARTED, HERE, "started"),
        (101.0, kinds.VIP_ANNOUNCED, Subject("vip", "10.1.1.100"), "vip up"),
        (102.0, kinds.VIP_ANNOUNCED, Subject("vip", "10.1.1.101"), "other vip up"),
        (103.0, kinds.VIRTUALSERVICE_UP, Subject("virtualservice", "vs1", "admin", service), "service up"),
        (104.0, kinds.POOL_DOWN, Subject("pool", "p1", "admin", pool), "pool down"),
        (105.0, kinds.SERVER_DOWN, member, "server down: refused"),
        (106.0, kinds.SERVER_DOWN, member._replace(name="10.1.1.10:81", uuid="pool-2", pool="p2"), "other server down"),
        (107.0, kinds.POOL_DOWN, Subject("pool", "p1", "other", "pool-3"), "other tenant's pool down"),
        (108.0, kinds.MEMBER_LOST, Subject("serviceengine", "se-2"), "se-2 is dead"),
    )


def test_events_are_those_of_an_object_and_what_it_is_made_of(site: Session) -> None:
    happened(site.directory / "se-1.events", *told(site))
    happened(site.directory / "se-2.events", (104.5, kinds.ENGINE_STOPPED, HERE, "stopped"), engine="se-2")
    of_pool = ["pool down", "server down: refused"]
    assert texts(site.run("show events virtualservice vs1")) == ["vip up", "service up", *of_pool]
    assert texts(site.run("show events pool p1")) == of_pool
    assert texts(site.run("show events server 10.1.1.10")) == ["server down: refused", "other server down"]
    assert texts(site.run("show events server 10.1.1.10:80")) == ["server down: refused"]
    assert texts(site.run("show events serviceengine se-2")) == ["stopped", "se-2 is dead"]
    every = texts(site.run("show events"))
    assert (len(every), every[5:7], every[-1]) == (10, ["stopped", "server down: refused"], "se-2 is dead")
    for line in ("configure tenant third", "save", "switchto tenant third"):
        assert site.run(line).ok
    assert texts(site.run("show events")) == [text for text in every if text != "other tenant's pool down"]


def test_a_row_has_the_severity_the_engine_and_the_commit_and_pipes_filter(site: Session) -> None:
    happened(site.directory / "se-1.events", *told(site))
    columns, *rows = (line.split("|") for line in printed(site, "show events") if line.startswith("|"))
    assert [column.strip() for column in columns] == ["", "Time", "Severity", "SE", "Event", ""]
    assert [cell.strip() for cell in rows[1]][2:-1] == ["notice", "se-1", "vip up (commit 7)"]
    first, second = printed(site, "show events | grep warning")
    assert "| server down: refused" in first
    assert "| other server down" in second


@pytest.mark.parametrize("typed", ["10.1.1", "10.1.1.10:", "10.1.1.10:http", "10.1.1.10:99999", "p1"])
def test_what_is_no_server_is_refused(site: Session, typed: str) -> None:
    result = site.run(f"show events server {typed}")
    assert not result.ok
    assert f"'{typed}' is no server" in str(result.error)


def test_objects_that_there_are_not_are_refused(site: Session) -> None:
    assert not site.run("show events pool p9").ok
    assert not site.run("show events virtualservice vs9").ok
    assert texts(site.run("show events serviceengine se-9")) == []


def test_without_engine_and_file_it_says_how_to_start_one(site: Session) -> None:
    assert "No service engine runs" in str(site.run("show events").parts)


def test_of_an_engine_that_hangs_the_file_is_read_and_it_is_named(
    site: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.1)
    (site.directory / "run").mkdir()
    happened(site.directory / "se-1.events", *told(site))
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        for name, hangs in (("se-1", one), ("se-2", other)):
            hangs.bind(str(site.directory / "run" / f"{name}.sock"))
            hangs.listen()
        result = site.run("show events server 10.1.1.10:80")
    assert texts(result) == ["server down: refused"]
    assert result.silent.keys() == {"se-1", "se-2"}
    first, second = result.parts[1:]
    assert str(first).endswith("does not answer within 0.1 s: its events are those of its file.")
    assert str(second).endswith("does not answer within 0.1 s: its events are not known.")


def test_events_that_are_not_understood_are_left_out(site: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    from avi_shell.views import events
    from avi_shell.views.gathering import Engines, Reports

    good = Journal().add(kinds.SERVER_UP, HERE, "up", 5.0, "se-1").data()
    answers: list[dict[str, Any]] = [{"name": "se-1", "events": [good, {**good, "severity": "loud"}, 7]}, {"name": "x"}]
    monkeypatch.setattr(Engines, "answers", lambda *_: _answered(answers))

    def _answered(found: list[dict[str, Any]]) -> Reports:
        made = Reports(found)
        made.silent = {}
        return made

    _, data = events.events(site.engines, lambda event: True, None)
    assert data == [good]
