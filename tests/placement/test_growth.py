"""What placement takes of a processor grows as the number of VIPs does, and no faster."""

import gc
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from dataplane.membership import conclusions
from dataplane.membership.situation import vips
from dataplane.placement import placing
from dataplane.placement.model import Algorithm, Group, Mode, Situation
from tests.membership.test_conclusions import SERVICE

from .groups import GROUP, applied, situation

FEW, TIMES = 250, 8
WORST = 1.8
"""Of what is linear: loops inside loops would be TIMES."""
KINDS = {
    "N+M, packed": (Group(GROUP, max_vips=10_000), 4),
    "N+M, distributed": (Group(GROUP, algorithm=Algorithm.DISTRIBUTED, max_vips=10_000), 4),
    "active/active": (Group(GROUP, Mode.ACTIVE_ACTIVE, Algorithm.DISTRIBUTED, max_vips=10_000), 4),
    "a pair": (Group(GROUP, Mode.ACTIVE_STANDBY, max_vips=10_000), 2),
}


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def growth(made: Callable[[int], Callable[[], object]]) -> float:
    """How many times as long it takes for each VIP when there are TIMES as many: the least of some tries of either,
    in turns and without looks for garbage."""
    few, many = made(FEW), made(FEW * TIMES)
    gc.disable()
    try:
        found = [(seconds(few), seconds(many)) for _ in range(3)]
    finally:
        gc.enable()
    least, most = (min(pair[which] for pair in found) for which in (0, 1))
    return most / least / TIMES


@pytest.mark.parametrize("kind", KINDS)
def test_all_are_placed_and_an_engine_dies(kind: str) -> None:
    group, engines = KINDS[kind]

    def first(number: int) -> Callable[[], object]:
        return lambda: placing.place(situation(group, engines, number))

    def death(number: int) -> Callable[[], object]:
        there = applied(situation(group, engines, number))
        return lambda: placing.changes(there, placing.if_fails(there, "a"))

    assert growth(first) < WORST
    assert growth(death) < WORST


def test_a_plan_has_its_vips_and_an_engine_its_roles() -> None:
    def planned(number: int) -> Callable[[], object]:
        addresses = [f"10.0.{n // 250}.{n % 250}" for n in range(number)]
        services = [replace(SERVICE, uuid=f"vs-{address}", vip=address) for address in addresses]
        return lambda: vips(services)

    def roles(number: int) -> Callable[[], object]:
        addressed = situation(Group(GROUP, max_vips=10_000), 4, number, addresses=("10.0.0.1",))
        there: Situation = applied(addressed)
        return lambda: conclusions.roles("a", there, GROUP, {})

    assert growth(planned) < WORST
    assert growth(roles) < WORST
