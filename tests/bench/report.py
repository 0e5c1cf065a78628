"""What a run of the bench found: verdicts, exit status, the table, the JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from .measure import Samples
from .rows import Bound, Row, Verdict

SCHEMA = 1
COLOURS = {Verdict.GOAL: "green", Verdict.FLOOR: "yellow", Verdict.MISSED: "yellow", Verdict.BELOW: "bold red"}


@dataclass
class Result:
    """A row's outcome. failure: why it, or a line of it, could not be measured; "" where all was."""

    row: Row
    samples: list[Samples] = field(default_factory=list)
    failure: str = ""
    seconds: float = 0.0
    load: Sequence[float] = ()
    """Load average when it began."""

    def bound(self, samples: Samples) -> Bound | None:
        return self.row.bounds.get(samples.name)

    def verdict(self, samples: Samples) -> Verdict:
        bound = self.bound(samples)
        return bound.verdict(samples.median) if bound else Verdict.SHOWN

    def close(self) -> None:
        """Nothing more comes: lines that are missing are a failure."""
        missing = [name for name in self.row.bounds if name not in {s.name for s in self.samples}]
        if missing and not self.failure:
            self.failure = f"not measured: {', '.join(missing)}"


def status(results: Iterable[Result]) -> int:
    """2: something could not be measured; 1: something is below its floor; 0: neither."""
    results = list(results)
    if any(result.failure for result in results):
        return 2
    below = any(result.verdict(samples) is Verdict.BELOW for result in results for samples in result.samples)
    return int(below)


def number(value: float) -> str:
    """Three digits that say something."""
    if value and abs(value) < 0.01:
        return f"{value:.2g}"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 20 else f"{value:.2f}"


def judged(samples: Samples) -> str:
    """The number that goal and floor are about, with its unit."""
    return f"{number(samples.median)} {'×' if samples.against else samples.unit}"


def quartiles(samples: Samples) -> str:
    low, high = samples.spread
    return f"{number(low)} – {number(high)}"


def measured(samples: Samples) -> str:
    """The medians as measured, beside the comparison's."""
    if not samples.against:
        return ""
    ours, theirs = (_median(values) for values in (samples.values, samples.against))
    itself = "" if samples.itself is None else f", itself {samples.itself:.2f}"
    return f"{number(ours)} : {number(theirs)} {samples.unit}{itself}"


def _median(values: Sequence[float]) -> float:
    return Samples("", "", values).median


def mark(bound: Bound | None, value: float | None) -> str:
    if bound is None:
        return ""
    return "printed" if value is None else f"{'≥' if bound.more else '≤'} {number(value)}"


def table(results: Iterable[Result], running: str = "") -> Table:
    """Every line measured so far; running: a last line that says what is being measured."""
    made = Table(
        "Row", "Work", "Line", "Result", "Quartiles", "Goal", "Floor", "Verdict", "Measured : against", "Against",
        box=box.ASCII2,
    )  # fmt: skip
    for result in results:
        row = result.row
        texts = [row.key, row.work]
        for samples in result.samples:
            bound, verdict = result.bound(samples), result.verdict(samples)
            versus = samples.versus or (row.against if samples.against or bound else "")
            versus = "; ".join(filter(None, (versus, samples.note)))
            goal, floor = (bound.goal, bound.floor) if bound else (None, None)
            made.add_row(
                *texts, samples.name, judged(samples), quartiles(samples), mark(bound, goal), mark(bound, floor),
                Text(verdict, COLOURS.get(verdict, "")), measured(samples), versus,
            )  # fmt: skip
            texts = ["", ""]
        if result.failure:
            made.add_row(*texts, "", "", "", "", "", Text("not measured", "bold red"), "", result.failure)
    if running:
        made.add_row(*running.split(" ", 1))
    return made


def document(results: Iterable[Result], facts: dict[str, Any]) -> dict[str, Any]:
    """The JSON: facts of the run, and of every row its lines with every sample."""
    results = list(results)
    return {"schema": SCHEMA, **facts, "rows": [_row(result) for result in results], "status": status(results)}


def _row(result: Result) -> dict[str, Any]:
    row = result.row
    return {
        "row": row.key, "work": row.work, "against": row.against, "seconds": round(result.seconds, 2),
        "load": list(result.load), "failure": result.failure or None,
        "lines": [_line(result, samples) for samples in result.samples],
    }  # fmt: skip


def _line(result: Result, samples: Samples) -> dict[str, Any]:
    bound = result.bound(samples)
    return {
        "name": samples.name,
        "unit": samples.unit,
        "values": list(samples.values),
        "against": list(samples.against),
        "versus": samples.versus or result.row.against,
        "ratio": bool(samples.against),
        "median": samples.median,
        "quartiles": list(samples.spread),
        "goal": bound and bound.goal,
        "floor": bound and bound.floor,
        "more_is_better": bound and bound.more,
        "verdict": str(result.verdict(samples)) or None,
        "note": samples.note,
        "more": samples.more,
    }


def encode(samples: Samples) -> str:
    """One line of JSON, from the process that measures to the one that reports."""
    names = ("name", "unit", "values", "against", "versus", "note", "more")
    return json.dumps({name: getattr(samples, name) for name in names}, default=list)


def decode(line: str) -> Samples:
    """Raises ValueError, TypeError where it is no such line."""
    return Samples(**json.loads(line))
