"""One transaction a commit; several processes at once; what is on the disk."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from avi_shell.configuration import backup
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import reference
from avi_shell.configuration.store import FORMAT
from avi_shell.errors import InvalidObject, NotFound, Refused, StoreError
from dataplane import plan
from dataplane.plan import sqlite
from grammar import schema

from .addresses import address
from .conftest import Site

WRITER = (sys.executable, "-m", "tests.configuration.writer")


def content(state: Path) -> list[list[tuple[object, ...]]]:
    """Every row of every table."""
    connection = sqlite3.connect(state / "config.db")
    tables = [
        name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    ]
    rows = [sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables]
    connection.close()
    return rows


def planned(state: Path) -> plan.Plan:
    connection = sqlite3.connect(state / "config.db")
    try:
        return sqlite.read(connection)
    finally:
        connection.close()


def test_folder_and_files_are_the_operators_alone(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    configuration = Configuration.open(state)
    configuration.save("pool", {"name": "p1"}, "admin")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [state, *state.iterdir()]}
    configuration.close()
    assert modes.pop("state") == 0o700
    assert {"config.db", "config.db-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_a_fresh_store_has_the_default_objects_and_no_history(site: Site) -> None:
    assert site.configuration.version() == 0
    assert site.configuration.history() == []
    assert "System-TCP-Fast-Path" in site.configuration.names("networkprofile", "admin")
    admin = site.configuration.find("tenant", "admin", "admin")
    assert admin is not None
    assert admin["uuid"] == "admin"


def test_a_commit_is_configuration_history_and_plan(site: Site, tmp_path: Path) -> None:
    saved = site.dsr()
    assert (saved.created, saved.changed, saved.needs_engine, saved.notices) == (True, True, True, ())
    assert saved.version == site.configuration.version() == planned(tmp_path / "state").version
    last = site.configuration.history(1)[0]
    assert (last.number, last.user, last.tenant, last.action) == (saved.version, "admin", "admin", "create")
    assert (last.kind, last.name) == ("virtualservice", "vs1")


def test_a_refused_save_stores_nothing(site: Site, tmp_path: Path) -> None:
    site.dsr()
    before = content(tmp_path / "state")
    with pytest.raises(InvalidObject):
        site.save("pool", name="vs1-pool", lb_algorithm="LB_ALGORITHM_ROUND_ROBIN")
    assert content(tmp_path / "state") == before


def test_a_step_that_fails_late_stores_nothing(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(tmp_path / "state")

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("avi_shell.configuration.store.Store.record", full)
    with pytest.raises(StoreError, match="disk is full"):
        site.save("pool", name="p1")
    assert content(tmp_path / "state") == before


def test_saving_what_is_stored_is_no_commit(site: Site) -> None:
    first = site.save("pool", name="p1")
    again = site.save("pool", name="p1")
    assert (again.changed, again.version, again.document) == (False, first.version, first.document)


def test_somebody_elses_change_is_not_overwritten(site: Site, tmp_path: Path) -> None:
    site.save("pool", name="p1")
    opened = site.configuration.find("pool", "p1", "admin")
    assert opened is not None
    other = Configuration.open(tmp_path / "state")
    theirs = other.find("pool", "p1", "admin")
    assert theirs is not None
    other.save("pool", {**theirs, "description": "theirs"}, "admin")
    other.close()
    with pytest.raises(Refused, match="changed by somebody else"):
        site.configuration.save("pool", {**opened, "description": "mine"}, "admin")
    with pytest.raises(Refused, match="created by somebody else"):
        site.configuration.save("pool", {"name": "p1"}, "admin")
    site.configuration.delete("pool", "p1", "admin")
    with pytest.raises(Refused, match="deleted by somebody else"):
        site.configuration.save("pool", opened, "admin")


def test_deleting(site: Site) -> None:
    site.dsr()
    with pytest.raises(Refused, match=r"^Cannot delete, object is referred by: \['VirtualService vs1'\]$"):
        site.configuration.delete("pool", "vs1-pool", "admin")
    with pytest.raises(NotFound):
        site.configuration.delete("pool", "nobody", "admin")
    with pytest.raises(Refused, match="system default"):
        site.configuration.delete("networkprofile", "System-TCP-Proxy", "admin")
    site.configuration.delete("virtualservice", "vs1", "admin")
    version = site.configuration.delete("pool", "vs1-pool", "admin")
    assert site.configuration.find("pool", "vs1-pool", "admin") is None
    assert site.configuration.history(1)[0].action == "delete"
    assert version == site.configuration.version()


def test_renaming_takes_the_references_along(site: Site, tmp_path: Path) -> None:
    site.dsr()
    pool = site.configuration.find("pool", "vs1-pool", "admin")
    assert pool is not None
    site.configuration.save("pool", {**pool, "name": "web servers & more"}, "admin")
    service = site.configuration.find("virtualservice", "vs1", "admin")
    assert service is not None
    assert service["pool_ref"] == reference("pool", "web servers & more")
    assert planned(tmp_path / "state").services["10.0.0.100/tcp/80-80"].pool == "web servers & more"  # type: ignore[union-attr]
    profile = site.configuration.find("networkprofile", "System-TCP-Proxy", "admin")
    assert profile is not None
    with pytest.raises(Refused, match="cannot be renamed"):
        site.configuration.save("networkprofile", {**profile, "name": "mine"}, "admin")
    site.save("pool", name="p2")
    pool = site.configuration.find("pool", "p2", "admin")
    assert pool is not None
    with pytest.raises(InvalidObject, match="another Pool"):
        site.configuration.save("pool", {**pool, "name": "web servers & more"}, "admin")


def test_tenants_see_their_own_and_admins(site: Site) -> None:
    site.save("tenant", name="t1")
    site.save("tenant", name="t2")
    site.save("pool", name="shared")
    site.configuration.save("pool", {"name": "own", "health_monitor_refs": []}, "t1")
    site.configuration.save("pool", {"name": "shared"}, "t2")
    assert site.configuration.names("pool", "t1") == ["own", "shared"]
    assert site.configuration.names("pool", "t2") == ["shared"]
    assert site.configuration.names("pool", "*") == ["own", "shared"]
    assert len(site.configuration.all("pool", "*")) == 3
    own = site.configuration.find("pool", "shared", "t2")
    assert own is not None
    assert own["tenant_ref"] == "/api/tenant/?name=t2"
    with pytest.raises(Refused, match="belongs to tenant admin"):
        site.configuration.delete("pool", "shared", "t1")
    with pytest.raises(Refused, match="belongs to tenant admin"):
        site.configuration.save("pool", {**site.configuration.find("pool", "shared", "t1"), "description": "x"}, "t1")  # type: ignore[dict-item]
    with pytest.raises(InvalidObject, match="of tenant t2"):
        site.configuration.save("virtualservice", {"name": "v", "pool_ref": reference("pool", "shared", "t2")}, "t1")
    with pytest.raises(InvalidObject, match="tenant t9, which does not exist"):
        site.configuration.save("pool", {"name": "x"}, "t9")
    with pytest.raises(Refused, match="Pool own"):
        site.configuration.delete("tenant", "t1", "admin")


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    Configuration.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "config.db")
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    with pytest.raises(StoreError, match=f"format {FORMAT + 1}"):
        Configuration.open(tmp_path)


@pytest.mark.parametrize("text", [b"this is no database, and long enough to be seen as such" * 50])
def test_something_else_is_no_store(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.db").write_bytes(text)
    with pytest.raises(StoreError, match=r"config\.db"):
        Configuration.open(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Configuration.open(tmp_path / "file" / "state")


def test_two_processes_save_at_once_on_a_fresh_store(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([*WRITER, tmp_path / "s", name, "50"], stdout=subprocess.PIPE) for name in ("a", "b", "c")
    ]
    for writer in writers:
        writer.communicate(timeout=120)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    configuration = Configuration.open(tmp_path / "s")
    assert len(configuration.names("pool", "admin")) == 150
    assert [commit.number for commit in configuration.history(1000)] == list(range(1, 151))
    configuration.close()


def test_a_killed_process_leaves_whole_commits(tmp_path: Path) -> None:
    writer = subprocess.Popen([*WRITER, tmp_path / "s", "a", "100000"], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    seen = -1
    while seen < 40:
        seen = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    rest = [int(line) for line in writer.communicate()[0].split()]
    told = rest[-1] if rest else seen
    configuration = Configuration.open(tmp_path / "s")
    stored = len(configuration.names("pool", "admin"))
    assert stored >= told + 1  # what was reported is there
    assert configuration.version() == stored  # and nothing is there by half
    configuration.save("pool", {"name": "afterwards"}, "admin")
    configuration.close()


def steps_of(site: Site, work: Callable[[], object]) -> int:
    """Tens of instructions of SQLite's that some work takes."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    connection = site.configuration._store.connection
    connection.set_progress_handler(count, 10)
    work()
    connection.set_progress_handler(None, 0)
    return counted


def test_a_commit_costs_the_same_however_much_is_stored(site: Site) -> None:
    """Counts SQLite's rows instead of seconds: a commit among 2,000 pools touches as few as among none."""

    def steps() -> int:
        name = f"measured-{time.monotonic_ns()}"
        return steps_of(site, lambda: site.save("pool", name=name, servers=[{"ip": address("10.9.9.9")}]))

    alone = steps()
    with site.configuration.bulk("import") as (_, made):
        for number in range(2000):
            made.put(schema.kind("pool"), {"name": f"p{number}"}, "admin", None)
        made.finish()
    assert steps() < alone * 3


def test_names_that_begin_alike_are_bounded(site: Site) -> None:
    """As a model in Python over all names; a name of two tenants is there once."""
    configuration = site.configuration
    configuration.save("tenant", {"name": "t1"}, "admin")
    with configuration.bulk("import") as (_, made):
        for number in range(300):
            made.put(schema.kind("pool"), {"name": f"web-{number:03}"}, "admin", None)
        made.put(schema.kind("pool"), {"name": "web-000"}, "t1", None)
        made.put(schema.kind("pool"), {"name": "über"}, "t1", None)
        made.finish()
    for tenant in ("admin", "t1", "*"):
        every = configuration.names("pool", tenant)
        for beginning in ("", "web", "web-1", "web-29", "web-299", "ü", "x"):
            model = [name for name in every if name.startswith(beginning)]
            found, more = configuration.names_beginning("pool", tenant, beginning=beginning, most=100)
            assert more == (len(model) > 101)
            assert found == ([*model[:100], model[-1]] if more else model)


def test_many_names_take_no_longer_to_offer_than_some(site: Site) -> None:
    def steps() -> int:
        names = site.configuration.names_beginning
        return steps_of(site, lambda: names("pool", "admin", "Default-Cloud", beginning="", most=100))

    def make(first: int, last: int) -> None:
        with site.configuration.bulk("import") as (_, made):
            for number in range(first, last):
                made.put(schema.kind("pool"), {"name": f"p{number}"}, "admin", None)
            made.finish()

    make(0, 120)
    some = steps()
    make(120, 3000)
    assert steps() < some * 1.5


@pytest.mark.parametrize("taken", ["replaced", "removed"])
def test_nothing_is_committed_to_a_file_that_is_the_store_no_more(tmp_path: Path, taken: str) -> None:
    place, other = tmp_path / "config.db", tmp_path / "other.db"
    configuration = Configuration.open(tmp_path)
    configuration.save("pool", {"name": "p1"}, "admin")
    backup.save(tmp_path, other)
    if taken == "replaced":
        other.replace(place)
    else:
        place.unlink()
    with pytest.raises(StoreError, match="config.db: it was replaced or removed since") as refused:
        configuration.save("pool", {"name": "p2"}, "admin")
    assert "start it again" in refused.value.hint
    assert (configuration.version(), configuration.names("pool", "admin")) == (1, ["p1"])
    configuration.close()
