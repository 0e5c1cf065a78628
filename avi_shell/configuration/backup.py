"""Saves the whole store, with history and plan, as one file; and restores the store from such a file."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from avi_shell.configuration import storefile
from avi_shell.configuration.configuration import DATABASE, Configuration
from avi_shell.configuration.record import Author
from avi_shell.configuration.store import Store
from avi_shell.errors import Refused, StoreError
from dataplane import statedir
from dataplane.errors import command
from dataplane.foreign import files
from dataplane.plan import sqlite

_NO_STORE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
"""SQLite's result codes for a file that is no database, or a damaged one."""

_ROLLBACK = b"\1\1"
"""Bytes 18 and 19 of a database that needs no log beside it (https://sqlite.org/fileformat2.html)."""


def save(directory: Path, target: Path) -> None:
    """Write a state directory's store, as it is at this moment, to a file that only its owner may read, since it holds
    secrets. Raises StoreError; Refused if the file cannot be written."""
    path = directory / DATABASE
    if not path.exists():
        raise StoreError(f"{path}: there is no store", hint="--state names the state folder")
    _apart(path, target)
    with closing(storefile.connect(path)) as stored, closing(sqlite3.connect(":memory:")) as copy:
        with storefile.guarded(str(path)):
            stored.backup(copy)
            _leave_out(copy)
        _write(copy, target)


def restore(directory: Path, source: Path, by: Author) -> int:
    """Replace a state directory's store, if there is one, by a backup. Engines follow it as a new epoch of the store.
    Returns the number of the commit that this makes.

    Raises Refused for a file that is no sound store, and where other hosts share the store; StoreError where it cannot
    be written.
    """
    path = directory / DATABASE
    if (directory / statedir.SHARED).exists():
        what = f"{directory} shares its configuration with other hosts, which would not have what is restored"
        raise Refused(what, hint=command("avi-shell cluster seed {} --replace", source))
    _apart(path, source)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        read(source, copy)
        number = begin_anew(copy, str(source), "restore", by, lambda identity: _epoch(path, identity))
        try:
            with closing(storefile.connect(path)) as stored, storefile.guarded(str(path)):
                copy.backup(stored)
        except StoreError as exc:
            if storefile.reason(exc.__cause__) not in _NO_STORE:
                raise
            for beside in ("-wal", "-shm"):
                path.with_name(path.name + beside).unlink(missing_ok=True)
            _write(copy, path)
    return number


def begin_anew(copy: sqlite3.Connection, source: str, action: str, by: Author, known: Callable[[str], int]) -> int:
    """Begin a new epoch in a copy of a store, by a commit. source: where it comes from, for messages; known: the last
    epoch seen of an identity. Returns the commit's number. Raises Refused if the store is damaged."""
    configuration = _checked(source, copy)
    with configuration.bulk(action, by) as (store, made):
        _leave_out(store.connection)
        identity, epoch = sqlite.identity(copy)
        sqlite.identify(copy, identity, max(epoch, known(identity)) + 1)
    return made.version


def _leave_out(copy: sqlite3.Connection) -> None:
    """Remove from a copy of a store what belongs only to its moment and host: commits that wait to be confirmed, and
    lines for the audit log."""
    for table in ("unconfirmed", "outbox"):
        if copy.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]:
            copy.execute(f"DELETE FROM {table}")


def image(copy: sqlite3.Connection) -> bytes:
    """A copy of a store as the bytes of a file, which needs no log beside it."""
    data = bytearray(copy.serialize())
    data[18:20] = _ROLLBACK
    return bytes(data)


def _apart(path: Path, other: Path) -> None:
    if other.exists() and path.exists() and os.path.samefile(path, other):
        raise Refused(f"{other} is the store itself", hint="another file")


def read(source: Path, copy: sqlite3.Connection) -> None:
    """Read a backup. Raises Refused if the file is none."""
    try:
        files.opened(source).close()
        with closing(storefile.for_reading(source)) as backup:
            backup.backup(copy)
    except OSError as exc:
        raise Refused(f"{source}: {exc.strerror}") from exc
    except (ValueError, sqlite3.Error) as exc:
        raise Refused(f"{source} is no backup of a store: {exc}") from exc


def _checked(source: str, copy: sqlite3.Connection) -> Configuration:
    """The configuration of a backup, brought to this release's format. Raises Refused."""
    try:
        if not copy.execute("PRAGMA user_version").fetchone()[0]:
            raise Refused(f"{source} is no backup of a store", hint="avi-shell backup FILE writes one")
        configuration = Configuration(Store(copy, source))
        damage = configuration.damage()
    except (StoreError, sqlite3.Error) as exc:
        raise Refused(f"{source} is no backup of a store: {exc}", hint=getattr(exc, "hint", "")) from exc
    if damage is not None:
        raise Refused(damage.what)
    return configuration


def _epoch(path: Path, identity: str) -> int:
    """The epoch of the store that is replaced. 0: it is another store, or there is none. If it cannot be read: the
    time, which is larger than any counted epoch."""
    if not path.exists():
        return 0
    try:
        with closing(storefile.connect(path)) as stored:
            known, epoch = sqlite.identity(stored)
    except (StoreError, sqlite3.Error):
        return int(time.time())
    return epoch if known == identity else 0


def _write(copy: sqlite3.Connection, target: Path) -> None:
    try:
        files.write(target, image(copy), mode=0o600)
    except (OSError, ValueError) as exc:
        raise Refused(f"{target}: {getattr(exc, 'strerror', None) or exc}") from exc
