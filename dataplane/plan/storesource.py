"""The plan in the shell's store on this machine, looked at by a thread of its own.

The database is open only while it is read. So the last shell that closes it takes its log with it, and `config.db` is
whole whenever no shell runs. The next look finds another file that was moved to its place.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from dataplane.errors import PlanError
from dataplane.plan import Common, Mark, Plan, sqlite, unconfirmed
from dataplane.plan.unconfirmed import Unconfirmed

LOOK_EVERY = 0.1
"""Seconds between looks at the store when nobody wakes."""
SETTLED = 2.0
"""Seconds after a change of the store's files for which every look reads it: a commit is seen a moment after its
bytes."""
PATIENCE = 5.0
"""Seconds to wait for another process's commit."""

_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""Result codes of a disk that cannot be written: WAL needs a file beside the database even for reading."""

Signature = tuple[tuple[int, int, int, int] | None, ...]
"""Device, inode, size and time of change of the database and of its log; None for one that is not there, or empty."""


class StoreSource:
    """The plan in `config.db` of a state directory. A store that does not exist yet is an empty plan."""

    def __init__(self, state: Path) -> None:
        self._path = state / "config.db"
        self._log = self._path.with_name("config.db-wal")
        self._thread = ThreadPoolExecutor(1, "avi-se-plan")
        self._wake = threading.Event()
        self._closing = False
        self._anew = False  # the next look reads everything
        self.unconfirmed: Unconfirmed | None = None  # written by the thread, read by the loop
        # What follows is the thread's.
        self._looked = False
        self._failing = ""
        self._seen: Signature = ()
        self._settled = 0.0  # from when on its files are believed to be unchanged
        self._file: tuple[int, int] | None = None  # device and inode of the database that was read last

    async def read(self) -> Plan:
        """Reads the table `plan` in one transaction."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._whole)

    async def common(self) -> Common | None:
        """Reads one row."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._common)

    async def newer(self, after: Mark) -> Plan:
        """Looks again and again until the store has a newer version, or is another one."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._wait, after)

    def wake(self) -> None:
        """Looks at once, and not only when LOOK_EVERY is over."""
        self._wake.set()

    def reread(self) -> None:
        """Reads everything again at once, whatever was read before."""
        self._anew = True
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._wake.set()
        self._thread.shutdown()

    def _common(self) -> Common | None:
        with suppress(PlanError, sqlite3.Error), self._connection() as connection:
            if connection is not None:
                sqlite.state(connection)  # which refuses a layout of another release
                return sqlite.read_common(connection)
        return None

    def _whole(self) -> Plan:
        self._changed()
        return self._read(None) or Plan(-1, {}, None)

    def _wait(self, after: Mark) -> Plan:
        woken = True
        while not self._closing:
            if self._looked:
                woken = self._wake.wait(LOOK_EVERY)
                self._wake.clear()
            self._looked = True
            if not (self._changed() or woken):
                continue
            anew, self._anew = self._anew, False
            try:
                plan = self._read(None if anew else after)
                self._failing = ""
            except PlanError as exc:
                if str(exc) == self._failing:
                    continue
                self._failing = str(exc)
                raise
            if plan is not None:
                return plan
        return Plan(after.version, {}, None, identity=after.identity, epoch=after.epoch)

    def _changed(self) -> bool:
        """Whether there may be something new since the last look."""
        signature = _signature(self._path), _signature(self._log)
        if signature != self._seen:
            self._seen, self._settled = signature, time.monotonic() + SETTLED
        return time.monotonic() < self._settled

    def _read(self, after: Mark | None) -> Plan | None:
        """What changed after a mark; all of it for None, and where the store is not the one that the mark is of. None:
        nothing did, or there is no store."""
        try:
            with self._connection() as connection:
                if connection is None:
                    return None
                self.unconfirmed = unconfirmed.read(connection)
                return self._plan(connection, after)
        except PlanError as exc:
            raise PlanError(f"{self._path}: {exc}") from exc
        except sqlite3.Error as exc:
            if "no such table" in str(exc):  # the shell is about to create it
                return None
            raise PlanError(f"{self._path}: {exc}") from exc

    def _plan(self, connection: sqlite3.Connection, after: Mark | None) -> Plan | None:
        now = sqlite.state(connection)
        file, self._file = self._file, self._seen[0][:2] if self._seen and self._seen[0] else None
        known = after is not None and now[1:] == after[1:] and file in (None, self._file)
        if after is not None and known and now.version >= after.version:
            return sqlite.read(connection, after.version) if now.version > after.version else None
        return replace(sqlite.read(connection), whole=True)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection | None]:
        """The database in a transaction; None where there is none."""
        if not self._path.exists():
            yield None
            return
        name = self._path.absolute().as_uri()
        connection = sqlite3.connect(f"{name}?mode=rw", uri=True, timeout=PATIENCE, isolation_level=None)
        try:
            connection.execute("BEGIN")
            connection.execute("PRAGMA schema_version").fetchone()
        except sqlite3.Error as exc:
            connection.close()
            if (exc.sqlite_errorcode & 0xFF) not in _NO_ROOM or _signature(self._log) is not None:
                raise
            connection = sqlite3.connect(f"{name}?immutable=1", uri=True, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()


def _signature(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if found.st_size else None
