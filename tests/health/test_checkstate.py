"""What is counted of a check's results, and when its first verdict is there."""

import pytest

from dataplane import plan
from dataplane.health.checkstate import KEPT, CheckState, settled_after
from tests.health.monitors import monitor

COUNTS = [
    ("unknown, one failure is enough", None, "-", 3, 3, "d"),
    ("unknown, successful_checks good ones", None, "+++", 3, 3, "..u"),
    ("unknown, a failure between", None, "+-+", 2, 3, ".d."),
    ("up, failed_checks in a row", True, "--+---", 2, 3, ".....d"),
    ("down, successful_checks in a row", False, "+-++", 2, 3, "...u"),
    ("at once, both", True, "-+-+", 1, 1, "dudu"),
    ("what is so already", True, "+++", 1, 1, "..."),
]


@pytest.mark.parametrize(
    ("up", "results", "good", "bad", "verdicts"), [r[1:] for r in COUNTS], ids=[r[0] for r in COUNTS]
)
def test_counting(up: bool | None, results: str, good: int, bad: int, verdicts: str) -> None:
    state, told = CheckState(up), ""
    for result in results:
        changed = state.count(monitor(successful_checks=good, failed_checks=bad), passed=result == "+")
        told += ("u" if state.up else "d") if changed else "."
    assert told == verdicts
    assert (state.probes, state.failures) == (len(results), results.count("-"))


@pytest.mark.parametrize(
    ("made", "seconds"),
    [
        (monitor(receive_timeout=3, successful_checks=5), 3),
        (monitor("UDP", receive_timeout=3, successful_checks=2), 6),
        (monitor("UDP", receive_timeout=3, successful_checks=2, response="x"), 3),
        (monitor(send_interval=10, receive_timeout=3, successful_checks=2, quickstart=False), 13),
    ],
)
def test_when_the_first_verdict_is_there(made: plan.Monitor, seconds: float) -> None:
    assert settled_after(made) == seconds


def test_of_how_long_probes_took_the_last_ones_are_remembered() -> None:
    state = CheckState(True)
    for number in range(KEPT + 3):
        state.answered(float(number))
        state.count(monitor(), passed=True)
    assert sorted(state.took) == [float(number) for number in range(3, KEPT + 3)]
