"""A plan that an older release made is made anew by the first shell that opens the store."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from avi_shell.__main__ import main
from avi_shell.configuration.configuration import DATABASE, Configuration
from dataplane.plan import sqlite

from .conftest import Site


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A host whose group has a setting that older releases stored without effect."""
    with closing(Configuration.open(tmp_path)) as configuration:
        Site(configuration).save("serviceenginegroup", name="Default-Group", max_vs_per_se=5)
    return tmp_path


def common(state: Path) -> dict[str, Any]:
    """What the plan has for all engines."""
    with closing(sqlite3.connect(state / DATABASE)) as store:
        (found,) = store.execute("SELECT document FROM plan WHERE key = ?", (sqlite.COMMON,)).fetchone()
    return dict(json.loads(found))


def made_by_an_older_release(state: Path, *fields: str) -> None:
    """The plan lacks these fields of what it has for all engines."""
    told = {name: value for name, value in common(state).items() if name not in fields}
    with closing(sqlite3.connect(state / DATABASE)) as store:
        store.execute("UPDATE plan SET document = ? WHERE key = ?", (json.dumps(told), sqlite.COMMON))
        store.execute("PRAGMA application_id = 0")
        store.commit()


def history(state: Path) -> list[str]:
    with closing(Configuration.open(state)) as configuration:
        assert configuration.has_old_plan() is False
        return [commit.action for commit in configuration.history()]


def test_what_it_lacks_comes_in_a_commit_of_its_own(state: Path) -> None:
    before = common(state)
    assert before["redundancy"]
    made_by_an_older_release(state, "redundancy")
    for _ in range(2):
        assert main(["--state", str(state), "-c", "show version"]) == 0
        assert common(state) == before
        assert history(state) == ["update", "upgrade"]


def test_one_that_lacks_nothing_stays(state: Path) -> None:
    with closing(sqlite3.connect(state / DATABASE)) as store:
        store.execute("PRAGMA application_id = 0")
    assert main(["--state", str(state), "-c", "show version"]) == 0
    assert history(state) == ["update"]


def test_a_store_that_cannot_be_written_is_shown_all_the_same(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_an_older_release(state, "redundancy")
    for path in (state / DATABASE, state):
        path.chmod(0o500)
    before = common(state)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite, "write", full)
    assert main(["--state", str(state), "-c", "show version"]) == 0
    assert common(state) == before
