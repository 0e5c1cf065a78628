"""Where the plan comes from. Today one source: the shell's store on this machine.

A source is a small interface, so that a plan shared by engines on several machines can take its place.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Protocol

from dataplane.errors import PlanError
from dataplane.plan import Plan, sqlite


class PlanSource(Protocol):
    """Tells whether the plan changed, and what."""

    def changed(self) -> bool:
        """Whether there may be something new since the last call; cheap enough to be asked many times a second."""

    def read(self, after: int) -> Plan:
        """What changed after a version (−1: everything). Raises PlanError."""

    def close(self) -> None:
        """End."""


class StoreSource:
    """The plan in `config.db` of a state directory. A store that does not exist yet is an empty plan."""

    def __init__(self, state: Path) -> None:
        self._path = state / "config.db"
        self._connection: sqlite3.Connection | None = None
        self._seen = -1

    def changed(self) -> bool:
        """Asks SQLite for `PRAGMA data_version`: it changes with every commit of another connection."""
        try:
            connection = self._open()
            if connection is None:
                return False
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as exc:
            raise PlanError(f"{self._path}: {exc}") from exc
        before, self._seen = self._seen, version
        return bool(before != version)

    def read(self, after: int) -> Plan:
        """Reads the table `plan` in one transaction."""
        try:
            connection = self._open()
            if connection is None:
                return Plan(after, {}, None)
            with connection:
                return sqlite.read(connection, after)
        except sqlite3.OperationalError as exc:
            if "no such table" in str(exc):  # the shell is about to create it
                return Plan(after, {}, None)
            raise PlanError(f"{self._path}: {exc}") from exc
        except sqlite3.Error as exc:
            raise PlanError(f"{self._path}: {exc}") from exc

    def close(self) -> None:
        """Close the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection | None:
        if self._connection is None and self._path.exists():
            self._connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True, timeout=5)
        return self._connection
