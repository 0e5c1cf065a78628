"""The record of every commit: what it holds, the configuration as it was, and the same commits applied elsewhere."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avi_shell.configuration import layout, transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.differences import apply, compare
from avi_shell.configuration.document import HIDDEN_STATE, Document, reference
from avi_shell.configuration.history import History
from avi_shell.configuration.record import Author, CommitRecord, Content, ObjectChange
from avi_shell.configuration.store import Store
from avi_shell.errors import InvalidObject, NotFound, Refused, ShellError
from dataplane.plan import sqlite
from grammar import schema
from tests.bench.commits import Work
from tests.examples import examples

from .addresses import address
from .conftest import Site
from .test_consistency import STEPS

FORMAT_1 = Path(__file__).with_name("format1.sql")
"""A store that commit 21765d0 wrote: 20 commits, three virtual services, two tenants, two clouds, an unknown kind."""


def rows(configuration: Configuration) -> dict[str, list[Any]]:
    """Every row of every table."""
    with configuration.snapshot() as store:
        run = store.connection.execute
        tables = [name for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {table: sorted(run(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables}


def exported(content: Content) -> dict[str, Any]:
    """A configuration as an export has it."""
    data: dict[str, Any] = {}
    for segment, objects in content.objects.items():
        if objects:
            data[schema.SEGMENTS[segment]] = [{k: v for k, v in one.items() if k != HIDDEN_STATE} for one in objects]
    return {**data, **content.foreign}


def export(configuration: Configuration) -> dict[str, Any]:
    data = transfer.export(configuration)
    del data["META"]
    return data


def replica(configuration: Configuration) -> Configuration:
    """Another store with the same identity and content."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with configuration.snapshot() as store:
        store.connection.backup(connection)
    return Configuration(Store(connection, "the replica"))


def walked(seed: int, steps: int) -> tuple[Configuration, list[dict[str, Any]], Configuration]:
    """A configuration after random steps, its exports after each commit, and a store to which each was applied."""
    random = Random(seed)
    configuration = Configuration.in_memory()
    other = replica(configuration)
    exports = [export(configuration)]
    for step in range(steps):
        try:
            if step % 7 == 6:
                data = {"Pool": [{"name": f"p{random.randint(1, 3)}", "description": str(step)}], "WafPolicy": [step]}
                transfer.import_(configuration, data)
            else:
                random.choice(STEPS)(Site(configuration), random)
        except ShellError:
            continue
        if configuration.version() == len(exports):
            exports.append(export(configuration))
            with configuration.snapshot() as store:
                told = json.dumps(store.commit_record(configuration.version()).to_json())
            other.apply(CommitRecord.from_json(json.loads(told)))
    return configuration, exports, other


@pytest.mark.parametrize("seed", range(3))
def test_the_configuration_after_every_commit_is_known_and_is_the_same_where_they_are_applied(seed: int) -> None:
    configuration, exports, other = walked(seed, 40)
    assert len(exports) > 10
    with configuration.snapshot() as store:
        for number, then in enumerate(exports):
            assert exported(store.at(number)) == then, number
            net = {(c.row, c.kind): (c.before, c.after) for c in store.since(number)}
            assert all(before != after for before, after in net.values())
            assert bool(net) == (store.at(number) != store.at(len(exports) - 1))
    assert rows(other) == rows(configuration)


@pytest.fixture(scope="module")
def changed() -> Configuration:
    """A configuration after random steps."""
    return walked(11, 60)[0]


@given(one=st.integers(0, 20), other=st.integers(0, 20))
@settings(max_examples=examples(20), suppress_health_check=list(HealthCheck), deadline=None)
def test_what_differs_between_two_configurations_leads_from_each_to_the_other(
    changed: Configuration, one: int, other: int
) -> None:
    with changed.snapshot() as store:
        before, after = content_of(store.at(one)), content_of(store.at(other))
        forward, backward = store.log.between(one, other), store.log.between(other, one)
    assert applied(before, forward) == after
    assert applied(after, backward) == before
    for change in forward:
        if change.row and change.before is not None and change.after is not None:
            kind = schema.kind(change.kind)
            found = compare(kind, change.before, change.after)
            assert apply(change.before, found) == change.after
            assert apply(change.after, found, backward=True) == change.before


def content_of(content: Content) -> dict[str, Any]:
    """A configuration's objects by uuid, and foreign kinds by name."""
    return {one["uuid"]: one for same in content.objects.values() for one in same} | dict(content.foreign)


def applied(found: dict[str, Any], changes: list[ObjectChange]) -> dict[str, Any]:
    """The configuration that has the changes."""
    made = dict(found)
    for change in changes:
        key = change.uuid if change.row else change.kind
        assert made.pop(key, None) == change.before
        if change.after is not None:
            made[key] = change.after
    return made


def test_the_history_takes_little_more_than_what_was_changed() -> None:
    done = Work(300)
    assert done.changed == done.count == 300
    assert 0 < done.room() <= 2 * done.objects


def test_a_commit_tells_who_made_it_and_each_object_before_and_after(site: Site) -> None:
    by = Author("admin", "alice as root", "/dev/pts/3", "setup.txt:7", "as asked for", "configure pool p1")
    site.configuration.save("pool", {"name": "p1"}, "admin", by)
    first = site.configuration.find("pool", "p1", "admin")
    assert first is not None
    site.configuration.save("pool", {**first, "name": "p2", "description": "x"}, "admin")
    second = site.configuration.find("pool", "p2", "admin")
    site.configuration.delete("pool", "p2", "admin")
    commit = site.configuration.history()[0]
    assert (commit.number, commit.user, commit.os_user, commit.terminal) == (1, "admin", "alice as root", "/dev/pts/3")
    assert (commit.origin, commit.comment, commit.line) == ("setup.txt:7", "as asked for", "configure pool p1")
    with site.configuration.snapshot() as store:
        found = [store.changes(number)[0] for number in (1, 2, 3)]
        assert [(c.kind, c.tenant, c.cloud, c.name) for c in found] == [
            ("pool", "admin", "Default-Cloud", name) for name in ("p1", "p2", "p2")
        ]
        assert [(c.before, c.after) for c in found] == [(None, first), (first, second), (second, None)]
        assert {c.uuid for c in found} == {first["uuid"]}
        assert len({c.row for c in found}) == 1
        assert [number for number, _ in store.log.of_object("pool", "p2", ["admin"], None, 9)[0]] == [1, 2, 3]
        assert store.since(0) == []
        assert [c.name for c in store.since(1)] == ["p1"]


def test_what_a_large_object_was_in_between_is_not_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 21):
        pool = site.configuration.find("pool", "p1", "admin") or {"name": "p1"}
        site.configuration.save("pool", {**pool, "description": str(number)}, "admin")
    read: list[int] = []

    def change(log: History, row: Any) -> ObjectChange:
        read.append(row[0])
        return real(log, row)

    real = History._change
    monkeypatch.setattr(History, "_change", change)
    with site.configuration.snapshot() as store:
        (net,) = store.log.between(3, 17)
        assert (net.before["description"], net.after["description"]) == ("3", "17")
        assert read == [4, 17]
        del read[:]
        found, objects = store.log.of_object("pool", "p1", ["admin"], None, 3)
        assert ([number for number, _ in found], objects) == ([18, 19, 20], 1)
        assert read == [18, 19, 20]


def test_a_row_is_never_used_again(site: Site) -> None:
    site.save("pool", name="p1")
    site.configuration.delete("pool", "p1", "admin")
    site.save("pool", name="p2")
    with site.configuration.snapshot() as store:
        assert len({store.changes(number)[0].row for number in (1, 3)}) == 2


def test_an_object_that_a_rename_takes_along_is_in_the_record(site: Site) -> None:
    site.dsr()
    pool = site.configuration.find("pool", "vs1-pool", "admin")
    assert pool is not None
    saved = site.configuration.save("pool", {**pool, "name": "other"}, "admin")
    with site.configuration.snapshot() as store:
        assert {(c.kind, c.name) for c in store.changes(saved.version)} == {
            ("pool", "other"),
            ("virtualservice", "vs1"),
        }


def test_the_history_is_bounded_by_commits_and_by_days(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.configuration.snapshot() as store:
        assert store.log.bounds() == (layout.HISTORY_COMMITS, layout.HISTORY_DAYS) == (10_000, 365)
    site.configuration.bound_history(3, 2)
    for number in range(5):
        site.save("pool", name=f"p{number}")
    with site.configuration.snapshot() as store:
        assert [commit.number for commit in store.history(100)] == [3, 4, 5]
        with pytest.raises(NotFound, match="after commit 1 is not known") as told:
            store.at(1)
        assert told.value.hint == "it is known after commits 2 to 5"
        assert [one["name"] for one in store.at(2).objects["pool"]] == ["p0", "p1"]
        with pytest.raises(NotFound, match="no commit 2"):
            store.changes(2)
    site.configuration.bound_history(100, 2)
    now = site.configuration.history()[-1].time
    monkeypatch.setattr("avi_shell.configuration.configuration.time.time", lambda: now + 3 * 86400)
    for number in range(19):
        site.save("pool", name="later", description=str(number))
    assert [commit.number for commit in site.configuration.history()] == list(range(3, 25))
    site.save("pool", name="later", description="the twentieth")
    assert [commit.number for commit in site.configuration.history()] == list(range(6, 26))
    assert min(row[0] for row in rows(site.configuration)["change"]) == 6
    with pytest.raises(Refused, match="at least 1"):
        site.configuration.bound_history(0, 2)


def test_a_clock_that_is_wrong_for_some_commits_costs_no_history(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    right = time.time()
    for number, wrong in enumerate((0, 0, 1e9, 1e9, 0, -1e9, -1e9, 0)):
        monkeypatch.setattr("avi_shell.configuration.configuration.time.time", lambda wrong=wrong: right + wrong)
        site.save("pool", name=f"p{number}")
    assert [commit.number for commit in site.configuration.history()] == list(range(1, 9))
    with site.configuration.snapshot() as store:
        assert store.at(0).objects["pool"] == []


def test_a_commit_that_does_not_follow_is_refused(site: Site) -> None:
    site.save("pool", name="p1")
    other = replica(site.configuration)
    site.save("pool", name="p1", description="x")
    with site.configuration.snapshot() as store:
        record = store.commit_record(2)
    with pytest.raises(Refused, match="does not follow commit 2"):
        site.configuration.apply(record)
    with pytest.raises(Refused, match="of another store"):
        Configuration.in_memory().apply(record)
    Site(other).save("pool", name="p2")
    with site.configuration.snapshot() as store:
        third = CommitRecord.from_json({**record.to_json(), "commit": {**record.to_json()["commit"], "number": 3}})
    other.apply(third)
    with pytest.raises(Refused, match="changes pool p1, which differs here"):
        other.apply(CommitRecord.from_json({**third.to_json(), "commit": {**third.to_json()["commit"], "number": 4}}))


WRONG = [
    (lambda data: data.update(format=1), "has format 1, this release reads 2"),
    (lambda data: data.update(epoch="1"), "epoch is '1'"),
    (lambda data: data["commit"].update(number=True), "commit.number is True"),
    (lambda data: data["commit"].pop("line"), "commit.line is None"),
    (lambda data: data["changes"].append(7), r"changes\[2\] is 7, not an object"),
    (lambda data: data["changes"][0].update(cloud=None), r"changes\[1\].cloud is None"),
    (lambda data: data["changes"][0].update(after={"name": "x"}), r"changes\[1\].before and after"),
    (lambda data: data["plan"].update(x=1), "plan.'x'. is 1, not an object or null"),
]


@pytest.mark.parametrize(("spoil", "told"), WRONG)
def test_a_record_of_another_form_is_refused_by_name(site: Site, spoil: Any, told: str) -> None:
    site.save("pool", name="p1")
    with site.configuration.snapshot() as store:
        data = json.loads(json.dumps(store.commit_record(1).to_json()))
    spoil(data)
    with pytest.raises(Refused, match=told):
        CommitRecord.from_json(data)


def format_1(folder: Path) -> sqlite3.Connection:
    """The store that an older release wrote, in a state folder."""
    folder.mkdir(mode=0o700)
    connection = sqlite3.connect(folder / "config.db")
    connection.executescript(FORMAT_1.read_text("utf-8"))
    (folder / "config.db").chmod(0o600)
    return connection


def test_a_store_of_format_1_is_brought_up_to_date_without_loss(tmp_path: Path) -> None:
    old = format_1(tmp_path / "state")
    objects = {id_: (*rest, json.loads(body)) for id_, *rest, body in old.execute("SELECT * FROM object")}
    history = old.execute("SELECT * FROM history").fetchall()
    planned = old.execute("SELECT * FROM plan").fetchall()
    links = old.execute("SELECT source, kind, tenant, name FROM link").fetchall()
    holdings = old.execute("SELECT * FROM holding").fetchall()
    old.close()
    configuration = Configuration.open(tmp_path / "state")
    assert configuration.damage() is None
    found = rows(configuration)
    after: dict[int, tuple[str, str, str, str, Document]] = {}
    for id_, kind, tenant, _, name, uuid, body in found["object"]:
        after[id_] = kind, tenant, name, uuid, json.loads(body)
    linux = after[next(id_ for id_, (_, _, name, *_) in objects.items() if name == "vs2")][4]
    for field, kind, name in (
        ("pool_ref", "pool", "p2"),
        ("vsvip_ref", "vsvip", "v2"),
        ("se_group_ref", "serviceenginegroup", "on-linux"),
        ("vrf_context_ref", "vrfcontext", "blue"),
    ):
        assert linux[field] == reference(kind, name, cloud="linux")
        linux[field] = reference(kind, name)
    assert after == objects
    clouds = {(kind, name): cloud for _, kind, _, cloud, name, *_ in found["object"]}
    assert (clouds["pool", "p2"], clouds["pool", "p1"], clouds["cloud", "linux"]) == ("linux", "Default-Cloud", "")
    assert sorted(row[:3] + row[4:] for row in found["link"]) == sorted(links)
    assert {row[3] for row in found["link"] if row[4] in ("p2", "v2", "on-linux", "blue")} == {"linux"}
    held = {row[1:] for row in found["holding"]} ^ {row[1:] for row in holdings}
    gone = {("vip", "10.1.1.101"), ("vip", "10.1.1.102"), ("server", "10.1.1.20"), ("server", "10.1.1.30")}
    assert held == {("pool", "p2"), ("pool", "p3")} | gone  # those of another VRF context, and without traffic
    now: dict[str, Any] = {key: json.loads(text) if text else None for key, _, text in found["plan"]}
    assert now.pop("")["drivers"] == {"Default-Group": 0, "on-linux@linux": 0}
    live = {key: json.loads(text) for key, _, text in planned}["10.1.1.100/tcp/80-80"]
    assert now == {"10.1.1.100/tcp/80-80": live, "10.1.1.101/udp/53-53": None, "10.1.1.102/tcp/80-80": None}
    assert [
        (c.number, c.time, c.user, c.tenant, c.action, c.kind, c.name, c.line) for c in configuration.history()
    ] == (history)
    assert not any(commit.content for commit in configuration.history())
    with configuration.snapshot() as store:
        assert store.foreign() == {"WafPolicy": [{"name": "w1", "rules": [1, 2]}]}
        assert store.identity()[0]
        with pytest.raises(NotFound, match="an older release made it"):
            store.changes(20)
        with pytest.raises(NotFound, match="after commit 19 is not known"):
            store.at(19)
        before = exported(store.at(20))
    configuration.save("pool", {"name": "new"}, "admin")
    with configuration.snapshot() as store:
        assert exported(store.at(20)) == before
        assert [c.name for c in store.changes(21)] == ["new"]
    configuration.close()
    again = Configuration.open(tmp_path / "state")
    assert rows(again)["store"] == found["store"]
    again.close()


def test_what_objects_of_a_store_of_format_1_hold_is_nobody_elses(tmp_path: Path) -> None:
    with format_1(tmp_path / "state") as old:
        id_, text = old.execute("SELECT id, body FROM object WHERE kind = 'vrfcontext' AND name = 'global'").fetchone()
        body = json.dumps({**json.loads(text), "gateway_mon": [{"gateway_ip": address("10.1.1.77")}]})
        old.execute("UPDATE object SET body = ? WHERE id = ?", (body, id_))
        old.execute("INSERT INTO holding (source, role, value) VALUES (?, 'gateway', '10.1.1.77')", (id_,))
    old.close()
    with closing(Configuration.open(tmp_path / "state")) as configuration:
        service = configuration.find("virtualservice", "vs1", "admin")
        assert service is not None
        vip = configuration.referenced(service["vsvip_ref"])
        assert vip is not None
        with pytest.raises(InvalidObject, match="10.1.1.77 is a VIP of VirtualService vs1 and a gateway in VrfContext"):
            configuration.save("vsvip", {**vip, "vip": [{"ip_address": address("10.1.1.77")}]}, "admin")


def test_an_upgrade_that_fails_leaves_the_old_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    format_1(tmp_path / "state").close()

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("avi_shell.configuration.layout._claims", full)
    with pytest.raises(ShellError, match="disk is full"):
        Configuration.open(tmp_path / "state")
    kept = sqlite3.connect(tmp_path / "state" / "config.db")
    assert kept.execute("PRAGMA user_version").fetchone() == (1,)
    assert kept.execute("SELECT count(*) FROM history").fetchone() == (20,)
    kept.close()


def test_the_plan_of_a_store_of_format_1_is_read_as_it_is(tmp_path: Path) -> None:
    old = format_1(tmp_path / "state")
    assert sqlite.identity(old) == ("", 0)
    assert len(sqlite.read(old).services) == 3
    old.close()
