"""Lines for the audit log that commits left in the store, and that are not known to stand in the log yet.

A line is written in the commit's own transaction: whoever commits may be killed at any moment, and the line is there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from avi_shell.configuration import storefile
from avi_shell.configuration.record import Author, Commit

Waiting = tuple[int, str]
"""A commit's number and its line, without a line end."""


def entry(
    by: Author,
    time: float,
    tenant: str,
    command: str,
    mode: Sequence[str] = (),
    ok: bool = True,
    number: int | None = None,
) -> str:
    """A line of the audit log: JSON, without a line end.

    by: who typed it; time: seconds since 1970; mode: the open modes after it, outermost first; ok: whether it was
    taken; number: of the commit that it made, None without one.
    """
    return json.dumps(
        {
            "time": round(time, 3),
            "user": by.user,
            "os_user": by.os_user,
            "terminal": by.terminal,
            "origin": by.typed_at,
            "tenant": tenant,
            "mode": list(mode),
            "command": command,
            "ok": ok,
            "committed": number,
        }
    )


def of_commit(commit: Commit, by: Author | None = None) -> str:
    """The line of a commit. by: its author; None where only the commit is known, as one of another store."""
    if by is None:
        by = Author(commit.user, commit.os_user, commit.terminal, typed=commit.line, typed_at=commit.origin)
    return entry(by, commit.time, commit.tenant, by.typed or commit.line, number=commit.number)


class Outbox:
    """The table `outbox`. where: the store's file, for messages."""

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self._connection = connection
        self._where = where

    def add(self, number: int, line: str) -> None:
        """Leave the line of a commit, in its transaction."""
        self._connection.execute("INSERT INTO outbox (number, line) VALUES (?, ?)", (number, line))

    def waiting(self) -> list[Waiting]:
        """The lines that are there, in the order of their commits."""
        rows: list[Any] = self._connection.execute("SELECT number, line FROM outbox ORDER BY rowid").fetchall()
        return [(number, line) for number, line in rows if isinstance(number, int) and isinstance(line, str)]

    def forget(self, lines: Sequence[Waiting]) -> bool:
        """Take lines out, in a transaction of its own. False: another process is writing, or nothing can be written;
        they are still there. It waits for no one and for no disk: a line that comes back is found in the log."""
        run = self._connection.execute
        run("PRAGMA busy_timeout = 0")
        run("PRAGMA synchronous = NORMAL")
        try:
            run("BEGIN IMMEDIATE")
            self._connection.executemany("DELETE FROM outbox WHERE number = ? AND line = ?", lines)
            run("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                run("ROLLBACK")
            return False
        finally:
            run("PRAGMA synchronous = FULL")
            run(f"PRAGMA busy_timeout = {int(storefile.PATIENCE * 1000)}")
        return True
