"""What an operator's files hold is data: refused with its place, never a traceback; marks of editors are no text."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import StoreError
from avi_shell.session.session import Session
from tests import forked
from tests.shell.conftest import ROOT

DEEP = '{"NetworkProfile": [' + '{"profile":' * 900 + "1" + "}" * 900 + "]}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DEEP, "nested deeper than 64 levels"),
        (r'{"Pool": [{"name": "\ud800"}]}', "a lone surrogate, at Pool[0].name"),
        ('{"Pool": [{"name": "p", "default_server_port": NaN}]}', "NaN is no JSON number"),
    ],
    ids=["deep", "surrogate", "not a number"],
)
def test_a_hostile_export_is_refused(session: Session, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "export.json").write_text(text)
    told = session.run(f"import configuration file {tmp_path}/export.json")
    assert said in str(told.error)
    argv = [sys.executable, "-m", "avi_shell", "compile", f"{tmp_path}/export.json", f"{tmp_path}/plan.json"]
    done = forked.run(argv, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_a_line_of_a_text_is_refused_as_any_other_line(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avi_shell.session.session.LARGEST_VALUE", 10)
    told = [
        session.run(line) for line in ("configure pool p1", "description --", "one", "\ud800", "x" * 9, "two", "END")
    ]
    assert [str(result.error).split(":")[0] for result in told if result.error] == [
        "the line is not UTF-8",
        "the text is larger than 0 MiB",
    ]
    assert session.open is not None
    assert session.open.document["description"] == "one\ntwo"


def test_a_value_is_read_from_a_regular_file_alone(session: Session, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    session.run("configure pool p1")
    for name in (tmp_path / "pipe", Path("/dev/zero")):
        assert "no regular file" in str(session.run(f"description file:{name}").error)


@pytest.mark.parametrize("by", ["file", "standard input"])
def test_a_byte_order_mark_begins_no_command(by: str, tmp_path: Path) -> None:
    (tmp_path / "session").write_bytes(b"\xef\xbb\xbfshow tenant\n")
    argv = [sys.executable, "-m", "avi_shell", "--state", str(tmp_path / "state")]
    argv += ["-f", str(tmp_path / "session")] if by == "file" else []
    with open(tmp_path / "session") as stream:
        done = forked.run(argv, capture_output=True, text=True, cwd=ROOT, stdin=stream)
    assert done.returncode == 0, done.stderr
    assert "admin" in done.stdout


def test_a_plan_file_is_its_owners_alone(session: Session, tmp_path: Path) -> None:
    session.run(f"export configuration file {tmp_path}/export.json")
    argv = [sys.executable, "-m", "avi_shell", "compile", f"{tmp_path}/export.json", f"{tmp_path}/plan.json"]
    assert forked.run(argv, cwd=ROOT, capture_output=True).returncode == 0
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("Pool", {"servers": ["10.1.1.10"]}, "Pool x: servers[1] is '10.1.1.10', not a message"),
        ("VirtualService", {"vip": ["10.1.1.100"]}, "VirtualService x: vip[1] is '10.1.1.100', not a message"),
        ("VsVip", {"vip": [{"ip_address": "10.1.1.100"}]}, "VsVip x: vip[1].ip_address is '10.1.1.100', not a message"),
        ("Pool", {"health_monitor_refs": [{}]}, "Pool x: health_monitor_refs[1] is {}, not one value"),
        ("VrfContext", {"static_routes": [{"route_id": []}]}, "static_routes[1].route_id is [], not one value"),
        ("Cloud", {"vcenter_configuration": 5}, "Cloud x: vcenter_configuration is 5, not a message"),
    ],
)
def test_an_import_of_another_shape_is_refused_with_the_path(
    session: Session, tmp_path: Path, kind: str, body: dict[str, object], said: str
) -> None:
    (tmp_path / "export.json").write_text(json.dumps({kind: [{"name": "x", **body}]}))
    assert said in str(session.run(f"import configuration file {tmp_path}/export.json").error)


def test_a_damaged_row_is_named_and_the_session_goes_on(tmp_path: Path) -> None:
    configuration = Configuration.open(tmp_path / "state")
    session = Session(configuration, tmp_path)
    session.run("configure pool p1 description x")
    assert session.run("save").ok
    for body, said in (
        ("[", "pool p1 is no JSON"),
        ('{"name": "p1", "servers": 5}', "Pool p1: servers must be a list"),
    ):
        with sqlite3.connect(tmp_path / "state" / "config.db") as base:
            base.execute("UPDATE object SET body = ? WHERE name = 'p1'", (body,))
        told = session.run("show pool p1" if body == "[" else "show pool p1 server-setup")
        assert isinstance(told.error, StoreError)
        assert said in str(told.error)
        assert session.run("show tenant").ok
    configuration.close()
