"""Who is dead, who is only cut off, and who takes what the dead had: one engine's ears, all together, and a network."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.placement import arbitration, hearing, placing
from dataplane.placement.arbitration import LEASE, Registration
from dataplane.placement.hearing import Hearing, Timing
from dataplane.placement.model import Group, Mode, Presence, Situation
from tests.examples import examples

from .groups import GROUP, changed, settled, situation, situations
from .network import TICK, TIMING, Network

UP, SUSPECT, CUT, DEAD = Presence.UP, Presence.SUSPECT, Presence.CUT, Presence.DEAD


def test_an_engine_is_silent_when_so_many_of_its_heartbeats_have_not_come() -> None:
    timing = Timing(0.1, 10)
    now = hearing.look(Hearing(), "bc", "", timing, 100.0)
    assert hearing.silent(now, timing) == set(), "who is new has the time to be heard"
    for step in range(1, 10):
        now = hearing.look(now, "bc", "b", timing, 100.0 + step / 10)
    assert hearing.silent(now, timing) == set()
    now = hearing.look(now, "bc", "", timing, 101.0)
    assert hearing.silent(now, timing) == {"c"}
    now = hearing.look(now, "bc", "c", timing, 101.1)
    assert hearing.silent(now, timing) == set()
    now = hearing.look(now, "bcd", "bc", timing, 101.2)
    assert hearing.silent(now, timing) == set(), "another one got known"
    assert hearing.silent(Hearing(), timing) == set()


def test_an_engine_that_stood_still_suspects_nobody_for_it() -> None:
    timing = Timing(0.1, 10)
    now = hearing.look(hearing.look(Hearing(), "b", "b", timing, 100.0), "b", "", timing, 103.0)
    assert hearing.silent(now, timing) == set()
    for step in range(1, 11):
        now = hearing.look(now, "b", "", timing, 103.0 + step / 10)
    assert hearing.silent(now, timing) == {"b"}


def registered(*silent: str) -> dict[str, Registration]:
    """Engines a, b, c …, each with whom it does not hear, in the order in which they said so."""
    named = zip("abcdef", silent, strict=False)
    return {name: Registration(n, frozenset(others)) for n, (name, others) in enumerate(named)}


@pytest.mark.parametrize(
    ("who", "silent", "alive"),
    [
        ("all hear all", ("", "", ""), "abc"),
        ("a host died: its last word is that it hears all", ("", "a", "a"), "bc"),
        ("of two hosts one died", ("", "a"), "b"),
        ("two hosts died at once", ("", "", "ab", "ab"), "cd"),
        ("one engine does not hear another, which a third one hears", ("b", "", ""), "abc"),
        ("two do not hear each other, a third one hears both", ("b", "a", ""), "abc"),
        ("one has not noticed yet", ("", "a", ""), "abc"),
        ("the network fell apart: the larger part", ("cd", "cd", "ab", "ab", ""), "abcde"),
        ("the same, without one that hears both", ("de", "de", "de", "abc", "abc"), "abc"),
        ("two hear nothing of each other: who said so first", ("b", "a"), "a"),
        ("nobody hears anybody: who said so first", ("bc", "ac", "ab"), "a"),
        ("in a ring each one hears the next", ("c", "a", "b"), "abc"),
        ("nobody is there", (), ""),
    ],
)
def test_those_live_who_hear_one_another_and_nobody_else(who: str, silent: tuple[str, ...], alive: str) -> None:
    assert arbitration.living(registered(*silent), frozenset()) == set(alive), who


def test_of_equal_parts_the_one_that_lived_goes_on_living() -> None:
    assert arbitration.living(registered("b", "a"), frozenset("b")) == {"b"}
    assert arbitration.living(registered("c", "c", "ab"), frozenset("c")) == {"a", "b"}, "the larger one comes first"


def test_who_was_taken_for_dead_takes_nobody_for_dead_when_he_is_heard_again() -> None:
    before = {"a": UP, "b": UP, "c": DEAD}
    for silent in (("", "c", "ab"), ("", "", "ab"), ("c", "", "ab")):  # he speaks last
        assert arbitration.judge(registered(*silent), "abc", before, LEASE) == before, silent
    assert arbitration.judge(registered("", "", ""), "abc", before, LEASE) == dict.fromkeys("abc", UP)


def test_what_is_concluded_of_an_engine() -> None:
    before = dict.fromkeys("abc", UP)

    def judged(there: dict[str, Registration], answering: float = LEASE) -> str:
        return "".join(one.value[0] for one in arbitration.judge(there, "abc", before, answering).values())

    assert judged(registered("", "", "")) == "uuu"
    assert judged(registered("b", "", "")) == "usu"
    assert judged(registered("c", "c", "")) == "uud"
    assert judged(registered("", "")) == "uuc", "etcd has lost it, and it is heard"
    assert judged(registered("c", "c")) == "uud"
    assert judged(registered("c", "c"), LEASE - 0.1) == "uuu"
    assert judged({}) == "uuu", "nobody is there to say so"
    before["c"] = DEAD
    assert judged({}) == "uud"
    assert judged(registered("c", "c"), 0.0) == "uud"
    assert judged(registered("", "", ""), 0.0) == "uuu", "who comes back is there at once"
    del before["c"]
    assert judged(registered("c", "c"), 0.0) == "uud", "who never was there is not"


@given(situations((Mode.ACTIVE_ACTIVE, Mode.N_PLUS_M)), st.sampled_from("abcde"))
def test_the_next_engine_takes_what_placement_would_give_it(there: Situation, name: str) -> None:
    there = settled(there)
    if name not in there.engines:
        return
    decisions = placing.if_fails(there, name)
    dead = changed(there, name, presence=DEAD)
    presences = {one.name: one.presence for one in dead.engines.values()}
    taken = {
        uuid: (me, place)
        for me in there.engines
        for uuid, place in arbitration.successions(there.places, presences, me, there.now).items()
    }
    for uuid, place in there.places.items():
        others = [one for one in place.engines if one != name]
        assert (uuid in taken) == (place.engines[:1] == (name,) and bool(others))
        if uuid in taken:
            me, after = taken[uuid]
            assert me == others[0]
            assert after.members == decisions[uuid].place.members[: len(others)]


def test_only_the_next_engine_takes_what_a_dead_one_was_the_first_of() -> None:
    there = settled(situation(Group(GROUP, Mode.ACTIVE_ACTIVE, min_scaleout=3), 3, 6))
    for uuid, place in there.places.items():
        first, second, third = place.engines
        presences = {first: DEAD, second: SUSPECT, third: UP}
        taken = {me: arbitration.successions({uuid: place}, presences, me, 7.0) for me in place.engines}
        assert (taken[first], taken[third]) == ({}, {})
        assert taken[second][uuid].engines == (second, third)
        assert (taken[second][uuid].members[0].since, taken[second][uuid].epoch) == (7.0, place.epoch)


def test_a_host_that_dies_is_followed_by_the_next_engine_and_nobody_else_moves() -> None:
    network = Network(3, 6)
    network.run(LEASE + 2)
    before = {vip: place.engines for vip, place in network.places.items()}
    assert all(len(network.owners(vip)) == 1 for vip in network.vips)
    network.stop("b")
    network.run(TIMING.silence + TICK)
    for vip, engines in before.items():
        assert network.owners(vip) == [next(name for name in engines if name != "b")]
    assert network.writes == len(before) + sum(engines[0] == "b" for engines in before.values())


@pytest.mark.parametrize("engines", [2, 3])
def test_nobody_moves_when_the_quorum_is_away_for_a_while_and_comes_back(engines: int) -> None:
    network = Network(engines, 4)
    network.run(LEASE + 2)
    writes = network.writes
    network.lose_quorum()
    network.run(20)
    assert all(len(network.owners(vip)) == 1 for vip in network.vips)
    network.regain_quorum()
    network.run(3 * LEASE)
    assert network.writes == writes


def test_two_engines_whose_heartbeats_are_lost_do_not_take_from_each_other_in_turn() -> None:
    network = Network(2, 4)
    network.run(LEASE + 2)
    writes = network.writes
    network.deaf = {("a", "b"), ("b", "a")}
    network.run(30)
    assert len({network.owners(vip)[0] for vip in network.vips}) == 1
    assert all(len(network.owners(vip)) == 1 for vip in network.vips)
    assert network.writes - writes <= 4, "each moves once at most"
    network.deaf = set()
    network.run(2)
    assert set(network.nodes["a"].presences.values()) == {UP}


def test_an_engine_that_etcd_has_lost_keeps_what_it_has_until_it_hears_of_another_owner() -> None:
    network = Network(3, 6)
    network.run(LEASE + 2)
    mine = [vip for vip in network.vips if network.owners(vip) == ["a"]]
    network.cut = {"a"}
    network.run(LEASE - 1)
    assert mine
    assert all(network.owners(vip) == ["a"] for vip in mine)
    network.run(1.5)
    assert network.nodes["b"].presences["a"] is CUT
    assert all(len(network.owners(vip)) == 1 and network.owners(vip) != ["a"] for vip in mine)
    deaf = Network(3, 6)
    deaf.run(LEASE + 2)
    deaf.cut, deaf.deaf = {"a"}, {("a", "b"), ("a", "c")}
    deaf.run(LEASE + 2)
    assert any(len(deaf.owners(vip)) == 2 for vip in deaf.vips), "it cannot know"
    deaf.deaf = set()
    deaf.run(TICK)
    assert all(len(deaf.owners(vip)) == 1 for vip in deaf.vips)


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["deaf", "apart", "hears", "cut", "back", "stop", "start", "lose", "regain"]),
        st.sampled_from("abc"),
        st.sampled_from("abc"),
        st.sampled_from([0.25, 0.75, 1.5, 3.0, 6.0]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=examples(15))
@given(FAULTS, st.integers(2, 3), st.sampled_from([Mode.ACTIVE_ACTIVE, Mode.N_PLUS_M]))
def test_whatever_fails_there_is_one_owner_afterwards(
    faults: list[tuple[str, str, str, float]], engines: int, mode: Mode
) -> None:
    """What holds meanwhile is checked by the network at every tick."""
    network = Network(engines, 3, Group(GROUP, mode))
    network.run(LEASE + 2)
    for what, one, other, seconds in faults:
        fail(network, what, one, other)
        network.run(seconds)
    network.deaf, network.cut = set(), set()
    network.regain_quorum()
    for node in network.nodes.values():
        node.runs = True
    network.run(LEASE + TIMING.silence + 1)
    for node in network.nodes.values():
        assert set(node.presences.values()) == {UP}
    for vip, place in network.places.items():
        assert network.owners(vip) == [place.engines[0]]
    writes = network.writes
    network.run(LEASE)
    assert network.writes == writes, "it has come to rest"


def fail(network: Network, what: str, one: str, other: str) -> None:
    """Let something fail, or come back."""
    if one not in network.nodes or other not in network.nodes:
        return
    both = {(one, other), (other, one)} if one != other else set()
    match what:
        case "deaf":
            network.deaf |= {(one, other)} if both else set()
        case "apart":
            network.deaf |= both
        case "hears":
            network.deaf -= both
        case "cut":
            network.cut.add(one)
        case "back":
            network.cut.discard(one)
        case "stop":
            network.stop(one)
        case "start":
            network.nodes[one].runs = True
        case "lose":
            network.lose_quorum()
        case "regain":
            network.regain_quorum()


def test_a_place_is_given_up_to_a_higher_epoch_alone() -> None:
    assert arbitration.yields(5, [3, 6])
    assert not arbitration.yields(5, [3, 5])
    assert not arbitration.yields(5, [])
    there = settled(situation(Group(GROUP), 1, 1))
    assert arbitration.successions(there.places, {"a": UP}, "a", 0.0) == {}
