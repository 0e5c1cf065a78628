"""The bench works: samples, verdicts, table, JSON and picture from samples made up; nothing here depends on timing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from io import StringIO
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tests import forked

from . import against, machine, plot, report, rows, runner
from .measure import TINY, Effort, Samples, Unmeasurable, best_of, interleaved, paired
from .report import Result
from .rows import ROWS, Bound, Row, Verdict

FORWARDING = Row(
    "forwarding", "frames", "bare", "test_bench:measured", {"L2": Bound(0.95, 0.88, True), "L3": Bound(0.9, 0.8, True)}
)
LOST = Row("flood", "flows lost", "", "test_bench:lost", {"established": Bound(0, 0), "new": Bound(0, None)})
SLOW = Row("slow", "milliseconds", "", "", {"one": Bound(10, 20)})


def measured(effort: Effort) -> Iterator[Samples]:
    """As a row's function: also what it prints is no result."""
    print("not a line of JSON")
    for name in ("L2", "L3"):
        yield Samples(name, "Mpps", [4.0] * effort.rounds, [4.1] * effort.rounds)


def half(_effort: Effort) -> Iterator[Samples]:
    yield Samples("L2", "Mpps", [1], [1])


def broken(_effort: Effort) -> Iterator[Samples]:
    yield Samples("L2", "Mpps", [1], [1])
    raise RuntimeError("the wire is cut")


def impossible(effort: Effort) -> Iterator[Samples]:
    if effort.rounds:
        raise Unmeasurable("no such module in this kernel")
    yield from ()


def endless(_effort: Effort) -> Iterator[Samples]:
    time.sleep(600)
    yield Samples("L2", "Mpps", [1], [1])


def canned() -> list[Result]:
    """One of each verdict, one line to compare with, one row that failed."""
    return [
        Result(
            FORWARDING,
            [
                Samples("L2", "Mpps", [4.0, 4.1, 3.9], [4.1, 4.2, 4.0]),
                Samples("L3", "Mpps", [3.0, 3.1, 3.2], [4.1, 4.2, 4.0], versus="another"),
                Samples("Linux bridge", "Mpps", [0.9, 0.8, 1.0], note="<same> wire & frames"),
            ],
            load=[0.1, 0.2, 0.3],
        ),
        Result(LOST, [Samples("established", "lost", [0, 0]), Samples("new", "lost", [3, 5])]),
        Result(SLOW, [Samples("one", "ms", [12, 13, 50])]),
        Result(FORWARDING, failure="the wire is cut"),
    ]


def told() -> dict[str, object]:
    facts = {"began": "2026-01-01T00:00:00+00:00", "load_start": [0.1], "load_end": [0.2], **machine.facts()}
    return report.document(canned(), facts)


def test_verdicts_follow_medians() -> None:
    results = canned()
    verdicts = {s.name: result.verdict(s) for result in results for s in result.samples}
    assert verdicts == {
        "L2": Verdict.GOAL, "L3": Verdict.BELOW, "Linux bridge": Verdict.SHOWN,
        "established": Verdict.GOAL, "new": Verdict.MISSED, "one": Verdict.FLOOR,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bound", "median", "verdict"),
    [
        (Bound(0.95, 0.88, True), 0.95, Verdict.GOAL),
        (Bound(0.95, 0.88, True), 0.88, Verdict.FLOOR),
        (Bound(0.95, 0.88, True), 0.8799, Verdict.BELOW),
        (Bound(10, 20), 10.0, Verdict.GOAL),
        (Bound(10, 20), 20.0, Verdict.FLOOR),
        (Bound(10, 20), 20.1, Verdict.BELOW),
        (Bound(0, 0), 0.0, Verdict.GOAL),
        (Bound(0, 0), 1.0, Verdict.BELOW),
        (Bound(40, None), 41.0, Verdict.MISSED),
    ],
)
def test_a_bound_judges(bound: Bound, median: float, verdict: Verdict) -> None:
    assert bound.verdict(median) is verdict


def test_status_tells_the_worst() -> None:
    l2, l3, _ = canned()[0].samples
    assert report.status([Result(FORWARDING, [l2])]) == 0
    assert report.status(canned()[1:3]) == 0  # without a floor nothing is below it
    assert report.status([Result(FORWARDING, [l2, l3])]) == 1
    assert report.status(canned()) == 2


def test_ratios_are_made_of_pairs_before_their_median() -> None:
    samples = Samples("", "Mpps", [1, 20, 3], [2, 10, 3])
    assert samples.judged == [0.5, 2.0, 1.0]
    assert samples.median == 1.0
    assert samples.spread == (0.75, 1.5)
    assert Samples("", "ms", [5]).spread == (5, 5)
    with pytest.raises(ValueError, match="no samples"):
        Samples("", "ms", [])
    with pytest.raises(ValueError, match="1 values against 2"):
        Samples("", "ms", [1], [1, 2])


def test_rounds_alternate() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    assert paired(3, lambda: measure("a"), lambda: measure("b")) == ([1, 4, 5], [2, 3, 6])
    order.clear()
    assert interleaved(2, a=lambda: measure("a"), b=lambda: measure("b")) == {"a": [1, 4], "b": [2, 3]}


def test_the_best_of_a_round_counts() -> None:
    ours, theirs = iter((3.0, 1.0, 2.0, 5.0)), iter((6.0, 8.0, 7.0, 1.0))
    assert best_of(2, 2, lambda: next(ours), lambda: next(theirs)) == ([3.0, 5.0], [8.0, 7.0])


def test_samples_survive_the_journey_from_their_process() -> None:
    samples = Samples("L2", "Mpps", [1.5], [2.5], "bare", "note", {"frames": 3, "set": [1]})
    assert report.decode(report.encode(samples)) == samples


def test_the_table_shows_every_line() -> None:
    out = StringIO()
    Console(file=out, width=200, markup=False, emoji=False).print(report.table(canned()))
    lines = out.getvalue().splitlines()
    (l2,) = (line for line in lines if "L2" in line)
    for word in ("forwarding", "0.98 ×", "0.98 – 0.98", "≥ 0.95", "≥ 0.88", "goal met", "4 : 4.10 Mpps", "bare"):
        assert word in l2
    for words in (("L3", "below floor", "another"), ("bridge", "0.90 Mpps"), ("one", "13 ms", "≤ 20", "floor met"),
                  ("not measured", "the wire is cut"), ("new", "4 lost", "printed", "goal missed")):  # fmt: skip
        assert any(all(word in line for word in words) for line in lines), words


def test_json_holds_samples_and_facts() -> None:
    document = json.loads(json.dumps(told()))
    assert document["schema"] == report.SCHEMA
    assert document["status"] == 2
    assert document["machine"]["kernel"]
    assert document["machine"]["usable_cpus"] > 0
    assert len(document["commit"]) == 40
    assert document["versions"]["python"].startswith("3.")
    row = document["rows"][0]
    assert (row["row"], row["load"], row["failure"]) == ("forwarding", [0.1, 0.2, 0.3], None)
    l2, _, bridge = row["lines"]
    assert l2["values"] == [4.0, 4.1, 3.9]
    assert l2["against"] == [4.1, 4.2, 4.0]
    assert (l2["goal"], l2["floor"], l2["verdict"], l2["versus"]) == (0.95, 0.88, "goal met", "bare")
    assert (bridge["goal"], bridge["verdict"]) == (None, None)


def test_the_picture_has_a_bar_a_line_and_marks_of_floors() -> None:
    root = ElementTree.fromstring(plot.svg(told()))
    space = "{http://www.w3.org/2000/svg}"
    bars = [e for e in root.iter(f"{space}rect") if e.get("height") == str(plot.BAR)]
    assert len(bars) == 5 + 3  # judged ones; the row that has something beside it, once more
    assert all(float(bar.get("width", "-1")) >= 0 for bar in bars)
    floors = [e for e in root.iter(f"{space}line") if e.get("stroke-width") == "2.2"]
    assert len(floors) == 4
    texts = "\n".join(e.text or "" for e in root.iter(f"{space}text"))
    for words in ("goal ≥ 0.95, floor ≥ 0.88", "0.98 ×", "4 lost", "Linux bridge", "the wire is cut", "13 ms"):
        assert words in texts


@pytest.mark.parametrize(
    ("value", "goal", "more", "times"),
    [(1.9, 0.95, True, 2), (5, 10, False, 2), (0, 0, False, 1), (3, 0, False, 0.25), (0, 10, False, plot.LONGEST)],
)
def test_bars_are_multiples_of_the_goal(value: float, goal: float, more: bool, times: float) -> None:
    assert plot.multiple(value, goal, more) == times


def test_a_row_is_measured_in_a_process_of_its_own() -> None:
    result, shown = Result(FORWARDING), []
    runner.run(result, Effort(2, 0.01), lambda: shown.append(len(result.samples)))
    assert result.failure == ""
    assert [(s.name, list(s.values)) for s in result.samples] == [("L2", [4.0, 4.0]), ("L3", [4.0, 4.0])]
    assert shown == [0, 1, 2]
    assert result.seconds > 0


@pytest.mark.parametrize(
    ("function", "failure"),
    [
        ("half", "not measured: L3"),
        ("broken", "RuntimeError: the wire is cut"),
        ("impossible", "no such module in this kernel"),
    ],
)
def test_what_cannot_be_measured_is_told(function: str, failure: str) -> None:
    result = Result(Row("x", "", "", f"test_bench:{function}", FORWARDING.bounds))
    runner.run(result, TINY)
    assert result.failure == failure
    assert report.status([result]) == 2


def test_a_row_that_hangs_is_ended() -> None:
    result = Result(Row("x", "", "", "test_bench:endless", FORWARDING.bounds))
    runner.run(result, TINY, patience=2)
    assert result.failure == "not done after 2 s"


def test_two_checkouts_are_compared_line_by_line_and_round_by_round() -> None:
    def found(**lines: float) -> list[Samples]:
        return [Samples(name, "ns", [value]) for name, value in lines.items()]

    rounds = [(found(L2=24, new=1), found(L2=23)), (found(L2=30, new=1), found(L2=32, old=5))]
    (difference,) = against.joined(rounds, difference=True)
    assert (difference.judged, difference.unit, difference.note) == ([1, -2], "ns", "27 : 27.5 ns")
    (ratio,) = against.joined(rounds, difference=False)
    assert ratio.judged == [24 / 23, 30 / 32]
    assert list(against.joined([], difference=False)) == []


def test_what_is_compared_is_a_row_and_a_checkout_knows_its_rows() -> None:
    keys = {row.key for row in ROWS} | {against.SHELL.key}
    assert {*against.USUAL, *against.DIFFERENCES, *against.BOUNDS} <= keys
    assert against.Checkout(machine.ROOT).rows() == {row.key: row.measure for row in ROWS}


def test_rows_have_names_of_their_own_and_bounds_that_can_be_met() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert row.bounds
        for bound in row.bounds.values():
            assert bound.floor is None or bound.more == (bound.floor < bound.goal) or bound.floor == bound.goal


@pytest.mark.parametrize("row", rows.ROWS, ids=lambda row: row.key)
def test_every_row_can_be_measured(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "subprocess", forked.LIBRARY)
    result = Result(row)
    runner.run(result, TINY)
    assert result.failure == ""
    for samples in result.samples:
        assert all(value >= 0 for value in (*samples.values, *samples.against))
        assert samples.unit == "lost" or all(value > 0 for value in samples.values)
