"""Places in arrays: given out, and taken back."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable

from .errors import DriverError


class Numbers:
    """Numbers from 0 on, given out and taken back."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit, self._what = limit, what
        self._free: list[int] = []
        self.end = 0

    def start(self, used: Iterable[int]) -> None:
        """Go on where these are given out."""
        taken = set(used)
        self.end = max(taken, default=-1) + 1
        self._free = [n for n in range(self.end) if n not in taken]

    def take(self) -> int:
        """A number that is free. Raises DriverError when there is none."""
        if self._free:
            return self._free.pop()
        if self.end == self._limit:
            raise DriverError(f"the XDP program holds no more than {self._limit} {self._what}")
        self.end += 1
        return self.end - 1

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
        raise DriverError(f"the XDP program holds no more than {self._limit} {self._what}")

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
