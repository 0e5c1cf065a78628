"""Commits that wait to be confirmed: kept where somebody says so, undone once where nobody does."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avi_shell.configuration import backup, confirming, transfer, undo
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.confirming import Undone
from avi_shell.configuration.document import HIDDEN_STATE, reference
from avi_shell.configuration.record import Author
from avi_shell.configuration.store import Store
from avi_shell.errors import Refused, ShellError
from dataplane.plan import unconfirmed
from dataplane.plan.unconfirmed import Unconfirmed, Watch
from tests.examples import examples

from .addresses import address
from .conftest import Site
from .test_consistency import services_of
from .test_history import rows
from .test_undo import MORE, fresh, look

MINUTE = Author(confirm=60.0)


def save(site: Site, kind: str, by: Author = MINUTE, **fields: object) -> None:
    stored = site.configuration.find(kind, str(fields["name"]), "admin") or {}
    site.configuration.save(kind, {**stored, **fields}, "admin", by)


def waits(site: Site) -> Unconfirmed:
    found = confirming.waiting(site.configuration)
    assert found is not None
    return found


def time_over(site: Site) -> Undone | None:
    return confirming.undo_over(site.configuration, waits(site).deadline)


def test_what_nobody_confirms_is_undone_in_one_commit(site: Site) -> None:
    site.save("pool", name="p1", description="a")
    before = look(site.configuration)
    save(site, "pool", name="p1", description="b")
    assert waits(site).commits == (2,)
    assert time_over(site) == Undone((2,), 1, 3)
    assert look(site.configuration) == before
    commit = site.configuration.history()[-1]
    assert (commit.number, commit.action, commit.comment) == (3, "rollback", "not confirmed: back to 1")
    assert confirming.waiting(site.configuration) is None


def test_what_is_confirmed_stays(site: Site) -> None:
    save(site, "pool", name="p1")
    deadline = waits(site).deadline
    kept, commit = confirming.confirm(site.configuration)
    assert (kept.commits, commit) == ((1,), 0), "alone it is no commit"
    before = rows(site.configuration)
    assert confirming.undo_over(site.configuration, deadline) is None
    assert rows(site.configuration) == before
    with pytest.raises(Refused, match="nothing waits to be confirmed"):
        confirming.confirm(site.configuration)


def test_another_time_counts_for_all_that_waits_and_goes_back_before_the_first(site: Site) -> None:
    site.save("pool", name="p1", description="a")
    before = look(site.configuration)
    save(site, "pool", name="p1", description="b")
    first = waits(site)
    save(site, "pool", Author(confirm=600.0), name="p1", description="c")
    second = waits(site)
    assert second.commits == (2, 3)
    assert 500 < second.deadline - first.deadline < 600
    assert confirming.undo_over(site.configuration, first.deadline) is None
    confirming.extend(site.configuration, 900.0)
    third = waits(site)
    assert (third.commits, third.seconds) == ((2, 3), 900.0)
    assert third.deadline > second.deadline + 200
    assert time_over(site) == Undone((2, 3), 1, 4)
    assert look(site.configuration) == before


def test_of_several_who_find_the_time_over_one_undoes(tmp_path: Path) -> None:
    opened = [Configuration.open(tmp_path / "state") for _ in range(2)]
    save(Site(opened[0]), "pool", name="p1")
    deadline = waits(Site(opened[0])).deadline
    assert [confirming.undo_over(one, deadline) for one in opened] == [Undone((1,), 0, 2), None]
    assert [one.version() for one in opened] == [2, 2]
    for one in opened:
        one.close()


def test_commits_of_others_about_other_objects_stay(site: Site) -> None:
    site.save("pool", name="p1", description="a")
    save(site, "pool", name="p1", description="b")
    site.save("pool", name="p2")
    save(site, "pool", name="p3")
    site.save("pool", name="p2", description="later")
    assert time_over(site) == Undone((2, 4), 1, 6, kept=(3, 5))
    pools = [(p["name"], p.get("description")) for p in site.configuration.all("pool", "admin")]
    assert pools == [("p1", "a"), ("p2", "later")]
    assert site.configuration.history()[-1].comment == "not confirmed: back to 1, but for 3, 5"


def test_commits_of_others_about_the_same_objects_are_undone_with_them(site: Site) -> None:
    site.save("pool", name="p1", description="a")
    before = look(site.configuration)
    save(site, "pool", name="p1", description="b")
    site.save("pool", name="p2")
    site.save("pool", name="p1", enabled=False)
    assert time_over(site) == Undone((2,), 1, 5, lost=(3, 4))
    assert look(site.configuration) == before
    undo.back(site.configuration, 4)
    assert site.configuration.find("pool", "p2", "admin")


def test_commits_of_others_that_need_them_are_undone_with_them(site: Site) -> None:
    site.dsr()
    before, there = look(site.configuration), site.configuration.version()
    save(site, "vsvip", name="v2", vip=[{"ip_address": address("10.0.0.7")}])
    site.save("virtualservice", name="vs1", vsvip_ref=reference("vsvip", "v2"))
    assert time_over(site) == Undone((there + 1,), there, there + 3, lost=(there + 2,))
    assert look(site.configuration) == before


def test_a_name_that_another_has_by_now_is_free_again_when_both_are_undone(site: Site) -> None:
    site.save("pool", name="p1")
    before = look(site.configuration)
    stored = site.configuration.find("pool", "p1", "admin")
    assert stored is not None
    site.configuration.save("pool", {**stored, "name": "p2"}, "admin", MINUTE)
    site.save("pool", name="p1")
    assert time_over(site) == Undone((2,), 1, 4, lost=(3,))
    assert look(site.configuration) == before


@settings(max_examples=examples(20), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.sampled_from(MORE), st.booleans()), min_size=2, max_size=8),
    st.randoms(use_true_random=False),
)
def test_whatever_waits_among_whatever_others_did_is_undone_alone_or_with_all_since(
    steps: list[tuple[Callable[[Site, Random], None], bool]], random: Random
) -> None:
    site = Site(fresh())
    configuration = site.configuration
    states = {configuration.version(): bodies(configuration)}
    for step, waiting in steps:
        with contextlib.suppress(ShellError):
            step(site, random)
        if (number := configuration.version()) not in states:
            made = range(max(states) + 1, number + 1)
            states[number] = bodies(configuration)
            if waiting:
                with configuration.transaction() as store:
                    unconfirmed.add(store.connection, made, 60.0)
    found, last = confirming.waiting(configuration), configuration.version()
    if found is None:
        return
    with configuration.snapshot() as store:
        own = {change.row for number in found.commits for change in store.changes(number)}
    done = time_over(site)
    assert done is not None
    assert (done.before, done.fault) == (found.before, "")
    assert {*done.kept, *done.lost, *found.commits} == set(range(found.before + 1, last + 1))
    before, after, now = states[found.before], states[last], bodies(configuration)
    if done.kept:
        assert now == {row: b for row, b in after.items() if row not in own} | {
            row: b for row, b in before.items() if row in own
        }
    else:
        assert now == before
    assert configuration.damage() is None
    again = Configuration.in_memory()
    transfer.import_(again, transfer.export(configuration), keep_uuid=True)
    assert services_of(again) == services_of(configuration)


def bodies(configuration: Configuration) -> dict[int, str]:
    """Every object by its row, without the time of its last change."""
    return {row[0]: re.sub(rf'"{HIDDEN_STATE}":"[0-9]*"', "", row[-1]) for row in rows(configuration)["object"]}


def test_what_others_undid_already_needs_no_commit(site: Site) -> None:
    save(site, "pool", name="p1")
    site.configuration.delete("pool", "p1", "admin")
    assert time_over(site) == Undone((1,), 0, 2, lost=(2,))
    assert site.configuration.version() == 2
    assert confirming.waiting(site.configuration) is None


def test_what_cannot_be_undone_says_why_and_is_not_tried_again() -> None:
    own: set[str] = set()
    configuration = Configuration(Store.in_memory(), lambda: own)
    site = Site(configuration)
    site.dsr(vip="10.0.0.100")
    save(site, "vsvip", name="vs1-vip", vip=[{"ip_address": address("10.0.0.101")}])
    own.add("10.0.0.100")
    version, deadline = configuration.version(), waits(site).deadline
    done = time_over(site)
    assert done is not None
    assert "10.0.0.100 is an address of a running service engine" in done.fault
    assert (configuration.version(), waits(site).fault) == (version, done.fault)
    assert not Watch().over(waits(site))
    own.clear()
    assert confirming.undo_over(configuration, deadline) is None
    confirming.extend(configuration, 60.0)
    assert waits(site).fault == ""
    assert time_over(site) is not None
    assert configuration.version() == version + 1


def test_a_rollback_to_before_them_leaves_nothing_to_undo(site: Site) -> None:
    save(site, "pool", name="p1")
    save(site, "pool", name="p2")
    undo.back(site.configuration, 1)
    assert waits(site).commits == (1, 2)
    undo.back(site.configuration, 0, MINUTE)
    assert waits(site).commits == (1, 2, 4)
    undo.back(site.configuration, 2)
    undo.back(site.configuration, 0)
    assert confirming.waiting(site.configuration) is None


def test_the_history_remembers_what_they_go_back_to(site: Site) -> None:
    site.configuration.bound_history(2, 1)
    site.save("pool", name="p1", description="a")
    save(site, "pool", name="p1", description="b")
    for number in range(5):
        site.save("pool", name="p2", description=str(number))
    assert time_over(site) == Undone((2,), 1, 8, kept=(3, 4, 5, 6, 7))
    assert [commit.number for commit in site.configuration.history()] == [7, 8]


def test_nothing_waits_in_a_store_that_was_restored(site: Site, tmp_path: Path) -> None:
    save(site, "pool", name="p1")
    backup.save(tmp_path / "state", tmp_path / "copy")
    backup.restore(tmp_path / "other", tmp_path / "copy", Author())
    with closing(Configuration.open(tmp_path / "other")) as other:
        assert confirming.waiting(other) is None
        assert other.find("pool", "p1", "admin")
    assert waits(site).commits == (1,)


def test_nothing_waits_in_a_backup_that_is_moved_into_place(site: Site, tmp_path: Path) -> None:
    save(site, "pool", name="p1")
    with site.configuration.snapshot() as store, closing(sqlite3.connect(tmp_path / "copied")) as copied:
        store.connection.backup(copied)  # a copy of the file has all that is in it
    backup.save(tmp_path / "state", tmp_path / "copy")
    (tmp_path / "moved").mkdir(mode=0o700)
    (tmp_path / "copy").replace(tmp_path / "moved" / "config.db")
    assert backup.restore(tmp_path / "restored", tmp_path / "copied", Author()) == 2
    for place, lines in (("moved", []), ("restored", [2])):
        with closing(Configuration.open(tmp_path / place)) as other, other.snapshot() as store:
            assert confirming.waiting(other) is None
            assert [number for number, _ in store.outbox.waiting()] == lines
            assert other.find("pool", "p1", "admin")
    assert waits(site).commits == (1,)


def test_a_commit_that_was_refused_does_not_wait(site: Site) -> None:
    with pytest.raises(Refused):
        site.configuration.delete("cloud", "Default-Cloud", "admin", MINUTE)
    assert confirming.waiting(site.configuration) is None


def test_the_time_is_that_of_the_clock_until_a_process_sees_it_and_then_that_which_went_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day, gone = [1e9], [100.0]
    monkeypatch.setattr(time, "time", lambda: day[0])
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: gone[0])
    one = Unconfirmed((3,), 1e9 + 60, 60.0, "")
    watch = Watch()
    assert not watch.over(one)
    day[0] += 3600  # the clock is set
    gone[0] += 59
    assert not watch.over(one)
    assert Watch().over(one)  # who comes later has no other clock
    gone[0] += 1
    assert watch.over(one)
    day[0] -= 7200
    late = Watch()
    assert not late.over(one)
    gone[0] += 60  # never more than there was to begin with
    assert late.over(one)
    assert not late.over(Unconfirmed((3,), 1e9 + 120, 600.0, ""))
    assert not late.over(None)


def test_a_row_that_this_product_did_not_write_is_named(site: Site, tmp_path: Path) -> None:
    assert site.configuration.damage() is None
    with sqlite3.connect(tmp_path / "state" / "config.db") as connection:
        connection.execute("INSERT INTO unconfirmed VALUES (1, 'soon', 60.0, '')")
    connection.close()
    assert confirming.waiting(site.configuration) is None
    assert "what waits to be confirmed" in str(site.configuration.damage())
