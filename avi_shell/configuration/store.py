"""The store: `config.db`, an SQLite database with configuration, history and plan.

Objects are rows with a JSON body. Three tables are indexes that are derived from the bodies and let a commit look at
what it touches alone, however much is stored:

    link      who refers to whom
    holding   what an object holds that others may not: an address, a pool ("role" tells as what)
    claim     VIP, protocol and ports of every virtual service

One transaction a commit; several processes may use a store at once.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from avi_shell.configuration import storefile
from avi_shell.configuration.assembly import Claim, Holding
from avi_shell.configuration.document import Document
from avi_shell.errors import StoreError
from dataplane import plan
from dataplane.errors import PlanError
from dataplane.plan import sqlite
from grammar import schema

FORMAT = sqlite.STORE_FORMAT
"""Stores of an older layout are brought up to date, newer ones refused."""

_LAYOUT = """
CREATE TABLE object (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,           -- the segment: "pool"
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    uuid TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    UNIQUE (kind, tenant, name)
);
CREATE TABLE link (source INTEGER NOT NULL, kind TEXT NOT NULL, tenant TEXT NOT NULL, name TEXT NOT NULL);
CREATE INDEX link_source ON link (source);
CREATE INDEX link_target ON link (kind, tenant, name);
CREATE TABLE holding (source INTEGER NOT NULL, role TEXT NOT NULL, value TEXT NOT NULL);
CREATE INDEX holding_source ON holding (source);
CREATE INDEX holding_value ON holding (value, role);
CREATE TABLE claim (
    source INTEGER NOT NULL, vip TEXT NOT NULL, protocol TEXT NOT NULL, port INTEGER NOT NULL, port_end INTEGER NOT NULL
);
CREATE INDEX claim_source ON claim (source);
CREATE INDEX claim_ports ON claim (vip, protocol, port, port_end);
CREATE TABLE history (
    version INTEGER PRIMARY KEY, time REAL NOT NULL, user TEXT NOT NULL, tenant TEXT NOT NULL, action TEXT NOT NULL,
    kind TEXT NOT NULL, name TEXT NOT NULL, line TEXT NOT NULL
);
CREATE TABLE foreign_kind (
    kind TEXT PRIMARY KEY,        -- imported, not of this object model
    body TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored object."""

    id: int  # of its row
    kind: str  # its segment
    tenant: str  # that it belongs to
    name: str  # unique among its kind and tenant
    uuid: str  # unique
    document: Document  # as it was committed


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of the history."""

    version: int  # its number, from 1
    time: float  # seconds since 1970
    user: str  # who made it
    tenant: str  # that the object belongs to
    action: str  # create, update, delete or import
    kind: str  # the object's segment; "" for an import
    name: str  # the object's; "" for an import
    line: str  # the command that made it


Target = tuple[str, str, str]
"""Whom a link points to: segment, tenant, name."""


class Store:
    """An open store. Methods raise StoreError where SQLite fails, or holds what was not written by this product.

    where: its file, for messages.
    """

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self.connection = connection
        self.where = where

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open or create the database, for reading alone where the disk is full or may not be written. Its tables may
        still be missing: see `layout`."""
        return cls(storefile.connect(path), str(path))

    @classmethod
    def in_memory(cls) -> Store:
        """A store that lives as long as the object."""
        return cls(sqlite3.connect(":memory:", isolation_level=None), "memory")

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def layout(self) -> bool:
        """In a transaction: create the tables in an empty database. Returns whether it was empty. Raises StoreError."""
        (found,) = self._one("PRAGMA user_version")
        if found == FORMAT:
            return False
        if found:
            raise StoreError(
                f"{self.where}: written by another release (format {found}, this one reads {FORMAT})",
                hint="use the release that wrote it, or name another state folder with --state",
            )
        if self._one("SELECT count(*) FROM sqlite_master WHERE name = 'object'")[0]:
            raise StoreError(f"{self.where}: not a store of this product")
        for statement in f"{_LAYOUT}{sqlite.SCHEMA}".split(";\n"):
            self.connection.execute(statement)
        self.connection.execute(f"PRAGMA user_version = {FORMAT}")
        return True

    @property
    def ready(self) -> bool:
        """Whether the tables are there in this release's layout."""
        with self.guarded():
            return bool(self._one("PRAGMA user_version")[0] == FORMAT)

    def guarded(self) -> AbstractContextManager[None]:
        """SQLite's errors as StoreError."""
        return storefile.guarded(self.where)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: what happens inside is stored at the end, or, after any exception, not at all."""
        with self.guarded():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment. Inside a transaction or a snapshot already: nothing new begins."""
        with self.guarded():
            if self.connection.in_transaction:
                yield
                return
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                self.connection.execute("ROLLBACK")

    def find(self, kind: str, tenant: str, name: str) -> Entry | None:
        """The object of that kind, tenant and name."""
        return self._entry("kind = ? AND tenant = ? AND name = ?", kind, tenant, name)

    def by_uuid(self, uuid: str) -> Entry | None:
        """The object with that uuid."""
        return self._entry("uuid = ?", uuid)

    def by_id(self, id_: int) -> Entry:
        """The object of a row that exists."""
        entry = self._entry("id = ?", id_)
        if entry is None:
            raise StoreError(f"{self.where}: object {id_} is missing: the indexes do not match the objects")
        return entry

    def entries(self, kind: str, tenants: Iterable[str] | None = None) -> Iterator[Entry]:
        """The objects of a kind, of some tenants or all, by tenant and name."""
        where, values = _of_kind(kind, tenants)
        for row in self._rows(f"SELECT {_COLUMNS} FROM object WHERE {where} ORDER BY tenant, name", *values):
            yield _entry(row, self.where)

    def names(self, kind: str, tenants: Iterable[str] | None = None) -> list[str]:
        """The names of a kind's objects, sorted, each once."""
        where, values = _of_kind(kind, tenants)
        rows = self._rows(f"SELECT DISTINCT name FROM object WHERE {where} ORDER BY name", *values)
        return [name for (name,) in rows if isinstance(name, str)]

    def put(self, id_: int | None, kind: str, tenant: str, name: str, document: Document) -> int:
        """Insert an object (id None) or replace one. Returns its id."""
        values = (kind, tenant, name, document["uuid"], _text(document))
        if id_ is None:
            cursor = self.connection.execute(
                "INSERT INTO object (kind, tenant, name, uuid, body) VALUES (?, ?, ?, ?, ?)", values
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid
        self.connection.execute(
            "UPDATE object SET kind = ?, tenant = ?, name = ?, uuid = ?, body = ? WHERE id = ?", (*values, id_)
        )
        return id_

    def remove(self, id_: int) -> None:
        """Remove an object and what the indexes hold of it."""
        self.connection.execute("DELETE FROM object WHERE id = ?", (id_,))
        for table in ("link", "holding", "claim"):
            self.connection.execute(f"DELETE FROM {table} WHERE source = ?", (id_,))

    def set_links(self, source: int, targets: Iterable[Target]) -> None:
        """Replace whom an object refers to."""
        self._replace("link", "kind, tenant, name", source, set(targets))

    def set_holdings(self, source: int, holdings: Iterable[Holding]) -> bool:
        """Replace what an object holds. Returns whether it changed."""
        return self._replace("holding", "role, value", source, set(holdings))

    def set_claims(self, source: int, claims: Iterable[Claim]) -> bool:
        """Replace a virtual service's claims. Returns whether they changed."""
        wanted = {(c.vip, c.protocol, c.port, c.port_end) for c in claims}
        return self._replace("claim", "vip, protocol, port, port_end", source, wanted)

    def claims(self, source: int) -> list[Claim]:
        """A virtual service's claims."""
        rows = self._rows("SELECT vip, protocol, port, port_end FROM claim WHERE source = ?", source)
        return [Claim(*row) for row in rows]

    def referrers(self, target: Target, kinds: Iterable[str] | None = None) -> list[tuple[int, str, str, str]]:
        """Who refers to an object: id, segment, tenant, name, sorted; of some kinds or all."""
        rows = self._rows(
            "SELECT DISTINCT o.id, o.kind, o.tenant, o.name FROM link l JOIN object o ON o.id = l.source "
            "WHERE l.kind = ? AND l.tenant = ? AND l.name = ? ORDER BY o.kind, o.tenant, o.name",
            *target,
        )
        wanted = None if kinds is None else set(kinds)
        return [row for row in rows if wanted is None or row[1] in wanted]

    def holders(self, source: int, role: str, other: str) -> list[tuple[str, int]]:
        """Values that an object holds as `role` and any object, itself too, holds as `other`: (value, other's id)."""
        return list(
            self._rows(
                "SELECT a.value, b.source FROM holding a JOIN holding b ON b.value = a.value AND b.role = ? "
                "WHERE a.source = ? AND a.role = ? ORDER BY a.value, b.source",
                other,
                source,
                role,
            )
        )

    def rivals(self, source: int) -> list[tuple[Claim, int]]:
        """Claims of others that overlap a virtual service's own: its claim, the other's id."""
        rows = self._rows(
            "SELECT a.vip, a.protocol, a.port, a.port_end, b.source FROM claim a JOIN claim b ON b.vip = a.vip "
            "AND b.protocol = a.protocol AND b.port <= a.port_end AND b.port_end >= a.port AND b.source != a.source "
            "WHERE a.source = ? ORDER BY a.vip, a.protocol, a.port LIMIT 1",
            source,
        )
        return [(Claim(*row[:4]), row[4]) for row in rows]

    def version(self) -> int:
        """The number of the last commit, 0 before the first."""
        return int(self._one("SELECT coalesce(max(version), 0) FROM history")[0])

    def record(self, commit: Commit) -> None:
        """Add a commit to the history."""
        self.connection.execute(f"INSERT INTO history ({_HISTORY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(commit))

    def history(self, limit: int) -> list[Commit]:
        """The last commits, newest last."""
        rows = list(self._rows(f"SELECT {_HISTORY} FROM history ORDER BY version DESC LIMIT ?", limit))
        for row in rows:
            if not (isinstance(row[1], float) and all(isinstance(text, str) for text in row[2:])):
                raise storefile.damaged(self.where, f"commit {row[0]} of the history")
        return [Commit(*row) for row in rows][::-1]

    def foreign(self) -> dict[str, Any]:
        """What was imported under kinds that the object model does not have."""
        return {
            kind: _value(body, f"kind {kind!r}", self.where)
            for kind, body in self._rows("SELECT kind, body FROM foreign_kind ORDER BY kind")
        }

    def set_foreign(self, kind: str, body: Any) -> None:
        """Keep what was imported under an unknown kind."""
        self.connection.execute("INSERT OR REPLACE INTO foreign_kind (kind, body) VALUES (?, ?)", (kind, _text(body)))

    def whole_plan(self) -> plan.Plan:
        """The whole plan."""
        with self.guarded(), self._planned():
            return sqlite.read(self.connection)

    def planned(self, keys: Iterable[str]) -> dict[str, plan.Service]:
        """The plan's services of some keys, where they are there."""
        with self._planned():
            return sqlite.read_services(self.connection, keys)

    def newest_planned(self) -> int:
        """The newest version in the plan, -1 for an empty one."""
        with self.guarded(), self._planned():
            return sqlite.newest(self.connection)

    @contextmanager
    def _planned(self) -> Iterator[None]:
        try:
            yield
        except (PlanError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as exc:
            raise storefile.damaged(self.where, f"the plan: {exc}") from exc

    def _replace(self, table: str, columns: str, source: int, wanted: set[Any]) -> bool:
        """Make a table's rows of one source the wanted ones, touching only what differs."""
        found = {tuple(row) for row in self._rows(f"SELECT {columns} FROM {table} WHERE source = ?", source)}
        names = columns.split(", ")
        gone = f"DELETE FROM {table} WHERE source = ? AND {' AND '.join(f'{name} = ?' for name in names)}"
        new = f"INSERT INTO {table} (source, {columns}) VALUES (?{', ?' * len(names)})"
        self.connection.executemany(gone, [(source, *row) for row in found - wanted])
        self.connection.executemany(new, [(source, *row) for row in sorted(wanted - found)])
        return found != wanted

    def _entry(self, where: str, *values: Any) -> Entry | None:
        row = next(self._rows(f"SELECT {_COLUMNS} FROM object WHERE {where}", *values), None)
        return None if row is None else _entry(row, self.where)

    def _one(self, statement: str) -> Any:
        return self.connection.execute(statement).fetchone()

    def _rows(self, statement: str, *values: Any) -> Iterator[Any]:
        with self.guarded():
            yield from self.connection.execute(statement, values).fetchall()


_COLUMNS = "id, kind, tenant, name, uuid, body"
_HISTORY = ", ".join(field.name for field in fields(Commit))


def _entry(row: tuple[int, str, str, str, str, str], where: str) -> Entry:
    title = f"{row[1]} {row[3]}" if isinstance(row[1], str) and isinstance(row[3], str) else f"object {row[0]}"
    if not all(isinstance(text, str) for text in row[1:5]) or row[1] not in schema.SEGMENTS:
        raise storefile.damaged(where, f"{title} has no kind, tenant, name or uuid")
    document = _value(row[5], title, where)
    if not isinstance(document, dict):
        raise storefile.damaged(where, f"{title} is no document")
    return Entry(*row[:5], document)


def _value(body: Any, title: str, where: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, TypeError, RecursionError):
        raise storefile.damaged(where, f"{title} is no JSON") from None


def _of_kind(kind: str, tenants: Iterable[str] | None) -> tuple[str, list[str]]:
    if tenants is None:
        return "kind = ?", [kind]
    wanted = list(tenants)
    return f"kind = ? AND tenant IN ({', '.join('?' * len(wanted))})", [kind, *wanted]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
