"""Secrets are shown nowhere but in an export; what stands for one is taken for none; tenants keep to their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from avi_shell.errors import InvalidFile, InvalidObject
from avi_shell.fronts.batch import Batch
from avi_shell.output import render, secret
from avi_shell.session.audit import Audit
from avi_shell.session.session import Session
from avi_shell.session.source import Source
from grammar import schema
from tests.shell.conftest import Run

LINES = (
    "configure vrfcontext v1 bgp_profile local_as 65000",
    "peers peer_ip 10.1.1.9 md5_secret topsecret",
    "where",
    "where | json",
    "show",
    "show | json",
    "show diff",
    "show diff | json",
    "exit",
    "exit",
    "save",
    "show vrfcontext v1",
    "show vrfcontext | json",
    "show vrfcontext v1 | json | save {}/saved.json",
    "configure vrfcontext v2 bgp_profile local_as 65000 peers peer_ip 10.1.1.9 md5_secret topsecret nonsense",
    "configure vrfcontext v2 bgp_profile local_as 65000 peers peer_ip 10.1.1.9 md5_secrt topsecret",
    "configure cloud c1 password topsecret",
    "configure cloud c1 password --topsecret",
    "configure vrfcontext v3 bgp_profile local_as 65000 peers peer_ip 10.1.1.9 md5_secret topsecret",
    "exit",
    "exit",
    "save",
    "show cloud vc",
    "show cloud | json",
    "configure cloud vc",
    "show diff",
    "cancel",
    "show running_config",
    "history",
    "show history",
    "show configuration history",
    "show configuration diff 0",
    "show cloud vc history",
)
CLOUD = {
    "name": "vc",
    "vtype": "CLOUD_VCENTER",
    "vcenter_configuration": {"username": "root", "password": "topsecret", "vcenter_url": "h", "datacenter": "d"},
    "strange": {"api_key": "topsecret", "passwords": ["topsecret"]},
}


def test_a_secret_is_shown_in_an_export_alone(session: Session, tmp_path: Path) -> None:
    (tmp_path / "cloud.json").write_text(json.dumps({"Cloud": [CLOUD]}))
    session._audit = Audit(tmp_path, session.configuration)
    assert session.run(f"import configuration file {tmp_path}/cloud.json").ok
    for line in LINES:
        result = session.run(line.format(tmp_path))
        shown = [*render.text_lines(result.parts), render.as_json(result)]
        shown += [render.message(result.error)] if result.error else []
        assert not [text for text in shown if "topsecret" in text], line
    assert "topsecret" not in (tmp_path / "audit.jsonl").read_text()
    assert "topsecret" not in (tmp_path / "saved.json").read_text()
    assert (tmp_path / "saved.json").stat().st_mode & 0o777 == 0o600
    session.run(f"export configuration file {tmp_path}/export.json")
    assert (tmp_path / "export.json").read_text().count("topsecret") == 5
    assert (tmp_path / "export.json").stat().st_mode & 0o777 == 0o600


def test_a_refused_line_with_a_secret_is_not_repeated(shell: Run, state: Path) -> None:
    done = shell("--json", "-c", LINES[14])
    assert done.returncode == 1
    assert "topsecret" not in done.stdout + done.stderr + (state / "audit.jsonl").read_text()
    done = shell("-c", LINES[14])
    assert "topsecret" not in done.stdout + done.stderr


@pytest.mark.parametrize("how", ["import configuration file", "load merge", "load replace"])
@pytest.mark.parametrize(
    "profile", [{"peers": [{"md5_secret": ["topsecret"]}]}, {"peers": {"md5_secret": "topsecret"}}, ["topsecret"]]
)
def test_a_secret_where_none_can_be_is_not_repeated(
    session: Session, tmp_path: Path, how: str, profile: dict[str, object]
) -> None:
    (tmp_path / "vrf.json").write_text(json.dumps({"VrfContext": [{"name": "global", "bgp_profile": profile}]}))
    error = session.run(f"{how} {tmp_path}/vrf.json").error
    assert isinstance(error, InvalidObject)
    faults = error.faults if isinstance(error, InvalidFile) else [error]
    told = [f"{fault.path} {render.message(fault)}" for fault in faults]
    assert any("VrfContext global: bgp_profile" in fault for fault in told)
    assert not any("topsecret" in fault for fault in told)


def test_what_stands_for_a_secret_is_no_value(session: Session, tmp_path: Path) -> None:
    for line in (LINES[0], "peers peer_ip 10.1.1.9"):
        assert session.run(line).ok
    assert "stands for a secret" in str(session.run("md5_secret <sensitive>").error)
    for line in ("md5_secret --", "<sensitive>"):
        assert session.run(line).ok
    assert "stands for a secret" in str(session.run("END").error)
    for _ in range(3):
        assert session.run("cancel").ok
    export = {"Cloud": [{**CLOUD, "vcenter_configuration": {"password": "<sensitive>"}}]}
    (tmp_path / "cloud.json").write_text(json.dumps(export))
    refused = session.run(f"import configuration file {tmp_path}/cloud.json")
    assert "vcenter_configuration.password is <sensitive>" in str(refused.error)


def test_the_secrets_of_the_model_are_known_by_name() -> None:
    sensitive = {
        field.name
        for kind in schema.kinds()
        for message in kind.messages.values()
        for field in message.fields.values()
        if field.sensitive
    }
    assert sensitive == set(secret.TYPED)
    assert all(secret.is_secret(name) for name in sensitive)


def test_a_tenant_exports_and_imports_what_is_its_own(session: Session, tmp_path: Path) -> None:
    for tenant in ("a", "b"):
        for line in (f"configure tenant {tenant}", "save", f"switchto tenant {tenant}", "configure pool p1", "save"):
            assert session.run(line).ok
        assert session.run("switchto tenant admin").ok
    session.run(f"export configuration file {tmp_path}/all.json")
    session.run("switchto tenant b")
    session.run(f"export configuration file {tmp_path}/b.json")
    mine = json.loads((tmp_path / "b.json").read_text())
    assert {kind: len(found) for kind, found in mine.items() if kind != "META"} == {"Pool": 1}
    assert "tenant=" not in json.dumps(mine).replace("tenant=admin", "") or "name=b" in json.dumps(mine)

    whole = json.loads((tmp_path / "all.json").read_text())
    (of_a,) = (pool for pool in whole["Pool"] if pool["tenant_ref"].endswith("=a"))
    for taken in ({**of_a, "description": "mine"}, {**mine["Pool"][0], "uuid": of_a["uuid"], "name": "p9"}):
        (tmp_path / "other.json").write_text(json.dumps({"Pool": [taken]}))
        assert "belongs to tenant a" in str(
            session.run(f"import configuration file {tmp_path}/other.json keep_uuid").error
        )
    (tmp_path / "other.json").write_text(json.dumps({"Tenant": [{"name": "c"}]}))
    assert "belongs to tenant admin" in str(session.run(f"import configuration file {tmp_path}/other.json").error)
    (tmp_path / "other.json").write_text(json.dumps({"Pool": [{"name": "p2"}]}))
    assert session.run(f"import configuration file {tmp_path}/b.json keep_uuid").ok
    assert session.run(f"import configuration file {tmp_path}/other.json").ok
    assert session.run("show pool p2").data["tenant_ref"] == "/api/tenant/?name=b"


def test_what_is_shown_steers_no_terminal(session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\x9b2J\x1b]0;title\x07\u202e"
    (tmp_path / "pool.json").write_text(json.dumps({"Pool": [{"name": "p1", "description": evil, "strange": [evil]}]}))
    lines = [f"import configuration file {tmp_path}/pool.json", "show pool p1", "show pool | json", f"nonsense {evil}"]
    lines += [
        "history",
        "configure pool p2",
        f"fail_action {evil}",
        f"description {evil}",
        "show",
        "show diff",
        "where",
    ]
    for transcript in (False, True):
        Batch(session, keep_going=True, transcript=transcript).run([Source(evil, lines)])
        shown = capsys.readouterr()
        assert "\\x1b[2J" in shown.out
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown.out + shown.err)
    told = session.run("do show pool p1 | json")
    assert json.loads("\n".join(render.text_lines(told.parts)))["description"] == evil


def test_an_endless_line_is_refused(shell: Run, session: Session) -> None:
    for line in ("x " * 5_000_000, "[:" * 1_000_000, '"' * 2_000_000, "a " * 1_000_000):
        refused = session.run(line)
        assert refused.error is not None
        assert len(render.as_json(refused)) < 10 << 20
    done = shell("--on-error", "continue", stdin="x" * 10_000_000 + "\nversion\n")
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert told[0] == "<stdin>:1: error: the line is longer than 2304 KiB; field file:PATH reads a long value"
    assert told[1:] == ["avi-shell: 1 of 2 commands was refused: <stdin>:1"]
    assert "avi-shell" in done.stdout
