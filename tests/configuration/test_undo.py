"""An earlier configuration comes back whole, whatever happened since, and is checked like any other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avi_shell.configuration import transfer, undo
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import HIDDEN_STATE, reference
from avi_shell.configuration.record import Author
from avi_shell.configuration.store import Store
from avi_shell.errors import NotFound, Refused, ShellError
from tests.examples import examples

from .addresses import address
from .conftest import Site, tcp_profile
from .strategies import documents
from .test_consistency import HASH, STEPS, services_of
from .test_history import export, rows


class Seen(NamedTuple):
    """All that a configuration is, as it was after a commit."""

    export: dict[str, Any]
    plan: dict[str, Any]
    common: Any
    objects: list[tuple[Any, ...]]  # rows, names and uuids
    derived: list[list[Any]]  # links, holdings, claims


def look(configuration: Configuration) -> Seen:
    tables = rows(configuration)
    with configuration.snapshot() as store:
        common = store.connection.execute("SELECT document FROM plan WHERE key = ''").fetchone()
    objects = [row[:-1] for row in tables["object"]]
    derived = [tables[name] for name in ("link", "holding", "claim")]
    return Seen(export(configuration), services_of(configuration), common, objects, derived)


def fresh() -> Configuration:
    """A configuration in which much is possible, of seven commits."""
    store = Store.in_memory()
    prepared().backup(store.connection)
    return Configuration(store)


@cache
def prepared() -> sqlite3.Connection:
    store = Store.in_memory()
    site = Site(Configuration(store))
    for n in (1, 2):
        site.save("networkprofile", name=f"n{n}", profile=tcp_profile(dsr_type="DSR_TYPE_L2"))
        site.save("pool", name=f"p{n}", lb_algorithm=HASH)
        site.save("vsvip", name=f"v{n}", vip=[{"ip_address": address(f"10.0.0.{20 + n}")}])
    site.save(
        "virtualservice",
        name="s1",
        network_profile_ref=reference("networkprofile", "n1"),
        application_profile_ref=reference("applicationprofile", "System-L4-Application"),
        pool_ref=reference("pool", "p1"),
        vsvip_ref=reference("vsvip", "v1"),
        services=[{"port": 80}],
    )
    return store.connection


def change_engine(site: Site, random: Random) -> None:
    site.save("serviceengine", name="se-1", enable_state=random.choice(["SE_STATE_ENABLED", "SE_STATE_DISABLED"]))


def change_group(site: Site, random: Random) -> None:
    site.save("serviceenginegroup", name="Default-Group", se_use_dpdk=random.randint(0, 2))


def trace(site: Site, random: Random) -> None:
    site.save("debugvirtualservice", name=f"s{random.randint(1, 2)}", capture=random.random() < 0.5)


def import_some(site: Site, random: Random) -> None:
    """Other servers, other uuids, a kind that the model does not have."""
    letters = random.sample("abcdef", 3)
    pools = [
        {"name": f"p{n}", "uuid": f"pool-{letters[n]}", "description": letters[0], "lb_algorithm": HASH} for n in (1, 2)
    ]
    data = {"Pool": pools, "WafPolicy": [letters[1]], **({"Gslb": [1]} if random.random() < 0.3 else {})}
    transfer.import_(site.configuration, data, keep_uuid=random.random() < 0.7)


def swap_names(site: Site, random: Random) -> None:
    kind, letter = random.choice([("pool", "p"), ("vsvip", "v"), ("networkprofile", "n")])
    for old, new in ((1, 3), (2, 1), (3, 2)):
        stored = site.configuration.find(kind, f"{letter}{old}", "admin")
        if stored is not None:
            site.configuration.save(kind, {**stored, "name": f"{letter}{new}"}, "admin")


def go_back(site: Site, random: Random) -> None:
    undo.back(site.configuration, random.randint(0, site.configuration.version()))


MORE: list[Callable[[Site, Random], None]] = [
    *STEPS, change_engine, change_group, trace, import_some, swap_names, go_back,
]  # fmt: skip


@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(MORE), max_size=14), st.randoms(use_true_random=False), st.data())
def test_after_any_history_a_rollback_gives_exactly_that_configuration(
    steps: list[Callable[[Site, Random], None]], random: Random, data: st.DataObject
) -> None:
    configuration = fresh()
    site = Site(configuration)
    seen = {configuration.version(): look(configuration)}
    for step in steps:
        try:
            step(site, random)
        except ShellError:
            continue
        seen[configuration.version()] = look(configuration)
    segment = data.draw(st.sampled_from(["pool", "healthmonitor", "networkprofile", "vsvip", "cloud"]))
    try:
        site.save(segment, name="any", **data.draw(documents(segment)))
    except ShellError:
        pass
    seen[configuration.version()] = look(configuration)
    for _ in range(2):
        number = data.draw(st.sampled_from(sorted(seen)))
        before = configuration.version()
        gone = undo.back(configuration, number)
        assert look(configuration) == seen[number], number
        assert gone.version == configuration.version() == before + gone.changed
        assert not undo.preview(configuration, number).changes
        assert configuration.damage() is None


def test_a_rollback_to_the_beginning_gives_the_fresh_store(site: Site) -> None:
    before = look(site.configuration)
    site.dsr()
    site.save("serviceengine", name="se-1")
    undo.back(site.configuration, 0)
    assert look(site.configuration) == before


def test_it_is_one_commit_that_says_what_it_is(site: Site) -> None:
    site.save("pool", name="p1")
    pool = site.configuration.find("pool", "p1", "admin")
    site.save("pool", name="p1", description="x")
    site.configuration.delete("pool", "p1", "admin")
    assert undo.back(site.configuration, 1, Author(line="rollback 1")) == undo.Gone(4, (), True, False)
    commit = site.configuration.history()[-1]
    assert (commit.number, commit.action, commit.comment, commit.line) == (4, "rollback", "rollback to 1", "rollback 1")
    again = site.configuration.find("pool", "p1", "admin")
    assert pool is not None
    assert again is not None
    assert int(again[HIDDEN_STATE]) > int(pool[HIDDEN_STATE])
    assert {**again, HIDDEN_STATE: ""} == {**pool, HIDDEN_STATE: ""}
    assert undo.back(site.configuration, 1) == undo.Gone(4, (), False, False)
    assert undo.back(site.configuration, 2, Author(comment="as asked for")).version == 5
    assert site.configuration.history()[-1].comment == "as asked for"


def test_an_address_that_changed_hands_goes_back(site: Site) -> None:
    site.dsr(vip="10.0.0.100")
    site.save("vrfcontext", name="global", gateway_mon=[{"gateway_ip": address("10.0.0.9")}])
    before = look(site.configuration)
    there = site.configuration.version()
    site.save("vrfcontext", name="global", gateway_mon=None)
    site.save("vsvip", name="vs1-vip", vip=[{"ip_address": address("10.0.0.9")}])
    undo.back(site.configuration, there)
    assert look(site.configuration) == before


def test_what_is_not_possible_any_more_is_refused_with_the_reason_and_nothing_changes() -> None:
    own: set[str] = set()
    configuration = Configuration(Store.in_memory(), lambda: own)
    site = Site(configuration)
    site.dsr(vip="10.0.0.100")
    site.save("vsvip", name="vs1-vip", vip=[{"ip_address": address("10.0.0.101")}])
    own.add("10.0.0.100")
    before = rows(configuration)
    with pytest.raises(Refused, match="after commit 4 is not possible now: VirtualService vs1: 10.0.0.100 is an addr"):
        undo.back(configuration, 4)
    assert rows(configuration) == before


@pytest.mark.parametrize(
    ("check", "kind", "wrong", "told"),
    [
        ("validation.check", "pool", {"lb_algorithm": "BOGUS"}, "lb_algorithm is BOGUS, which it cannot be"),
        (
            "rules.alone",
            "vsvip",
            {"vip": [{"ip_address": address("224.0.0.1")}]},
            "VsVip x: vip.1..ip_address is 224",
        ),
    ],
)
def test_what_an_older_release_took_is_refused_as_it_is_today(
    site: Site, monkeypatch: pytest.MonkeyPatch, check: str, kind: str, wrong: dict[str, Any], told: str
) -> None:
    with monkeypatch.context() as older:
        older.setattr(f"avi_shell.configuration.commit.{check}", lambda *_: ())
        site.save(kind, name="x", **wrong)
    site.configuration.delete(kind, "x", "admin")
    before = rows(site.configuration)
    with pytest.raises(Refused, match=f"after commit 1 is not possible now: .*{told}"):
        undo.back(site.configuration, 1)
    assert rows(site.configuration) == before


def test_what_the_operator_did_not_see_is_not_done(site: Site) -> None:
    site.save("pool", name="p1")
    going = undo.preview(site.configuration, 0)
    assert [(c.before is None, c.after) for c in going.changes] == [(False, None)]
    site.save("pool", name="p2")
    before = rows(site.configuration)
    with pytest.raises(Refused, match="somebody else committed meanwhile"):
        undo.back(site.configuration, 0, seen=going.version)
    assert rows(site.configuration) == before
    undo.back(site.configuration, 0, seen=2)


def test_what_the_history_does_not_reach_is_refused_by_name(site: Site) -> None:
    site.configuration.bound_history(2, 1)
    for number in range(4):
        site.save("pool", name=f"p{number}")
    for number in (0, 1, 5):
        with pytest.raises(NotFound, match=f"after commit {number} is not known") as told:
            undo.back(site.configuration, number)
        assert told.value.hint == "it is known after commits 2 to 4"
