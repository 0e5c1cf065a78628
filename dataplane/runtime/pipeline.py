"""Makes large values in threads, ahead of whoever takes them: some of them, never all at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import TypeVar

PIECES = 4
"""Pieces of a batch. Each is made by one thread, which waits for the interpreter's lock when it has finished."""
BATCHES = 2
"""Batches that are made ahead."""

A = TypeVar("A")
B = TypeVar("B")


def batches(executor: Executor, make: Callable[[A], B], of: Sequence[A], size: int) -> Iterator[list[B]]:
    """What `make` makes of each, in their order, `size` at a time. A single value is made by the caller's thread."""
    if len(of) < 2:
        if of:
            yield [make(one) for one in of]
        return
    piece = -(-min(size, len(of)) // PIECES)
    making: deque[Future[list[B]]] = deque()
    for first in range(0, len(of), piece):
        making.append(executor.submit(_all, make, of[first : first + piece]))
        if len(making) == (BATCHES + 1) * PIECES:
            yield [made for _ in range(PIECES) for made in making.popleft().result()]
    while making:
        yield [made for _ in range(min(PIECES, len(making))) for made in making.popleft().result()]


def _all(make: Callable[[A], B], of: Sequence[A]) -> list[B]:
    return [make(one) for one in of]
