"""The parts of `make torture`, and what runs one: numbered steps, each with a seed of its own, counted by outcome."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of torture."""

    name: str  # as it is called on the command line
    what: str  # what is done, and what must hold
    count: int  # steps of a whole run
    short: int  # steps in the suite
    module: str  # of this package; its function takes a Run
    function: str = "run"  # its name

    def run(self, run: Run) -> None:
        """Do it. Raises whatever a step does that must not happen."""
        work: Callable[[Run], None] = getattr(import_module(f"tests.torture.{self.module}"), self.function)
        work(run)


@dataclass(slots=True)
class Run:
    """A run of one part. The same seed and number give the same step."""

    name: str  # the part's
    count: int  # steps to do
    seed: str = "0"
    first: int = 0  # the number of the first step
    shown: bool = False  # a person looks: one line a second
    at: int = 0  # the number of the step that is done now
    outcomes: Counter[str] = field(default_factory=Counter)  # how often a step ended how
    begun: float = field(default_factory=time.monotonic)
    _told: float = 0.0  # when the last line was shown

    def steps(self) -> Iterator[random.Random]:
        """A source of chance for each step."""
        for number in range(self.first, self.first + self.count):
            self.at = number
            self._progress()
            yield random.Random(f"{self.name}/{self.seed}/{self.at}")

    def ended(self, outcome: str, times: int = 1) -> None:
        """A step ended like this."""
        self.outcomes[outcome] += times

    def summary(self) -> str:
        """One line: what was done, how it ended, how long it took."""
        ends = ", ".join(f"{number} {outcome}" for outcome, number in sorted(self.outcomes.items()))
        done = self.at - self.first + 1 if self.count else 0
        return (
            f"{self.name}: {done} of {self.count} steps in {time.monotonic() - self.begun:.1f} s: {ends or 'nothing'}"
        )

    def _progress(self) -> None:
        now = time.monotonic()
        if self.shown and now - self._told >= 1:
            self._told = now
            print(f"\r\x1b[K{self.summary()}", end="", file=sys.stderr, flush=True)


PARTS = {
    part.name: part
    for part in (
        Part("lines", "lines of examples and transcripts, mutated: a session never raises", 1_000_000, 2_000, "lines"),
        Part("kills", "kill -9 in commits: none is torn, plan, history and audit are complete", 1_000, 10, "kills"),
        Part("confirms", "kill -9 of who undoes what nobody confirms: undone once, or kept", 500, 10, "confirms"),
        Part("disks", "disks full at some byte: what is told is what is stored, reads work", 200, 10, "disks"),
        Part("damaged", "stores damaged somewhere: what is damaged is told, nothing raises", 500, 30, "damaged"),
        Part("imports", "exports with something changed: imported or refused with the path", 10_000, 150, "imports"),
        Part("replays", "plans, neighbours, captures changed: replayed or refused", 20_000, 200, "replays"),
        Part("starts", "an engine ended at any moment of its start: nothing stays in the kernel", 500, 6, "starts"),
        Part("requests", "requests to an engine's socket: each is answered, in one line", 10_000, 200, "requests"),
        Part("crashes", "kill -9 of an engine under traffic: nothing is lost", 200, 1, "engines", "crashes"),
        Part("hangs", "an engine that stands still under traffic: nothing is lost", 100, 1, "engines", "hangs"),
        Part("floods", "ARP, ICMP and fragments beside requests: nothing is lost", 100, 1, "engines", "floods"),
    )
}
"""Every part by name, in the order in which `make torture` runs them."""
