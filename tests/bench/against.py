"""`make bench AGAINST=COMMIT`, or `python -m tests.bench.against COMMIT [--quick] [--only ROW]…`: this checkout beside
another commit, measured in the same rounds, on the same machine, with the same packages.

The other commit is checked out in build/against/. A row is measured by each checkout's own bench, in a process of its
own every round, so that nothing of the one must fit the other but how `tests.bench.runner` is called and what it
prints. Who begins changes from round to round. Prints one table and writes build/bench/against-COMMIT.json. Ends with
0 when everything is within its bound, 1 when something is not, 2 when something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from . import machine, report, runner
from .measure import FULL, QUICK, Effort, Samples
from .report import Result
from .rows import ROWS, Bound, Row, at_most

CHECKOUTS = machine.ROOT / "build" / "against"
OUTPUT = machine.ROOT / "build" / "bench"
LISTING = Path(__file__).with_name("listing.py")
STARTS = 5
"""Starts of the shell in one round; the quickest is the round's value: whatever else runs only adds to it."""
PATIENCE = 180.0
"""Seconds that one row of one checkout may take in one round."""

SHELL = Row("shell", "start of `avi-shell -c 'show version'`", "", "", {"shell": at_most(1.05, 1.05)})
BOUNDS: dict[str, dict[str, Bound]] = {
    "frame": {"L2": at_most(1, 1), "L3": at_most(2, 2)},
    "start": {"cold": at_most(1.05, 1.05), "adopting": at_most(1.05, 1.05)},
    "memory": {"maps and engine": at_most(1.05, 1.05)},
    "history": {"commit": at_most(1.05, 1.05)},
}
"""Of the lines of a row: of the ratio to the other commit, or of the difference. Others are printed and not judged."""
DIFFERENCES = ("frame",)
"""Rows whose lines are compared by difference: what they tell is small already, and a difference itself."""
USUAL = ("frame", "shell", "start", "memory", "history", "forwarding", "pcap", "latency", "tables")
"""Rows that are measured where none is named; the longest are left out."""


@dataclass(frozen=True)
class Checkout:
    """A tree of files with a bench and programs of its own."""

    root: Path

    def rows(self) -> dict[str, str]:
        """The functions that measure, by the keys of rows. Raises CalledProcessError."""
        done = subprocess.run(
            [sys.executable, "-P", str(LISTING)],
            cwd=self.root, env=runner.environment(self.root), stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        found: dict[str, str] = json.loads(done.stdout)
        return found

    def measure(self, row: Row, scale: float) -> list[Samples]:
        """One round of a row, by this checkout's bench. Raises RuntimeError where it cannot be measured."""
        if row is SHELL:
            return [self._shell()]
        found = Result(replace(row, bounds={}))
        runner.run(found, Effort(1, scale), patience=PATIENCE, root=self.root)
        if found.failure:
            raise RuntimeError(found.failure)
        return found.samples

    def _shell(self) -> Samples:
        with tempfile.TemporaryDirectory() as state:
            words = [sys.executable, "-m", "avi_shell", "--state", f"{state}/avi", "-c", "show version"]

            def start() -> float:
                begun = time.perf_counter()
                subprocess.run(words, cwd=self.root, env=runner.environment(self.root), check=True, capture_output=True)
                return (time.perf_counter() - begun) * 1000

            start()
            return Samples("shell", "ms", [min(start() for _ in range(STARTS))])


def checked_out(commit: str) -> Checkout:
    """The files of a commit, in build/. Raises CalledProcessError where there is none of this name."""
    git = ["git", "-C", str(machine.ROOT)]
    sha = subprocess.run(
        [*git, "rev-parse", "--verify", f"{commit}^{{commit}}"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    folder = CHECKOUTS / sha[:12]
    if not folder.exists():
        subprocess.run([*git, "worktree", "prune"], check=True)
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(folder), sha], check=True)
    return Checkout(folder)


def compared(row: Row, ours: Checkout, theirs: Checkout, effort: Effort, tell: Callable[[str], None]) -> Result:
    """A row of both checkouts, in so many rounds; theirs may know it by another function."""
    result = Result(replace(row, against="", bounds=BOUNDS.get(row.key, row.bounds if row is SHELL else {})))
    functions = theirs.rows() if row is not SHELL else {SHELL.key: ""}
    if row.key not in functions:
        result.failure = "the other commit has no such row"
        return result
    other = row if row is SHELL else replace(row, measure=functions[row.key])
    begun = time.monotonic()
    rounds: list[tuple[list[Samples], list[Samples]]] = []
    try:
        for number in range(effort.rounds):
            tell(f"{row.key}, round {number + 1} of {effort.rounds}")
            if number % 2:
                second = theirs.measure(other, effort.scale)
                rounds.append((ours.measure(row, effort.scale), second))
            else:
                rounds.append((ours.measure(row, effort.scale), theirs.measure(other, effort.scale)))
    except RuntimeError as exc:
        result.failure = str(exc)
    result.samples += joined(rounds, difference=row.key in DIFFERENCES)
    result.seconds = time.monotonic() - begun
    result.close()
    return result


def joined(rounds: Sequence[tuple[Sequence[Samples], Sequence[Samples]]], *, difference: bool) -> Iterator[Samples]:
    """Each line that both checkouts have, with one pair of values a round: the median of what each one measured."""
    if not rounds:
        return
    for line in rounds[0][0]:
        pairs = [(_value(ours, line.name), _value(theirs, line.name)) for ours, theirs in rounds]
        left = [one for one, other in pairs if one is not None and other is not None]
        right = [other for one, other in pairs if one is not None and other is not None]
        if not left:
            continue
        note = f"{report.number(statistics.median(left))} : {report.number(statistics.median(right))} {line.unit}"
        if difference:
            more: dict[str, object] = {"ours": left, "theirs": right}
            yield Samples(line.name, line.unit, [a - b for a, b in zip(left, right, strict=True)], note=note, more=more)
        else:
            yield Samples(line.name, line.unit, left, right)


def _value(samples: Sequence[Samples], name: str) -> float | None:
    return next((statistics.median(one.values) for one in samples if one.name == name), None)


def main() -> int:
    """Compare and print."""
    wanted = arguments()
    if os.geteuid():
        print("bench: needs root: it makes network namespaces and loads BPF programs", file=sys.stderr)
        return 2
    ours, theirs = Checkout(machine.ROOT), checked_out(wanted.commit)
    effort = QUICK if wanted.quick else FULL
    keys = wanted.only or USUAL
    facts = {"against": theirs.root.name, "quick": wanted.quick, "load_start": machine.load(), **machine.facts()}
    results = [
        compared(row, ours, theirs, effort, lambda told: print(told, file=sys.stderr))
        for row in (SHELL, *ROWS) if row.key in keys
    ]  # fmt: skip
    console = Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(report.table(results))
    told = report.document(results, {**facts, "load_end": machine.load()})
    OUTPUT.mkdir(parents=True, exist_ok=True)
    written = OUTPUT / f"against-{theirs.root.name}.json"
    written.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    console.print(f"this checkout against {theirs.root.name}, {effort.rounds} rounds; {written}")
    return int(told["status"])


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="make bench AGAINST=COMMIT", description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repetitions")
    parser.add_argument("--only", action="append", metavar="ROW", choices=[SHELL.key, *(row.key for row in ROWS)])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
