"""Commits that are undone at a deadline unless somebody confirms them: the table `unconfirmed` in a store's database.

The shell writes the table in a commit's own transaction, and undoes the commits. An engine only has to know when.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

SCHEMA = """
CREATE TABLE unconfirmed (
    number   INTEGER PRIMARY KEY,  -- of a commit that is undone at the deadline
    deadline REAL NOT NULL,        -- seconds since 1970; the same in every row
    seconds  REAL NOT NULL,        -- that the operator has since he last asked for a time; the same in every row
    fault    TEXT NOT NULL         -- why they could not be undone at the deadline; "" before it
);
"""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """What waits to be confirmed."""

    commits: tuple[int, ...]  # the numbers, in order
    deadline: float  # seconds since 1970
    seconds: float  # that there were, from when a time was last asked for to the deadline
    fault: str  # why they could not be undone at the deadline; "" before it

    @property
    def before(self) -> int:
        """The commit before the first of them."""
        return self.commits[0] - 1


def read(connection: sqlite3.Connection) -> Unconfirmed | None:
    """What waits in a store; None where nothing does, or the store has no such table yet. Raises sqlite3.Error."""
    try:
        rows = connection.execute("SELECT number, deadline, seconds, fault FROM unconfirmed ORDER BY number").fetchall()
    except sqlite3.OperationalError as exc:
        if "no such table" not in str(exc):
            raise
        return None
    if not rows or not all(_good(row) for row in rows):
        return None
    _, deadline, seconds, fault = rows[-1]
    return Unconfirmed(tuple(row[0] for row in rows), deadline, seconds, fault)


def listed(connection: sqlite3.Connection) -> tuple[Unconfirmed, ...]:
    """What waits in a store: one, or none. Raises sqlite3.Error."""
    found = read(connection)
    return () if found is None else (found,)


def add(connection: sqlite3.Connection, numbers: Sequence[int], seconds: float) -> None:
    """Add commits that wait (or none), and give all so many seconds from now on. In the open transaction."""
    deadline = time.time() + seconds
    connection.executemany("INSERT INTO unconfirmed VALUES (?, ?, ?, '')", [(n, deadline, seconds) for n in numbers])
    connection.execute("UPDATE unconfirmed SET deadline = ?, seconds = ?, fault = ''", (deadline, seconds))


def write(connection: sqlite3.Connection, waits: Unconfirmed | None) -> None:
    """Store what waits in place of what waited before. In the open transaction."""
    clear(connection)
    if waits is not None:
        rows = [(number, waits.deadline, waits.seconds, waits.fault) for number in waits.commits]
        connection.executemany("INSERT INTO unconfirmed VALUES (?, ?, ?, ?)", rows)


def fail(connection: sqlite3.Connection, fault: str) -> None:
    """Note that the commits could not be undone. In the open transaction."""
    connection.execute("UPDATE unconfirmed SET fault = ?", (fault,))


def clear(connection: sqlite3.Connection) -> None:
    """Note that nothing waits any more. In the open transaction."""
    connection.execute("DELETE FROM unconfirmed")


class Watch:
    """Tells a process when a deadline is over. It counts by a clock that nobody sets and that goes on while the machine
    sleeps, from the moment when the process first sees the deadline; until then only the time of day is known."""

    def __init__(self) -> None:
        self._deadline: float | None = None
        self._at = 0.0

    def over(self, waiting: Unconfirmed | None) -> bool:
        """Whether what waits is to be undone now. What could not be undone is not tried again."""
        if waiting is None or waiting.fault:
            return False
        if waiting.deadline != self._deadline:
            self._deadline = waiting.deadline
            self._at = _now() + min(waiting.deadline - time.time(), waiting.seconds)
        return _now() >= self._at


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _good(row: tuple[object, ...]) -> bool:
    return isinstance(row[0], int) and all(isinstance(v, float) for v in row[1:3]) and isinstance(row[3], str)
