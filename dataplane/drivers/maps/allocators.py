"""Places in arrays: given out, taken back, and at rest while a packet may still look."""

from __future__ import annotations

import time
from bisect import bisect
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from dataplane.errors import DriverError

REST = 1.0
"""Seconds between a place's end and its next use; a packet takes microseconds."""

T = TypeVar("T")


class Retired(Generic[T]):
    """Places that are no longer named anywhere, but that a packet in the program may have found before. give: takes one
    back; clock: seconds."""

    def __init__(self, give: Callable[[T], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._give, self._clock = give, clock
        self._resting: deque[tuple[float, T]] = deque()

    def __len__(self) -> int:
        return len(self._resting)

    def add(self, place: T) -> None:
        """Retire a place."""
        self._resting.append((self._clock(), place))

    def ripen(self) -> None:
        """Give back what has rested long enough."""
        until = self._clock() - REST
        while self._resting and self._resting[0][0] < until:
            self._give(self._resting.popleft()[1])

    def release(self) -> None:
        """Give back everything: no packet looks there any more."""
        while self._resting:
            self._give(self._resting.popleft()[1])


class Numbers:
    """Numbers from `first` on, given out and taken back."""

    def __init__(self, limit: int, what: str, first: int = 0) -> None:
        self._limit, self._what, self._first = limit, what, first
        self._free: list[int] = []
        self.end = first

    def start(self, used: Iterable[int]) -> None:
        """Go on where these are given out."""
        taken = set(used)
        self.end = max(taken, default=self._first - 1) + 1
        self._free = [n for n in range(self._first, self.end) if n not in taken]

    @property
    def room(self) -> int:
        """How many are free."""
        return len(self._free) + self._limit - self.end

    def take(self) -> int:
        """A number that is free. Raises DriverError when there is none."""
        return self.take_some(1)[0]

    def take_some(self, wanted: int) -> list[int]:
        """So many numbers that are free. Raises DriverError when there are not as many; then none is taken."""
        if wanted > self.room:
            raise DriverError(f"there is room for no more than {self._limit - self._first} {self._what}")
        again = min(wanted, len(self._free))
        taken = [self._free.pop() for _ in range(again)]
        taken += range(self.end, self.end + wanted - again)
        self.end += wanted - again
        return taken

    def give(self, number: int) -> None:
        """Take a number back."""
        self._free.append(number)


class Runs:
    """Places side by side, given out and taken back."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit, self._what = limit, what
        self._free = [(0, limit)]

    def start(self, used: Iterable[tuple[int, int]]) -> None:
        """Go on where these (first, number) are given out."""
        at = 0
        self._free = []
        for first, number in sorted(used):
            if first > at:
                self._free.append((at, first - at))
            at = max(at, first + number)
        if at < self._limit:
            self._free.append((at, self._limit - at))

    def take(self, number: int) -> int:
        """The first of so many places. Raises DriverError when there are none."""
        if not number:
            return 0
        for i, (first, free) in enumerate(self._free):
            if free >= number:
                self._free[i : i + 1] = [(first + number, free - number)] if free > number else []
                return first
        raise DriverError(f"there is room for no more than {self._limit} {self._what}")

    def give(self, first: int, number: int) -> None:
        """Take places back."""
        if not number:
            return
        at = bisect(self._free, (first, 0))
        if at < len(self._free) and self._free[at][0] == first + number:
            number += self._free.pop(at)[1]
        if at and sum(self._free[at - 1]) == first:
            before, length = self._free.pop(at - 1)
            first, number, at = before, length + number, at - 1
        self._free.insert(at, (first, number))
