"""The file of a store: opened with what makes a commit durable, for reading alone where nothing can be written; and
SQLite's errors as ours."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from avi_shell.errors import StoreError
from dataplane import statedir
from dataplane.errors import StateError

PATIENCE = 30.0
"""Seconds to wait for another process's commit."""

_HINTS = {
    sqlite3.SQLITE_FULL: "the disk is full; nothing was stored",
    sqlite3.SQLITE_READONLY: "it can only be read; nothing was stored",
    sqlite3.SQLITE_IOERR: "the disk is full or fails; nothing was stored",
    sqlite3.SQLITE_CANTOPEN: "the disk is full or fails; nothing was stored",
    sqlite3.SQLITE_CORRUPT: "import an export into a new state folder (--state)",
    sqlite3.SQLITE_NOTADB: "import an export into a new state folder (--state)",
}
"""SQLite's primary result code → what to do, or what was not done."""


_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""SQLite's result codes for a disk that cannot be written: WAL needs a file beside the database even for reading."""


def connect(path: Path) -> sqlite3.Connection:
    """Open or create a database, for reading alone where the disk is full or may not be written. Raises StoreError."""
    try:
        statedir.prepare(path.parent)
        try:
            os.close(statedir.open_file(path, os.O_RDWR | os.O_CREAT))
        except OSError as exc:
            if exc.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            os.close(statedir.open_file(path, os.O_RDONLY))
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}", hint="name another state folder with --state") from exc
    except StateError as exc:
        raise StoreError(exc.what, hint=exc.remedy) from exc
    with guarded(str(path)):
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        try:
            _make_durable(connection)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as exc:
            connection.close()
            if reason(exc) not in _NO_ROOM or not path.stat().st_size:
                raise
            return _for_reading(path)
    return connection


class Placed:
    """Checks that an open database still is the file at its path. path: by which it was just opened; None: it is no
    file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known = self._found()

    def check(self) -> None:
        """Raise StoreError if the path has another file, or none: the next program to open it would not see what is
        written here."""
        if self._found() != self._known:
            what = f"{self._path}: it was replaced or removed since this shell opened it; nothing was stored"
            raise StoreError(what, hint="leave this shell, and start it again")

    def _found(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def for_reading(path: Path) -> sqlite3.Connection:
    """A database for reading, with the log beside it where there is one; also in a folder that cannot be written."""
    name = path.absolute().as_uri()
    beside = path.with_name(f"{path.name}-wal").exists()
    return sqlite3.connect(f"{name}?mode=ro" if beside else f"{name}?immutable=1", uri=True)


def copied(path: Path) -> sqlite3.Connection:
    """A copy of a database in memory; an empty one where there is none. Raises StoreError."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    if path.exists():
        with guarded(str(path)), closing(for_reading(path)) as stored:
            stored.backup(copy)
    return copy


@contextmanager
def guarded(where: str) -> Iterator[None]:
    """SQLite's errors as StoreError. where: the file, for messages."""
    try:
        yield
    except UnicodeDecodeError as exc:  # SQLite's own text quotes what it cannot read
        raise damaged(where, "its description of the tables is not UTF-8") from exc
    except sqlite3.Error as exc:
        if "locked" in str(exc):
            what = f"{where}: another process has been writing for {PATIENCE:.0f} s"
            raise StoreError(what, hint="try again") from exc
        raise StoreError(f"{where}: {exc}", hint=_HINTS.get(reason(exc), "")) from exc


def damaged(where: str, what: str) -> StoreError:
    """The error for a row of a store that this product cannot have written. what: the row."""
    return StoreError(f"{where} is damaged: {what}", hint="import an export into a new state folder (--state)")


def _make_durable(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as exc:
            # Switching to WAL does not wait for another process that does the same at this moment.
            if "locked" not in str(exc) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous = FULL")


def _for_reading(path: Path) -> sqlite3.Connection:
    """The database as it is, without writing anything beside it. Where commits are still in its log, which cannot be
    read without an index beside it (https://sqlite.org/wal.html), a copy of both in memory."""
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        name = f"file:{quote(str(path.absolute()))}?immutable=1"
        return sqlite3.connect(name, uri=True, timeout=PATIENCE, isolation_level=None)
    memory = sqlite3.connect(":memory:", isolation_level=None)
    from tempfile import TemporaryDirectory  # slow to import, and hardly ever needed

    try:
        with TemporaryDirectory(dir="/dev/shm") as folder:
            copy = Path(folder) / path.name
            copy.write_bytes(path.read_bytes())
            copy.with_name(log.name).write_bytes(log.read_bytes())
            with closing(sqlite3.connect(copy)) as source:
                source.backup(memory)
    except OSError as exc:
        raise StoreError(f"{path}: its log cannot be read: {exc.strerror}", hint="free space on the disk") from exc
    memory.execute("PRAGMA query_only = ON")
    return memory


def reason(exc: BaseException | None) -> int:
    """SQLite's primary result code of an error, 0 without one."""
    return (getattr(exc, "sqlite_errorcode", None) or 0) & 0xFF
