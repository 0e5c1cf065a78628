"""What a measurement hands over, and how hard it tries.

A row's measurement is a function `measure(effort: Effort) -> Iterator[Samples]`: it yields one Samples for each line of
its row. It measures; goals, floors and verdicts are the table's (tests.bench.rows).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


class Unmeasurable(Exception):
    """A row that this machine cannot measure; the text says why. The bench ends with status 2."""


@dataclass(frozen=True)
class Effort:
    """How much work a measurement may make.

    rounds: repetitions, at least 1; of pairs where a row compares. scale: times the frames, requests or seconds of one
    repetition; 1 in a full run. A row's full run should take 30 s or less.
    """

    rounds: int
    scale: float

    def times(self, amount: int, least: int = 1) -> int:
        """amount × scale, never fewer than least."""
        return max(least, round(amount * self.scale))


FULL = Effort(9, 1.0)
QUICK = Effort(3, 0.25)
TINY = Effort(1, 0.01)
"""For tests: the function runs once; its numbers say nothing."""


@dataclass(frozen=True)
class Samples:
    """One quantity, measured several times in one run.

    name: the line within its row ("L2", "L3, 1,000,000 flows"; "" where the row has one line). unit: of values and
    against ("Mpps", "ns", "ms", "connections/s", "lost"). against: the comparison's values, pair by pair, measured in
    the same rounds; empty where the value itself is judged. versus: what the comparison is. note: facts that a reader
    of the table wants. more: anything else worth keeping in the JSON (numbers, strings, lists, dicts).
    """

    name: str
    unit: str
    values: Sequence[float]
    against: Sequence[float] = ()
    versus: str = ""
    note: str = ""
    more: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"{self.name}: no samples")
        if self.against and len(self.against) != len(self.values):
            raise ValueError(f"{self.name}: {len(self.values)} values against {len(self.against)}")

    @property
    def judged(self) -> list[float]:
        """What goal and floor are about: values divided by their comparison, or the values themselves."""
        if not self.against:
            return list(self.values)
        return [value / other for value, other in zip(self.values, self.against, strict=True)]

    @property
    def itself(self) -> float | None:
        """The comparison beside itself: its even rounds by its odd ones. As far as that is from 1, the machine moves
        ratios by itself. None where there are fewer than two."""
        if len(self.against) < 2:
            return None
        return statistics.median(self.against[::2]) / statistics.median(self.against[1::2])

    @property
    def median(self) -> float:
        """Of what is judged."""
        return statistics.median(self.judged)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile of what is judged."""
        judged = self.judged
        if len(judged) == 1:
            return judged[0], judged[0]
        low, _, high = statistics.quantiles(judged, n=4, method="inclusive")
        return low, high


Measure = Callable[[Effort], Iterator[Samples]]


def paired(rounds: int, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Measure both in every round, in alternating order, so that whatever disturbs the machine disturbs both."""
    left: list[float] = []
    right: list[float] = []
    for number in range(rounds):
        if number % 2:
            right.append(theirs())
            left.append(ours())
        else:
            left.append(ours())
            right.append(theirs())
    return left, right


def best_of(
    times: int, rounds: int, ours: Callable[[], float], theirs: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Rates, paired so many times in every round: the best of each side counts. A host gives the other thread of a
    processor's core to somebody else for seconds. Both sides are slower then, and the one with more instructions by
    more. Rounds that are slow as a whole count as they are."""
    left: list[float] = []
    right: list[float] = []
    for _ in range(rounds):
        some, others = paired(times, ours, theirs)
        left.append(max(some))
        right.append(max(others))
    return left, right


def interleaved(rounds: int, **measures: Callable[[], float]) -> dict[str, list[float]]:
    """The same for any number of measures: each is measured once a round, each round begins with another one."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    names = list(measures)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            values[name].append(measures[name]())
    return values
