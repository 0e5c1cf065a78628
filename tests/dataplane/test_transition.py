"""Slots through changes of their pool."""

import platform
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.forwarding import slotphases
from dataplane.forwarding.maglev import NO_SERVER
from dataplane.forwarding.transition import Life, Slots
from dataplane.forwarding.values import STABLE, TRACKED, TRANSITION, Pool, Target
from dataplane.native import library

A, B, C = (b"\x0a\0\0\x01", 0), (b"\x0a\0\0\x02", 0), (b"\x0a\0\0\x03", 0)
ALL = [A, B, C]
EVERYBODY: Callable[[Life], bool] = lambda life: True  # noqa: E731


def started(*owners: int) -> Slots:
    slots = Slots(len(owners))
    change(slots, owners, 0)
    return slots


def change(
    slots: Slots,
    owners: Sequence[int],
    now: float,
    serves: Callable[[Life], bool] = EVERYBODY,
    members: Sequence[Life] = ALL,
) -> None:
    slots.change(array("H", owners), members, serves, now)


def phases(slots: Slots, members: Sequence[Life] = ALL) -> tuple[list[int], list[int]] | None:
    found = slots.phases(members)
    return (list(found.phases), list(found.fallback)) if found else None


def test_a_first_table_is_stable() -> None:
    slots = started(0, 1, 2)
    assert phases(slots) is None
    assert slots.moving == 0


def test_only_slots_that_change_owner_are_in_transition() -> None:
    slots = started(0, 1, 0)
    change(slots, [0, 2, 0], 10)
    assert phases(slots) == ([STABLE, TRANSITION, STABLE], [NO_SERVER, 1, NO_SERVER])
    assert (slots.moving, slots.in_transition) == (1, 1)


def test_a_copy_goes_on_by_itself_from_the_same_phases() -> None:
    slots = started(0, 1, 0)
    change(slots, [0, 2, 0], 10)
    copy = slots.copy()
    assert phases(copy) == phases(slots) == ([STABLE, TRANSITION, STABLE], [NO_SERVER, 1, NO_SERVER])
    change(copy, [2, 2, 0], 20)
    assert phases(copy) == ([TRANSITION, TRANSITION, STABLE], [0, 1, NO_SERVER])
    assert phases(slots) == ([STABLE, TRANSITION, STABLE], [NO_SERVER, 1, NO_SERVER])
    copy.advance(1000, 300, EVERYBODY, [])
    copy.advance(1001, 300, EVERYBODY, [])
    assert copy.stable
    assert not slots.stable


def test_an_owner_that_may_not_serve_leaves_a_stable_slot() -> None:
    slots = started(0, 1)
    change(slots, [0, 2], 10, lambda life: life != B)
    assert phases(slots) is None


def test_a_second_change_in_transition_keeps_the_fallback_and_starts_the_window_anew() -> None:
    slots = started(0)
    change(slots, [1], 10)
    change(slots, [2], 200)
    assert phases(slots) == ([TRANSITION], [0])
    assert not slots.advance(310, 300, EVERYBODY, [])
    assert slots.advance(500, 300, EVERYBODY, [(0, A)])
    assert phases(slots) == ([TRACKED], [0])


def test_a_change_of_a_tracked_slot_falls_back_to_its_owner() -> None:
    slots = started(0)
    change(slots, [1], 0)
    slots.advance(300, 300, EVERYBODY, [(0, A)])
    change(slots, [2], 400)
    assert phases(slots) == ([TRANSITION], [1])


def test_a_tracked_slot_is_stable_when_the_last_flow_of_another_is_gone() -> None:
    slots = started(0, 0)
    change(slots, [1, 1], 0)
    slots.advance(300, 300, EVERYBODY, [(0, A), (1, A)])
    assert slots.advance(301, 300, EVERYBODY, [(0, A), (1, B)])
    assert phases(slots) == ([TRACKED, STABLE], [0, NO_SERVER])
    assert slots.advance(302, 300, EVERYBODY, [])
    assert phases(slots) is None


def test_an_infinite_window_ends_with_the_former_owner() -> None:
    slots = started(0)
    change(slots, [1], 0)
    assert not slots.advance(10**9, 0, EVERYBODY, [])
    assert slots.advance(10**9, 0, lambda life: life != A, [])
    assert phases(slots) is None


def test_a_former_owner_that_is_no_member_any_more_is_no_fallback() -> None:
    slots = started(0)
    change(slots, [1], 0)
    assert phases(slots, [B]) == ([TRANSITION], [NO_SERVER])


def test_another_life_of_an_address_is_another_member() -> None:
    slots = started(0, 1)
    change(slots, [1, 0], 10)
    change(slots, [1, 0], 20, members=[(A[0], 5), B])
    assert phases(slots, [(A[0], 5), B]) == ([TRANSITION, TRANSITION], [NO_SERVER, 1])


def test_members_may_come_in_front_of_others() -> None:
    slots = started(0, 1)
    change(slots, [1, 1], 10)
    assert phases(slots, [C, A, B]) == ([TRANSITION, STABLE], [1, NO_SERVER])
    change(slots, [2, 2], 20, members=[C, A, B])
    assert phases(slots, [C, A, B]) == ([TRANSITION, STABLE], [1, NO_SERVER])


def test_changes_that_no_flow_met_are_forgotten_and_those_before_are_not() -> None:
    slots = started(0, 1, 0)
    change(slots, [0, 2, 0], 10)
    change(slots, [1, 2, 2], 20)
    slots.void(15)
    assert phases(slots) == ([STABLE, TRANSITION, STABLE], [NO_SERVER, 1, NO_SERVER])
    change(slots, [0, 2, 0], 30)  # as it was before nobody came, or as it is by now
    assert phases(slots) == ([STABLE, TRANSITION, STABLE], [NO_SERVER, 1, NO_SERVER])
    change(slots, [2, 2, 0], 40)
    assert phases(slots) == ([TRANSITION, TRANSITION, STABLE], [0, 1, NO_SERVER])


def test_changes_close_together_share_a_window() -> None:
    slots = started(0, 0)
    change(slots, [1, 0], 10)
    change(slots, [1, 1], 10.5)
    assert not slots.advance(310, 300, EVERYBODY, [])
    assert slots.advance(310.5, 300, EVERYBODY, [(1, A)])
    assert phases(slots) == ([STABLE, TRACKED], [NO_SERVER, 0])


def test_changes_without_end_have_windows_enough() -> None:
    """One slot a change, two seconds apart: more than there are windows. None ends early, none much too late."""
    slots = started(*[0] * 400)
    for n in range(400):
        change(slots, [1] * (n + 1) + [0] * (399 - n), 2 * n)
    assert slots.in_transition == 400
    slots.advance(1000, 600, EVERYBODY, [(n, A) for n in range(400)])
    found = phases(slots)
    assert found is not None
    ended = found[0].index(TRANSITION)
    assert 190 <= ended <= 201
    assert found[0] == [TRACKED] * ended + [TRANSITION] * (400 - ended)


def test_what_was_told_never_changes() -> None:
    slots = started(0, 1, 2)
    change(slots, [1, 1, 2], 0)
    told = slots.phases(ALL)
    assert told is not None
    assert slots.phases(ALL) is told
    before = bytes(told.phases), list(told.fallback)
    change(slots, [1, 2, 0], 5)
    slots.advance(302, 300, EVERYBODY, [])
    slots.advance(400, 300, EVERYBODY, [])
    assert (told.phases, list(told.fallback)) == before
    assert slots.phases(ALL) is None


def test_what_is_adopted_goes_on() -> None:
    targets = tuple(Target(address, True, generation=generation) for address, generation in ALL)
    pool = Pool(
        "p", 1, array("H", [0, 1, 2]), targets, phases=bytes([STABLE, TRANSITION, TRACKED]),
        fallback=array("H", [NO_SERVER, 0, 1]),
    )  # fmt: skip
    slots = Slots(3)
    slots.adopt(pool, 100)
    assert phases(slots) == ([STABLE, TRANSITION, TRACKED], [NO_SERVER, 0, 1])
    assert slots.advance(399, 300, EVERYBODY, [(1, A), (2, C)])
    assert phases(slots) == ([STABLE, TRANSITION, STABLE], [NO_SERVER, 0, NO_SERVER])
    assert slots.advance(400, 300, EVERYBODY, [])
    assert phases(slots) is None


def test_a_pool_that_had_nobody_has_nothing_to_keep() -> None:
    slots = started(NO_SERVER)
    change(slots, [1], 10)
    assert phases(slots) is None


@dataclass
class Slot:
    """One slot as the table of the design tells it: the definition that Slots follows for all at once."""

    owner: Life | None = None
    phase: int = STABLE
    former: Life | None = None
    since: float = 0

    def change(self, owner: Life | None, serves: Callable[[Life], bool], now: float) -> None:
        before, self.owner = self.owner, owner
        if before == owner or (self.phase == STABLE and (before is None or not serves(before))):
            return
        if self.phase != TRANSITION:
            self.former = before
        self.phase, self.since = TRANSITION, now

    def advance(self, now: float, timeout: float, serves: Callable[[Life], bool], lingering: set[Life]) -> None:
        if self.phase == TRANSITION and (
            now - self.since >= timeout if timeout else self.former is None or not serves(self.former)
        ):
            self.phase = TRACKED
        if self.phase == TRACKED and not lingering - {self.owner}:
            self.phase, self.former = STABLE, None

    def forget(self, gone: set[Life]) -> None:
        """Who is gone is gone."""
        self.owner = None if self.owner in gone else self.owner
        self.former = None if self.former in gone else self.former


COUNT = 87
"""Slots: not a multiple of what the native loop takes at a time."""
EVERY_LIFE = [(bytes([10, 0, 0, n]), generation) for n in range(4) for generation in range(2)]


@st.composite
def events(draw: st.DrawFn) -> list[tuple[list[Life], list[int], set[Life], int, list[tuple[int, Life]]]]:
    """Members, table, who serves, seconds that pass, flows that linger: one after the other."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        members = sorted(draw(st.sets(st.sampled_from(EVERY_LIFE))))
        numbers = [NO_SERVER, *range(len(members))]
        table = draw(st.lists(st.sampled_from(numbers), min_size=COUNT, max_size=COUNT))
        if draw(st.booleans()):  # most slots stay as they are
            table = [table[0]] * (COUNT - 3) + table[:3]
        serving = set(draw(st.sets(st.sampled_from(members)))) if members else set()
        flow = st.tuples(st.integers(0, COUNT - 1), st.sampled_from(EVERY_LIFE))
        found.append((members, table, serving, draw(st.sampled_from([2, 7, 100])), draw(st.lists(flow, max_size=6))))
    return found


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("timeout", [0, 9, 120])
@given(happened=events())
def test_all_slots_do_what_one_does(
    happened: list[tuple[list[Life], list[int], set[Life], int, list[tuple[int, Life]]]], timeout: int, native: bool
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        if not native:
            patched.setattr(slotphases, "function", lambda *_: None)
        slots, each = Slots(COUNT), [Slot() for _ in range(COUNT)]
        now, known = 0.0, set[Life]()
        for members, table, serving, later, flows in happened:
            slots.change(array("H", table), members, serving.__contains__, now)
            for slot, owner in zip(each, table, strict=True):
                slot.forget(known - set(members))
                slot.change(None if owner == NO_SERVER else members[owner], serving.__contains__, now)
            compare(slots, each, members)
            known = set(members)
            now += later
            slots.advance(now, timeout, serving.__contains__, flows)
            for number, slot in enumerate(each):
                living = {life for n, life in flows if n == number and life in known}
                slot.advance(now, timeout, serving.__contains__, living)
            compare(slots, each, members)


def compare(slots: Slots, each: list[Slot], members: list[Life]) -> None:
    found = slots.phases(members)
    wanted = [slot.phase for slot in each]
    assert (list(found.phases) if found else [STABLE] * COUNT) == wanted
    fallback = [NO_SERVER if slot.former is None else members.index(slot.former) for slot in each]
    assert (list(found.fallback) if found else [NO_SERVER] * COUNT) == fallback
    assert slots.moving == sum(phase != STABLE for phase in wanted)
    assert slots.in_transition == wanted.count(TRANSITION)


def test_this_machine_has_the_native_loop() -> None:
    if platform.machine() != "x86_64":
        pytest.skip("a native loop is shipped for x86_64 alone")
    assert library.function("slotphases", "settle") is not None
