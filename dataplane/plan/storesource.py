"""The plan in the shell's store on this machine, looked at by a thread of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dataplane.errors import PlanError
from dataplane.plan import Plan, sqlite

LOOK_EVERY = 0.1
"""Seconds between looks at the store when nobody wakes."""


class StoreSource:
    """The plan in `config.db` of a state directory. A store that does not exist yet is an empty plan."""

    def __init__(self, state: Path) -> None:
        self._path = state / "config.db"
        self._thread = ThreadPoolExecutor(1, "avi-se-plan")
        self._wake = threading.Event()
        self._closing = False
        # What follows is the thread's.
        self._connection: sqlite3.Connection | None = None
        self._seen = -1
        self._looked = False
        self._failing = ""

    async def read(self) -> Plan:
        """Reads the table `plan` in one transaction."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._whole)

    async def newer(self, after: int) -> Plan:
        """Looks again and again until the store has a newer version."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._wait, after)

    def wake(self) -> None:
        """Looks at once, and not only when LOOK_EVERY is over."""
        self._wake.set()

    def close(self) -> None:
        """End the thread, close the database."""
        self._closing = True
        self._wake.set()
        self._thread.submit(self._disconnect)
        self._thread.shutdown()

    def _whole(self) -> Plan:
        self._changed()
        return self._read(-1)

    def _wait(self, after: int) -> Plan:
        while not self._closing:
            if self._looked:
                self._wake.wait(LOOK_EVERY)
                self._wake.clear()
            self._looked = True
            try:
                changed = self._changed()
                self._failing = ""
            except PlanError as exc:
                if str(exc) == self._failing:
                    continue
                self._failing = str(exc)
                raise
            plan = self._read(after) if changed else None
            if plan is not None and plan.version != after:
                return plan
        return Plan(after, {}, None)

    def _changed(self) -> bool:
        """Whether there may be something new since the last look. Asks SQLite for `PRAGMA data_version`, which changes
        with every commit of another connection."""
        try:
            connection = self._open()
            if connection is None:
                return False
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as exc:
            raise PlanError(f"{self._path}: {exc}") from exc
        before, self._seen = self._seen, version
        return bool(before != version)

    def _read(self, after: int) -> Plan:
        try:
            connection = self._open()
            if connection is None:
                return Plan(after, {}, None)
            with connection:
                sqlite.require_format(connection)
                return sqlite.read(connection, after)
        except PlanError as exc:
            raise PlanError(f"{self._path}: {exc}") from exc
        except sqlite3.OperationalError as exc:
            if "no such table" in str(exc):  # the shell is about to create it
                return Plan(after, {}, None)
            raise PlanError(f"{self._path}: {exc}") from exc
        except sqlite3.Error as exc:
            raise PlanError(f"{self._path}: {exc}") from exc

    def _open(self) -> sqlite3.Connection | None:
        if self._connection is None and self._path.exists():
            self._connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True, timeout=5)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
