"""`make bench`, or `python -m tests.bench [--quick] [--only ROW]…`: every row measured in one run.

Prints one table and writes results.json and results.svg. Ends with 0 when every row is at or above its floor, 1 when
one is below, 2 when one could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from . import machine, report, runner
from .measure import FULL, QUICK
from .report import Result
from .rows import ROWS, Verdict

OUTPUT = machine.ROOT / "build" / "bench"
WIDTH = 200
"""Columns where the output is no terminal."""


def main() -> int:
    wanted = arguments()
    if os.geteuid():
        print("bench: needs root: it makes network namespaces and loads BPF programs", file=sys.stderr)
        return 2
    rows = [row for row in ROWS if not wanted.only or row.key in wanted.only]
    effort = QUICK if wanted.quick else FULL
    facts: dict[str, Any] = {
        "command": " ".join(["python -m tests.bench", *sys.argv[1:]]),
        "quick": wanted.quick,
        "began": now(),
        "load_start": machine.load(),
        **machine.facts(),
    }
    console = Console(
        markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else WIDTH, soft_wrap=False
    )
    results: list[Result] = []
    begun = time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=True, vertical_overflow="visible") as live:
        for number, row in enumerate(rows, 1):
            result = Result(row, load=machine.load())
            results.append(result)

            def show(result: Result = result, number: int = number) -> None:
                what = f"{number} of {len(rows)}: {result.row.key}, {time.monotonic() - begun:.0f} s"
                live.update(screen(results, what))

            if not sys.stdout.isatty():
                print(f"{time.monotonic() - begun:5.0f} s  {number} of {len(rows)}: {row.key}", file=sys.stderr)
            runner.run(result, effort, show)
    facts |= {"ended": now(), "seconds": round(time.monotonic() - begun, 1), "load_end": machine.load()}
    console.print(report.table(results))
    told = report.document(results, facts)
    write(told, wanted.output)
    console.print(summary(results, told, wanted.output))
    return int(told["status"])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repetitions")
    keys = [row.key for row in ROWS]
    parser.add_argument("--only", action="append", metavar="ROW", choices=keys, help=f"one of {', '.join(keys)}")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of results.json and results.svg")
    return parser.parse_args()


def screen(results: list[Result], what: str) -> Table:
    """What is known, and below it what is going on."""
    grid = Table.grid()
    grid.add_row(report.table(results))
    grid.add_row(Spinner("line", what))
    return grid


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write(told: dict[str, Any], folder: Path) -> None:
    from . import plot

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    (folder / "results.svg").write_text(plot.svg(told))


def summary(results: list[Result], told: dict[str, Any], folder: Path) -> str:
    verdicts = [result.verdict(samples) for result in results for samples in result.samples]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in Verdict if v and v in verdicts)
    failed = sum(bool(result.failure) for result in results)
    counts += f", {failed} rows not measured" if failed else ""
    loads = " → ".join(f"{told[name][0]:.2f}" for name in ("load_start", "load_end"))
    return f"{counts}; {told['seconds']:.0f} s, load {loads}; {folder}/results.json, {folder}/results.svg"


if __name__ == "__main__":
    sys.exit(main())
