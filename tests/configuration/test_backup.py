"""Backup and restore: the whole store, and an epoch that engines tell from the one before."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from avi_shell.__main__ import main
from avi_shell.configuration import backup, transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.record import Author
from avi_shell.errors import Refused, StoreError

from .conftest import Site
from .test_history import format_1, rows

BY = Author(line="restore it")


def opened(state: Path) -> Configuration:
    return Configuration.open(state)


def mark(state: Path) -> tuple[str, int]:
    with closing(opened(state)) as configuration, configuration.snapshot() as store:
        return store.identity()


def test_a_restore_is_the_backup_and_another_epoch(site: Site, tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "kept.db"
    site.dsr()
    kept, before = rows(site.configuration), mark(state)
    backup.save(state, file)  # what was committed is in the log beside the database: a shell is open
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    site.save("pool", name="later")
    site.configuration.delete("virtualservice", "vs1", "admin")
    last = site.configuration.version()
    assert backup.restore(state, file, BY) == 5
    found = rows(site.configuration)  # the shell that was open sees it
    assert found.pop("store") == [(before[0], before[1] + 1)]
    assert [row[0] for row in found.pop("history")] == [1, 2, 3, 4, 5]
    assert [row[0] for row in found.pop("outbox")] == [5], "what the backup held was told where it was made"
    for table in kept.keys() - {"store", "history", "outbox"}:
        assert found[table] == kept[table], table
    commit = site.configuration.history(1)[0]
    assert (commit.action, commit.line, commit.number) == ("restore", "restore it", 5)
    assert last > commit.number
    assert site.configuration.damage() is None
    site.save("pool", name="goes on")
    with site.configuration.snapshot() as store:
        assert [change.name for change in store.since(4)] == ["goes on"]
    backup.restore(state, file, BY)
    assert mark(state) == (before[0], before[1] + 2)


def test_a_restore_makes_a_store_and_takes_the_place_of_another(site: Site, tmp_path: Path) -> None:
    file, other = tmp_path / "kept.db", tmp_path / "other"
    site.dsr()
    backup.save(tmp_path / "state", file)
    backup.restore(tmp_path / "new", file, BY)
    identity, epoch = mark(tmp_path / "state")
    with closing(opened(other)) as configuration:
        configuration.save("pool", {"name": "mine"}, "admin")
    assert mark(other)[0] != identity
    backup.restore(other, file, BY)
    for state in (tmp_path / "new", other):
        assert mark(state) == (identity, epoch + 1)
        with closing(opened(state)) as configuration:
            assert transfer.export(configuration) == transfer.export(site.configuration)


def test_a_copy_of_the_file_without_its_log_beside_it_is_whole_once_no_shell_runs(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with closing(opened(state)) as configuration:
        Site(configuration).dsr()
        kept = transfer.export(configuration)
    assert [path.name for path in state.iterdir()] == ["config.db"]
    (tmp_path / "copy.db").write_bytes((state / "config.db").read_bytes())
    backup.restore(tmp_path / "new", tmp_path / "copy.db", BY)
    with closing(opened(tmp_path / "new")) as configuration:
        assert transfer.export(configuration) == kept


def test_a_backup_of_an_older_release_is_brought_up_to_date(tmp_path: Path) -> None:
    format_1(tmp_path / "old").close()
    backup.save(tmp_path / "old", tmp_path / "kept.db")
    with closing(sqlite3.connect(tmp_path / "old" / "config.db")) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)  # a backup changes nothing
    assert backup.restore(tmp_path / "new", tmp_path / "kept.db", BY) == 21
    with closing(opened(tmp_path / "new")) as configuration:
        assert configuration.find("virtualservice", "vs1", "admin") is not None


@pytest.mark.parametrize("damage", [b"this is no database, and long enough to be seen as such" * 50, b""])
def test_a_store_that_is_none_any_more_is_replaced(site: Site, tmp_path: Path, damage: bytes) -> None:
    site.dsr()
    file, state = tmp_path / "kept.db", tmp_path / "broken"
    backup.save(tmp_path / "state", file)
    identity, epoch = mark(tmp_path / "state")
    backup.restore(state, file, BY)
    (state / "config.db").write_bytes(damage)
    backup.restore(state, file, BY)
    found = mark(state)
    assert found[0] == identity
    assert found[1] > epoch
    assert stat.S_IMODE((state / "config.db").stat().st_mode) == 0o600


def test_what_is_no_sound_backup_is_refused_and_changes_nothing(site: Site, tmp_path: Path) -> None:
    site.dsr()
    state, file = tmp_path / "state", tmp_path / "kept.db"
    kept = rows(site.configuration)
    refused = {"it is a directory": tmp_path, "No such file": tmp_path / "none"}
    for number, data in enumerate((b"no database" * 100, b"", b"SQLite format 3\0" + bytes(5000))):
        (tmp_path / f"bad{number}").write_bytes(data)
        refused[f"bad{number} is no backup of a store"] = tmp_path / f"bad{number}"
    backup.save(state, file)
    with closing(sqlite3.connect(file)) as changed, changed:
        changed.execute("UPDATE object SET body = '{' WHERE name = 'vs1'")
    refused["kept.db is damaged: virtualservice vs1 is no JSON"] = file
    refused["is the store itself"] = state / "config.db"
    for what, source in refused.items():
        with pytest.raises(Refused, match=what):
            backup.restore(state, source, BY)
    with pytest.raises(Refused, match="is the store itself"):
        backup.save(state, state / "config.db")
    with pytest.raises(Refused, match="No such file"):
        backup.save(state, tmp_path / "none" / "kept.db")
    with pytest.raises(StoreError, match="there is no store"):
        backup.save(tmp_path / "nowhere", tmp_path / "x.db")
    assert rows(site.configuration) == kept
    assert not (tmp_path / "nowhere").exists()


def test_the_command_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, file = str(tmp_path / "state"), str(tmp_path / "kept.db")
    assert main(["--state", state, "-c", "configure pool p1", "-c", "save"]) == 0
    capsys.readouterr()
    assert main(["--state", state, "backup", file]) == 0
    assert main(["restore", file, "--state", state]) == 0
    assert main([f"--state={state}", "history", "--commits", "5"]) == 0
    assert capsys.readouterr().out == (
        f"Successfully wrote the store to {file}.\n"
        f"Successfully restored the store from {file}; it is commit 2.\n"
        "At most 5 commits of the last 365 days are remembered.\n"
    )
    assert main(["history", "--days", "0", "--state", state]) == 1
    assert main(["backup", file, "--state", str(tmp_path / "nowhere")]) == 4
    error = capsys.readouterr().err
    assert "at least 1 commit of at least 1 day" in error
    assert "there is no store; --state names the state folder" in error
