"""What is missing in the kernel is put back, told once, and never in a storm."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from dataplane.kernel.objects import RULE, SETTING, KernelObject
from dataplane.kernel.registry import AT_ONCE, CALM, FIRST_PAUSE, LONGEST_PAUSE, KernelRegistry, removed
from tests import told

ONE, OTHER = KernelObject(RULE, "1000"), KernelObject(SETTING, "net.ipv4.x")


class Kept:
    """An owner in memory. refusal: why nothing can be put back."""

    def __init__(self) -> None:
        self.lost: set[KernelObject] = set()
        self.refusal = ""
        self.tries = 0

    def objects(self) -> Collection[KernelObject]:
        return (ONE, OTHER)

    def missing(self) -> Collection[KernelObject]:
        return sorted(self.lost)

    async def restore(self, missing: Collection[KernelObject]) -> Mapping[KernelObject, str]:
        self.tries += 1
        if not self.refusal:
            self.lost -= set(missing)
        return dict.fromkeys(missing, self.refusal)


class World:
    """A registry with one owner, at a time of its own."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.kept = Kept()
        self.registry = KernelRegistry(told.into(self.events))
        self.registry.add(self.kept)
        self.now = 1000.0

    def look(self, seconds: float = 0.5) -> None:
        self.now += seconds
        asyncio.run(self.registry.look(self.now))


def test_what_is_missing_is_put_back_with_one_event() -> None:
    world = World()
    world.look()
    assert world.events == []
    world.kept.lost = {ONE, OTHER}
    world.look()
    assert world.events == ["rule 1000, setting net.ipv4.x were removed or changed by somebody else: put back"]
    world.look()
    assert (len(world.events), world.registry.faults) == (1, {})


def test_many_are_counted() -> None:
    world = World()
    world.kept.lost = {KernelObject(RULE, str(n)) for n in range(1000, 1500)}
    world.look()
    assert world.events == [
        "rule 1000, rule 1001, rule 1002 and 497 more were removed or changed by somebody else: put back"
    ]


def test_whoever_removes_it_again_and_again_meets_pauses_that_grow() -> None:
    world = World()
    for _ in range(1200):  # ten minutes
        world.kept.lost = {ONE}
        world.look()
    assert AT_ONCE < world.kept.tries < AT_ONCE + 20
    assert len(world.events) < 3 * world.kept.tries
    assert world.registry.words() == ["rule 1000 is missing: somebody removes it again and again"]
    world.look(LONGEST_PAUSE)
    assert world.registry.faults == {}
    tries = world.kept.tries
    world.look(CALM + 1)
    world.kept.lost = {ONE}
    world.look()
    assert world.kept.tries == tries + 1, "it was calm: at once again"


def test_what_cannot_be_put_back_is_a_fault_until_it_can() -> None:
    world = World()
    world.kept.lost, world.kept.refusal = {ONE}, "no room"
    for _ in range(20):
        world.look()
    assert world.events == ["rule 1000 is missing, and cannot be put back: no room"]
    assert world.registry.words() == ["rule 1000 is missing: no room"]
    assert world.kept.tries < 5
    world.kept.refusal = ""
    world.look(LONGEST_PAUSE)
    assert world.registry.faults == {}
    assert world.events[1:] == ["rule 1000 was removed or changed by somebody else: put back"]


def test_what_comes_back_by_itself_is_told() -> None:
    world = World()
    world.kept.lost, world.kept.refusal = {ONE}, "no room"
    world.look()
    world.kept.lost = set()
    world.look(FIRST_PAUSE / 4)
    assert world.events[1:] == ["rule 1000 is there again"]


def test_what_was_removed_is_said_by_its_kinds() -> None:
    assert removed([ONE, OTHER, KernelObject(RULE, "1001")]) == [
        "removed 2 rules: 1000, 1001",
        "removed setting net.ipv4.x",
    ]
