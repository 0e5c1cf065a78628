"""`show tech-support`: one archive with everything that helps, and no secret in it."""

from __future__ import annotations

import base64
import json
import platform
import re
import stat
import tarfile
from pathlib import Path
from urllib.parse import quote

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.output import render, secret
from avi_shell.output.mask import Mask, secrets
from avi_shell.session import techsupport
from avi_shell.session.audit import Audit
from avi_shell.session.session import Session
from grammar import schema

from .conftest import VIRTUAL_SERVICE
from .pretender import pretending

PLANTED = 'to"p-secrét\\1'
SCRIPT_LOGIN = "PASS=hunter22 USER=x"


def test_every_form_of_a_secret_is_masked() -> None:
    data = PLANTED.encode()
    forms = [
        PLANTED,
        json.dumps(PLANTED),
        quote(PLANTED),
        data.hex(),
        data.hex().upper(),
        base64.b64encode(data).decode(),
    ]
    mask = Mask([PLANTED, "abc"])
    for form in forms:
        assert mask.text(f"x {form} y").replace('"', "").split() in (
            ["x", "<sensitive>", "y"],
            ["x", "<sensitive>=", "y"],
        )
    assert mask.text("abc abcd xabc 'abc'") == "<sensitive> abcd xabc '<sensitive>'"  # a short one in whole words
    assert mask.text("etcd://root:pass@host/c") == "etcd://<sensitive>@host/c"
    request = json.dumps("GET / HTTP/1.0\r\nAuthorization: Basic cm9vdDp4\r\nX-Api-Key: k 1\r\nHost: h\r\n")
    assert json.loads(mask.text(request)).split("\r\n")[1:4] == [
        "Authorization: <sensitive>",
        "X-Api-Key: <sensitive>",
        "Host: h",
    ]
    document = {"peers": [{"md5_secret": "x1", "remote_as": 5}], "password": "x2", "key_refs": "x", "variables": "A=b"}
    assert sorted(secrets(document)) == ["A=b", "x1", "x2"]
    hidden = Mask(()).document(document)
    assert hidden["peers"] == [{"md5_secret": "<sensitive>", "remote_as": 5}]
    assert (hidden["password"], hidden["variables"], hidden["key_refs"]) == ("<sensitive>", "<sensitive>", "x")


def test_an_archive_has_what_helps_and_no_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    session = Session(Configuration.open(tmp_path), tmp_path)
    session._audit = Audit(tmp_path, session.configuration)
    planted = _planted(session, tmp_path)
    (uuid,) = (one["uuid"] for one in session.run("show virtualservice").data)
    with pretending(tmp_path, uuid):
        result = session.run("show tech-support")
    assert result.ok, render.message(result.error) if result.error else ""
    path = Path(result.data["file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.parent == tmp_path / "tech-support"
    assert str(path) in render.text_lines(result.parts)[0]
    with tarfile.open(path) as archive:
        members = {one.name.partition("/")[2]: archive.extractfile(one) for one in archive.getmembers()}
        texts = {name: held.read() for name, held in members.items() if held is not None}
    for value in planted:
        data = value.encode()
        coded = base64.b64encode(data).rstrip(b"=")
        for form in (data, json.dumps(value)[1:-1].encode(), quote(value).encode(), data.hex().encode(), coded):
            assert [name for name, text in texts.items() if form in text] == [], value
    about = json.loads(texts["about.json"])
    assert set(about["files"]) | {"about.json"} == set(texts)
    assert about["packages"]["avi-shell"]
    exported = json.loads(texts["configuration/export.json"])
    (kept,) = (one for one in exported["VrfContext"] if one["name"] == "v1")
    assert kept["bgp_profile"]["peers"][0]["md5_secret"] == "<sensitive>"
    assert "10.1.1.100/tcp/80-80" in json.loads(texts["configuration/plan.json"])["services"]
    assert json.loads(texts["engines/se-1/status.json"])["dropped"] == {"no_service": 0}
    assert "configure virtualservice vs1" in texts["configuration/running_config.txt"].decode()
    assert '"command": "save"' in texts["audit.jsonl"].decode()
    assert "LOOPBACK" in texts["network/links.txt"].decode()
    assert "config.db" in texts["state-directory.txt"].decode()
    for name in ("routes", "rules", "neighbours", "addresses"):
        assert f"network/{name}.txt" in texts
    assert json.loads(texts["configuration/history.json"])


def test_it_works_without_engines_and_says_what_is_missing(session: Session, tmp_path: Path) -> None:
    session.directory.mkdir(exist_ok=True)
    result = session.run(f"show tech-support {tmp_path}/mine.tar.gz")
    assert result.ok
    assert (tmp_path / "mine.tar.gz").stat().st_size == result.data["bytes"]
    refused = session.run(f"show tech-support {tmp_path}/none/mine.tar.gz")
    assert refused.error is not None
    assert "cannot write" in render.message(refused.error)
    for line, told in (
        ("watch show tech-support", "is not watched"),
        ("show tech-support", "switchto tenant admin first"),
    ):
        session.tenant = "admin" if line.startswith("watch") else "t1"
        error = session.run(line).error
        assert error is not None
        assert told in render.message(error)


def test_the_newest_archives_are_kept_and_what_an_operator_named(session: Session, tmp_path: Path) -> None:
    session.directory.mkdir(exist_ok=True)
    folder = session.directory / techsupport.FOLDER
    folder.mkdir(mode=0o700)
    host = re.sub(r"[^A-Za-z0-9.-]", "-", platform.node())
    ours = [folder / f"tech-support-{host}-2026010{day}-000000.tar.gz" for day in range(1, 8)]
    others = [folder / f"tech-support-{host}-20260101-000000-broken.tar.gz", folder / "tech-support-other.tar.gz"]
    for path in (*ours, *others):
        path.touch()
    linked = folder / f"tech-support-{host}-20250101-000000.tar.gz"
    linked.symlink_to(others[0])
    result = session.run(f"show tech-support {folder}/mine.tar.gz")
    assert result.data["deleted"] == []
    assert "The newest" not in str(result.parts)
    result = session.run("show tech-support")
    assert result.data["deleted"] == [path.name for path in ours[:3]]
    kept = {Path(result.data["file"]), *ours[3:], *others, linked, folder / "mine.tar.gz"}
    assert set(folder.iterdir()) == kept
    told = f"{ours[0].name}, {ours[1].name}, {ours[2].name} are deleted."
    assert f"The newest 5 archives are kept there: {told}" in result.parts


def _planted(session: Session, folder: Path) -> list[str]:
    """Secrets in every place that the model or its names have for one; one of them is only history."""
    lines = [
        "configure vrfcontext v1 bgp_profile local_as 65000",
        "peers peer_ip 10.1.1.9 md5_secret planted-first",
        "save",
        "save",
        "save",
        "configure vrfcontext v1 bgp_profile",
        "peers peer_ip 10.1.1.9 md5_secret planted-second",
        "save",
        "save",
        "save",
        "configure healthmonitor web type health_monitor_http",
        'http_monitor http_request "GET / HTTP/1.0 Cookie: planted-cookie"',
        "save",
        "save",
        "configure healthmonitor script type health_monitor_external external_monitor command_code exit",
        f'command_variables "{SCRIPT_LOGIN}"',
        "save",
        "save",
        *VIRTUAL_SERVICE.splitlines(),
    ]
    for line in lines:
        result = session.run(line)
        assert result.ok, (line, result.error)
    cloud = {
        "name": "vc",
        "vtype": "CLOUD_VCENTER",
        "vcenter_configuration": {"username": "root", "password": PLANTED, "vcenter_url": "h", "datacenter": "d"},
        "strange": {"api_key": "planted-key", "passwords": ["planted-one", "planted-two"]},
    }
    (folder / "cloud.json").write_text(json.dumps({"Cloud": [cloud]}))
    assert session.run(f"import configuration file {folder}/cloud.json").ok
    sensitive = {
        f.name for kind in schema.kinds() for m in kind.messages.values() for f in m.fields.values() if f.sensitive
    }
    assert sensitive == set(secret.TYPED)  # a new one is planted above
    return [
        "planted-first",
        "planted-second",
        SCRIPT_LOGIN,
        PLANTED,
        "planted-key",
        "planted-cookie",
        "planted-one",
        "planted-two",
    ]
