"""The plan's documents: written, read, refused."""

import json
import sqlite3
from pathlib import Path

import pytest

from dataplane import plan
from dataplane.errors import PlanError
from dataplane.plan import codec, file, sqlite

SERVICE = plan.Service(
    virtualservice="vs1", uuid="virtualservice-1", tenant="admin", vip="10.0.0.100", protocol="tcp", port=80,
    port_end=80, mode=plan.L2, hash_key=plan.BY_ADDRESS_AND_PORT, idle_timeout=300, pool="p1", pool_uuid="pool-1",
    slots=plan.SLOTS, seed=7,
    servers=(plan.Server("10.0.0.11", 80), plan.Server("10.0.0.12", 80, weight=3, enabled=False)),
    monitors=(plan.Monitor("hm", "HEALTH_MONITOR_TCP", send_interval=1),), version=3,
)  # fmt: skip
COMMON = plan.Common({"Default-Group": 2}, {"se-1": "Default-Group"}, 3, {"Default-Group": 300.0})


@pytest.fixture
def store() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(sqlite.SCHEMA)
    return connection


def test_what_is_written_is_read(store: sqlite3.Connection) -> None:
    sqlite.write(store, 3, [SERVICE], COMMON)
    assert sqlite.read(store) == plan.Plan(3, {"10.0.0.100/tcp/80-80": SERVICE}, COMMON)


def test_what_the_engines_share_is_read_whole() -> None:
    assert codec.read_common(codec.document(COMMON), 3) == COMMON
    assert codec.read_common({"drivers": COMMON.drivers, "of a newer version": 1}, 3) == plan.Common(
        COMMON.drivers, version=3
    )


def test_only_what_is_newer_is_read(store: sqlite3.Connection) -> None:
    sqlite.write(store, 3, [SERVICE], COMMON)
    assert sqlite.read(store, 3) == plan.Plan(3, {}, None)
    sqlite.write(store, 4, [SERVICE.key], None)
    assert sqlite.read(store, 3) == plan.Plan(4, {SERVICE.key: None}, None)


def test_an_empty_plan_has_the_version_asked_after(store: sqlite3.Connection) -> None:
    assert sqlite.read(store, -1) == plan.Plan(-1, {}, None)


def test_a_file_holds_the_whole_plan(tmp_path: Path) -> None:
    whole = plan.Plan(3, {SERVICE.key: SERVICE}, COMMON)
    file.save(whole, tmp_path / "plan.json")
    assert file.load(tmp_path / "plan.json") == whole


@pytest.mark.parametrize(
    ("change", "named"),
    [({"mode": "l4"}, "l4"), ({"color": 1}, "color"), ({"servers": [{"address": "10.0.0.1", "post": 1}]}, "post")],
)
def test_a_document_of_another_version_is_refused_by_name(
    change: dict[str, object], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    file.save(plan.Plan(3, {SERVICE.key: SERVICE}, COMMON), path)
    data = json.loads(path.read_text())
    data["services"][SERVICE.key].update(change)
    path.write_text(json.dumps(data))
    with pytest.raises(PlanError, match=named):
        file.load(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "services": [], "common": {}}'])
def test_a_file_that_is_no_plan_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(PlanError, match="plan.json: not a plan"):
        file.load(tmp_path / "plan.json")
    with pytest.raises(PlanError, match="No such file"):
        file.load(tmp_path / "missing.json")


def test_a_stored_document_tells_of_servers_what_is_not_the_default(store: sqlite3.Connection) -> None:
    sqlite.write(store, 3, [SERVICE], COMMON)
    ((document,),) = store.execute("SELECT document FROM plan WHERE key = ?", (SERVICE.key,)).fetchall()
    assert json.loads(document)["servers"] == [
        {"address": "10.0.0.11", "port": 80},
        {"address": "10.0.0.12", "port": 80, "weight": 3, "enabled": False},
    ]
