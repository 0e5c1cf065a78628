"""Changes gathered in a copy become one commit: the same configuration, or nothing of it and every fault."""

from random import Random
from typing import Any

import pytest

from avi_shell.configuration import transfer
from avi_shell.configuration.candidate import Candidate
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import reference
from avi_shell.errors import Conflict, InvalidFile, InvalidObject, Refused, ShellError

from .addresses import address
from .conftest import Site
from .test_consistency import STEPS, services_of
from .test_history import export, rows


def changed(configuration: Configuration, kind: str, name: str, **fields: Any) -> None:
    Site(configuration).save(kind, name=name, **fields)


def stepped(configuration: Configuration, random: Random, steps: int) -> None:
    for _ in range(steps):
        try:
            random.choice(STEPS)(Site(configuration), random)
        except ShellError:
            pass


@pytest.fixture
def stored() -> Configuration:
    configuration = Configuration.in_memory()
    Site(configuration).dsr()
    return configuration


@pytest.mark.parametrize("seed", range(16))
def test_a_candidate_is_committed_where_the_whole_would_be_imported(seed: int) -> None:
    random, stored = Random(seed), Configuration.in_memory()
    stepped(stored, random, 20)
    candidate = Candidate(stored)
    stepped(candidate.configuration, random, 2 + seed % 12)
    wanted, before = export(candidate.configuration), rows(stored)
    fresh = Configuration.in_memory()
    try:
        transfer.import_(fresh, wanted, keep_uuid=True)
    except ShellError:
        with pytest.raises((InvalidObject, Refused)):
            candidate.commit("session")
        assert rows(stored) == before
    else:
        candidate.commit("session", dry_run=True)
        assert rows(stored) == before
        done = candidate.commit("session")
        assert export(stored) == wanted
        assert services_of(stored) == services_of(fresh)
        assert done.version == len(rows(stored)["history"])


def test_nothing_is_stored_before_the_commit(stored: Configuration) -> None:
    before, candidate = rows(stored), Candidate(stored)
    changed(candidate.configuration, "pool", "p2")
    candidate.configuration.delete("virtualservice", "vs1", "admin")
    assert rows(stored) == before
    assert [(c.kind, c.name, c.before is None, c.after is None) for c in candidate.changes()] == [
        ("pool", "p2", True, False),
        ("virtualservice", "vs1", False, True),
    ]
    candidate.commit("session")
    assert [commit.action for commit in stored.history()][-1] == "session"
    assert {change.name for change in stored._store.changes(stored.version())} == {"p2", "vs1"}


def test_a_candidate_without_changes_makes_no_commit(stored: Configuration) -> None:
    candidate, version = Candidate(stored), stored.version()
    changed(candidate.configuration, "pool", "vs1-pool", description="other")
    changed(candidate.configuration, "pool", "vs1-pool", description=None)
    assert not candidate.commit("session").changed
    assert stored.version() == version


def test_two_services_change_their_addresses(stored: Configuration) -> None:
    Site(stored).dsr("vs2", "10.0.0.102")
    candidate = Candidate(stored)
    draft = candidate.configuration
    changed(draft, "vsvip", "vs1-vip", vip=[{"ip_address": address("10.0.0.102")}])
    changed(draft, "vsvip", "vs2-vip", vip=[{"ip_address": address("10.0.0.100")}])
    candidate.commit("session")
    assert {key: s.virtualservice for key, s in services_of(stored).items()} == {
        "10.0.0.102/tcp/80-80": "vs1",
        "10.0.0.100/tcp/80-80": "vs2",
    }


def test_names_go_round(stored: Configuration) -> None:
    changed(stored, "pool", "other")
    first, second = (stored.find("pool", name, "admin") for name in ("vs1-pool", "other"))
    assert first
    assert second
    candidate = Candidate(stored)
    for found, name in ((first, "free"), (second, "vs1-pool"), (first, "other")):
        now = next(one for one in candidate.configuration.all("pool", "*") if one["uuid"] == found["uuid"])
        candidate.configuration.save("pool", {**now, "name": name}, "admin")
    # Somebody else refers to one of them meanwhile.
    changed(stored, "virtualservice", "vs2", pool_ref=reference("pool", "other"))
    candidate.commit("session")
    names = {pool["uuid"]: pool["name"] for pool in stored.all("pool", "*")}
    assert (names[first["uuid"]], names[second["uuid"]]) == ("other", "vs1-pool")
    for service, pool in (("vs1", "other"), ("vs2", "vs1-pool")):
        document = stored.find("virtualservice", service, "admin")
        assert document is not None
        assert document["pool_ref"] == reference("pool", pool)


def test_an_object_takes_the_place_of_one_that_goes(stored: Configuration) -> None:
    candidate = Candidate(stored)
    draft = candidate.configuration
    changed(draft, "virtualservice", "vs1", pool_ref=None)
    draft.delete("pool", "vs1-pool", "admin")
    changed(draft, "pool", "vs1-pool", lb_algorithm="LB_ALGORITHM_CONSISTENT_HASH")
    changed(draft, "virtualservice", "vs1", pool_ref=reference("pool", "vs1-pool"))
    gone = stored.find("pool", "vs1-pool", "admin")
    candidate.commit("session")
    new = stored.find("pool", "vs1-pool", "admin")
    assert gone
    assert new
    assert new["uuid"] != gone["uuid"]
    assert export(stored) == export(draft)


def test_a_port_range_is_stored_as_it_was_typed_in_two_steps(stored: Configuration) -> None:
    changed(stored, "virtualservice", "vs1", services=[{"port": 8080}])
    candidate = Candidate(stored)
    changed(candidate.configuration, "virtualservice", "vs1", services=[{"port": 8000}])
    changed(candidate.configuration, "virtualservice", "vs1", services=[{"port": 8000, "port_range_end": 8080}])
    candidate.commit("session")
    service = stored.find("virtualservice", "vs1", "admin")
    assert service is not None
    assert [(s["port"], s["port_range_end"]) for s in service["services"]] == [(8000, 8080)]


class TestRefused:
    """What the store is afterwards is what it was before, row by row."""

    def test_every_fault_at_once(self, stored: Configuration) -> None:
        candidate = Candidate(stored)
        for number, vip in ((2, "10.0.0.100"), (3, "10.0.0.103"), (4, "10.0.0.103")):
            Site(candidate.configuration).dsr(f"vs{number}", vip)
        before = rows(stored)
        with pytest.raises(InvalidFile) as caught:
            candidate.commit("session")
        assert {fault.path.split(" ")[1] for fault in caught.value.faults} == {"vs2", "vs3", "vs4"}
        assert rows(stored) == before

    def test_what_somebody_else_changed_meanwhile(self, stored: Configuration) -> None:
        candidate = Candidate(stored)
        for name in ("vs1-pool", "new"):
            changed(candidate.configuration, "pool", name, description="mine")
        candidate.configuration.delete("virtualservice", "vs1", "admin")
        changed(stored, "pool", "vs1-pool", enabled=False)
        changed(stored, "pool", "new")
        changed(stored, "virtualservice", "vs1", services=[{"port": 81}])
        before = rows(stored)
        with pytest.raises(InvalidFile) as caught:
            candidate.commit("session")
        faults = {fault.path: fault for fault in caught.value.faults}
        assert set(faults) == {"pool vs1-pool", "pool new", "virtualservice vs1"}
        assert str(faults["pool new"]) == "Pool new was created by somebody else meanwhile"
        conflict = faults["pool vs1-pool"]
        assert isinstance(conflict, Conflict)
        assert conflict.before is not None
        assert conflict.stored is not None
        assert (conflict.before["enabled"], conflict.stored["enabled"]) == (True, False)
        assert rows(stored) == before

    def test_an_object_that_is_gone(self, stored: Configuration) -> None:
        changed(stored, "pool", "p2")
        candidate = Candidate(stored)
        changed(candidate.configuration, "pool", "p2", description="mine")
        stored.delete("pool", "p2", "admin")
        with pytest.raises(Refused, match="Pool p2 was deleted by somebody else meanwhile"):
            candidate.commit("session")

    def test_an_object_that_somebody_else_refers_to_by_now(self, stored: Configuration) -> None:
        changed(stored, "pool", "p2", lb_algorithm="LB_ALGORITHM_CONSISTENT_HASH")
        candidate = Candidate(stored)
        candidate.configuration.delete("pool", "p2", "admin")
        changed(stored, "virtualservice", "vs1", pool_ref=reference("pool", "p2"))
        with pytest.raises(Refused, match=r"Pool p2: cannot delete, object is referred by: \['VirtualService vs1'\]"):
            candidate.commit("session")
        assert stored.find("pool", "p2", "admin") is not None
