"""Slots through changes of their pool."""

from collections.abc import Callable

from dataplane.forwarding import STABLE, TRACKED, TRANSITION
from dataplane.hashing import NO_SERVER
from dataplane.transition import Life, Slots

A, B, C = (b"\x0a\0\0\x01", 0), (b"\x0a\0\0\x02", 0), (b"\x0a\0\0\x03", 0)
ALL = [A, B, C]
INDEX = {life: n for n, life in enumerate(ALL)}
EVERYBODY: Callable[[Life], bool] = lambda life: True  # noqa: E731


def started(*owners: int) -> Slots:
    slots = Slots(len(owners))
    slots.change(owners, ALL, EVERYBODY, 0)
    return slots


def phases(slots: Slots) -> tuple[list[int], list[int]] | None:
    found = slots.phases(INDEX)
    return found and (list(found.phases), list(found.fallback))


def test_a_first_table_is_stable() -> None:
    slots = started(0, 1, 2)
    assert phases(slots) is None
    assert slots.moving == 0


def test_only_slots_that_change_owner_are_in_transition() -> None:
    slots = started(0, 1, 0)
    slots.change([0, 2, 0], ALL, EVERYBODY, 10)
    assert phases(slots) == ([STABLE, TRANSITION, STABLE], [NO_SERVER, 1, NO_SERVER])
    assert (slots.moving, slots.in_transition) == (1, 1)


def test_an_owner_that_may_not_serve_leaves_a_stable_slot() -> None:
    slots = started(0, 1)
    slots.change([0, 2], ALL, lambda life: life != B, 10)
    assert phases(slots) is None


def test_a_second_change_in_transition_keeps_the_fallback_and_starts_the_window_anew() -> None:
    slots = started(0)
    slots.change([1], ALL, EVERYBODY, 10)
    slots.change([2], ALL, EVERYBODY, 200)
    assert phases(slots) == ([TRANSITION], [0])
    assert not slots.advance(310, 300, EVERYBODY, [])
    assert slots.advance(500, 300, EVERYBODY, [(0, A)])
    assert phases(slots) == ([TRACKED], [0])


def test_a_change_of_a_tracked_slot_falls_back_to_its_owner() -> None:
    slots = started(0)
    slots.change([1], ALL, EVERYBODY, 0)
    slots.advance(300, 300, EVERYBODY, [(0, A)])
    slots.change([2], ALL, EVERYBODY, 400)
    assert phases(slots) == ([TRANSITION], [1])


def test_a_tracked_slot_is_stable_when_the_last_flow_of_another_is_gone() -> None:
    slots = started(0, 0)
    slots.change([1, 1], ALL, EVERYBODY, 0)
    slots.advance(300, 300, EVERYBODY, [(0, A), (1, A)])
    assert slots.advance(301, 300, EVERYBODY, [(0, A), (1, B)])
    assert phases(slots) == ([TRACKED, STABLE], [0, NO_SERVER])
    assert slots.advance(302, 300, EVERYBODY, [])
    assert phases(slots) is None


def test_an_infinite_window_ends_with_the_former_owner() -> None:
    slots = started(0)
    slots.change([1], ALL, EVERYBODY, 0)
    assert not slots.advance(10**9, 0, EVERYBODY, [])
    assert slots.advance(10**9, 0, lambda life: life != A, [])
    assert phases(slots) is None


def test_a_former_owner_that_is_no_member_any_more_is_no_fallback() -> None:
    slots = started(0)
    slots.change([1], ALL, EVERYBODY, 0)
    found = slots.phases({B: 0})
    assert found is not None
    assert list(found.fallback) == [NO_SERVER]


def test_another_life_of_an_address_is_another_member() -> None:
    slots = started(0)
    reborn = (A[0], 5)
    slots.change([0], [reborn], EVERYBODY, 10)
    found = slots.phases({reborn: 0})
    assert found is not None
    assert (list(found.phases), list(found.fallback)) == ([TRANSITION], [NO_SERVER])


def test_a_pool_that_had_nobody_has_nothing_to_keep() -> None:
    slots = started(NO_SERVER)
    slots.change([1], ALL, EVERYBODY, 10)
    assert phases(slots) is None
