"""The store: `config.db`, an SQLite database with configuration, history and plan.

Objects are rows with a JSON body. Three tables are indexes that are derived from the bodies and let a commit look at
what it touches alone, however much is stored:

    link      who refers to whom
    holding   what an object holds that others may not: an address, a pool ("role" tells as what)
    claim     VRF, VIP, protocol and ports of every virtual service

`layout` has the tables, `history` those that hold what every commit did. One transaction a commit; several processes
may use a store at once.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from avi_shell.configuration import document as docs
from avi_shell.configuration import layout, selection, storefile
from avi_shell.configuration.assembly import Claim, Holding
from avi_shell.configuration.derived import Derived
from avi_shell.configuration.document import Document, Target
from avi_shell.configuration.entry import COLUMNS, Entry, entry_of, value_of
from avi_shell.configuration.history import History, Journal
from avi_shell.configuration.outbox import Outbox
from avi_shell.configuration.record import Commit, CommitRecord, Content, ObjectChange, content
from avi_shell.errors import StoreError
from dataplane import plan
from dataplane.errors import PlanError
from dataplane.plan import sqlite, unconfirmed
from grammar import relations, schema

FORMAT = sqlite.STORE_FORMAT
"""This release's layout: stores of older ones are upgraded, newer ones refused."""


class Store:
    """An open store. Methods raise StoreError where SQLite fails, or holds what was not written by this product.

    where: its file, for messages; placed: the same, as it was found.
    """

    def __init__(self, connection: sqlite3.Connection, where: str, placed: storefile.Placed | None = None) -> None:
        self.connection = connection
        self.where = where
        self._placed = placed or storefile.Placed(None)
        self._history = History(connection, where)
        self._journal = Journal()
        self.outbox = Outbox(connection, where)
        self.commits = 0  # made through it
        self.applied = 0  # of other stores, through it
        self._recorded = 0  # by the open transaction
        self._derived = Derived(connection)

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open or create the database, for reading alone where the disk is full or may not be written. Its tables may
        still be missing: see `layout`."""
        return cls(storefile.connect(path), str(path), storefile.Placed(path))

    @classmethod
    def in_memory(cls) -> Store:
        """A store that lives as long as the object."""
        return cls(sqlite3.connect(":memory:", isolation_level=None), "memory")

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def layout(self) -> bool:
        """In a transaction: create the tables in an empty database, or bring those of an older format up to date.
        Returns whether it was empty. Raises StoreError."""
        (found,) = self._one("PRAGMA user_version")
        if found == FORMAT:
            return False
        if found == 1:
            layout.upgrade(self.connection)
            return False
        if found:
            raise StoreError(
                f"{self.where}: written by another release (format {found}, this one reads {FORMAT})",
                hint="use the release that wrote it, or name another state folder with --state",
            )
        if self._one("SELECT count(*) FROM sqlite_master WHERE name = 'object'")[0]:
            raise StoreError(f"{self.where}: not a store of this product")
        layout.create(self.connection)
        return True

    @property
    def ready(self) -> bool:
        """Whether the tables are there in this release's layout."""
        with self.guarded():
            return bool(self._one("PRAGMA user_version")[0] == FORMAT)

    def guarded(self) -> AbstractContextManager[None]:
        """Raise SQLite's errors as StoreError."""
        return storefile.guarded(self.where)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: what happens inside is stored at the end, or, after any exception, not at all."""
        with self.guarded():
            self.connection.execute("BEGIN IMMEDIATE")
            self._journal.clear()
            self._recorded = 0
            self._derived.begin()
            try:
                self._placed.check()
                yield
                self._derived.write()
                self.connection.execute("COMMIT")
                self.commits += self._recorded
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

    def find(self, kind: str, tenant: str, name: str, cloud: str = docs.DEFAULT_CLOUD) -> Entry | None:
        """The object of that kind, tenant and name, of a cloud where its kind belongs to one."""
        cloud = cloud if kind in relations.OF_A_CLOUD else ""
        return self._entry("kind = ? AND tenant = ? AND name = ? AND cloud = ?", kind, tenant, name, cloud)

    def at_target(self, target: Target) -> Entry | None:
        """The object of that kind, tenant, cloud and name."""
        return self.find(target.kind, target.tenant, target.name, target.cloud)

    def in_any_cloud(self, kind: str, tenant: str | None, name: str) -> list[Entry]:
        """The objects of that kind and name, of a tenant or of all, whatever their cloud; by tenant and cloud."""
        whose, values = ("", [kind, name]) if tenant is None else (" AND tenant = ?", [kind, name, tenant])
        statement = f"SELECT {COLUMNS} FROM object WHERE kind = ? AND name = ?{whose} ORDER BY tenant, cloud"
        return [entry_of(row, self.where) for row in self._rows(statement, *values)]

    def by_uuid(self, uuid: str) -> Entry | None:
        """The object with that uuid."""
        return self._entry("uuid = ?", uuid)

    def by_id(self, id_: int) -> Entry:
        """The object of a row that exists."""
        entry = self._entry("id = ?", id_)
        if entry is None:
            raise StoreError(f"{self.where}: object {id_} is missing: the indexes do not match the objects")
        return entry

    def entries(
        self, kind: str, tenants: Iterable[str] | None = None, clouds: Iterable[str] | None = None
    ) -> Iterator[Entry]:
        """The objects of a kind, of some tenants or all, and some clouds or all, by tenant, name and cloud."""
        where, values = selection.of_kind(kind, tenants, clouds)
        for row in self._rows(f"SELECT {COLUMNS} FROM object WHERE {where} ORDER BY tenant, name, cloud", *values):
            yield entry_of(row, self.where)

    def names(self, kind: str, tenants: Iterable[str] | None = None, clouds: Iterable[str] | None = None) -> list[str]:
        """The names of a kind's objects, sorted, each once."""
        where, values = selection.of_kind(kind, tenants, clouds)
        rows = self._rows(f"SELECT DISTINCT name FROM object WHERE {where} ORDER BY name", *values)
        return [name for (name,) in rows if isinstance(name, str)]

    def names_beginning(
        self, kind: str, tenants: Iterable[str] | None, clouds: Iterable[str] | None, beginning: str, most: int
    ) -> tuple[list[str], bool]:
        """As `selection.names_beginning`."""
        return selection.names_beginning(self._rows, kind, tenants, clouds, beginning=beginning, most=most)

    def put(self, id_: int | None, kind: schema.Kind, document: Document) -> Entry:
        """Insert an object (id None, or one that no row has) or replace one."""
        place, uuid, body = docs.place(kind, document), document["uuid"], _text(document)
        values = (*place, uuid, body)
        before = None if id_ is None else self._one("SELECT body FROM object WHERE id = ?", id_)
        if before is None:
            cursor = self.connection.execute(
                "INSERT INTO object (id, kind, tenant, cloud, name, uuid, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (id_, *values),
            )
            assert cursor.lastrowid is not None
            id_ = cursor.lastrowid
            self._derived.made(id_)
        else:
            self.connection.execute(
                "UPDATE object SET kind = ?, tenant = ?, cloud = ?, name = ?, uuid = ?, body = ? WHERE id = ?",
                (*values, id_),
            )
        assert id_ is not None
        self._journal.note(id_, place, before[0] if before else None, body)
        return Entry(id_, place, uuid, document)

    def set_aside(self, id_: int) -> None:
        """Free an object's name and uuid for others until it is put again, in this transaction."""
        self.connection.execute("UPDATE object SET name = '\n' || id, uuid = '\n' || id WHERE id = ?", (id_,))

    def remove(self, id_: int) -> None:
        """Remove an object and what the indexes hold of it."""
        *place, body = self._one("SELECT kind, tenant, cloud, name, body FROM object WHERE id = ?", id_)
        self._journal.note(id_, (place[0], place[1], place[2], place[3]), body, None)
        self._derived.write()
        self.connection.execute("DELETE FROM object WHERE id = ?", (id_,))
        for table in ("link", "holding", "claim"):
            self.connection.execute(f"DELETE FROM {table} WHERE source = ?", (id_,))

    def set_links(self, source: int, targets: set[Target]) -> None:
        """Replace an object's references."""
        self._derived.replace("link", "kind, tenant, cloud, name", source, targets)

    def set_holdings(self, source: int, holdings: set[Holding]) -> bool:
        """Replace what an object holds. Returns whether it changed."""
        return self._derived.replace("holding", "role, value", source, holdings)

    def set_claims(self, source: int, claims: Iterable[Claim]) -> bool:
        """Replace a virtual service's claims. Returns whether they changed."""
        wanted = {(c.vrf, c.vip, c.protocol, c.port, c.port_end) for c in claims}
        return self._derived.replace("claim", "vrf, vip, protocol, port, port_end", source, wanted)

    def claims(self, source: int) -> list[Claim]:
        """A virtual service's claims."""
        self._derived.write()
        rows = self._rows("SELECT vrf, vip, protocol, port, port_end FROM claim WHERE source = ?", source)
        return [Claim(*row) for row in rows]

    def planned_keys(self, source: int) -> list[str]:
        """The keys that a virtual service's services have in the plan, if they are planned."""
        return list({f"{c.vip}/{c.protocol}/{c.port}-{c.port_end}": None for c in self.claims(source)})

    def referrers(self, target: Target, kinds: Iterable[str] | None = None) -> list[tuple[int, str, str, str]]:
        """Who refers to an object: id, segment, tenant, name, sorted; of some kinds or all."""
        self._derived.write()
        rows = self._rows(
            "SELECT DISTINCT o.id, o.kind, o.tenant, o.name FROM link l JOIN object o ON o.id = l.source "
            "WHERE l.kind = ? AND l.tenant = ? AND l.cloud = ? AND l.name = ? ORDER BY o.kind, o.tenant, o.name",
            *target,
        )
        wanted = None if kinds is None else set(kinds)
        return [row for row in rows if wanted is None or row[1] in wanted]

    def rivals(self, source: int) -> list[tuple[Claim, int]]:
        """Claims of others that overlap a virtual service's own: its claim, the other's id."""
        self._derived.write()
        rows = self._rows(
            "SELECT a.vrf, a.vip, a.protocol, a.port, a.port_end, b.source FROM claim a JOIN claim b ON b.vip = a.vip "
            "AND b.vrf = a.vrf "
            "AND b.protocol = a.protocol AND b.port <= a.port_end AND b.port_end >= a.port AND b.source != a.source "
            "WHERE a.source = ? ORDER BY a.vip, a.protocol, a.port LIMIT 1",
            source,
        )
        return [(Claim(*row[:5]), row[5]) for row in rows]

    @property
    def indexes(self) -> Derived:
        """The tables that are derived from objects."""
        return self._derived

    @property
    def log(self) -> History:
        """The history in full: bounds, single commits, the changes of one object."""
        return self._history

    def version(self) -> int:
        """The number of the last commit, 0 before the first."""
        return self._history.version()

    @property
    def changed(self) -> bool:
        """Whether the open transaction changed an object."""
        return bool(self._journal.changed())

    def record(self, commit: Commit, line: str, *, made: bool = True) -> None:
        """Add the open transaction's commit to the history, with all that it changed. line: for the audit log; made:
        here, and not by another store."""
        self._history.add(commit, self._journal)
        self.outbox.add(commit.number, line)
        if made:
            self._recorded += 1
        else:
            self.applied += 1

    def foresee(self, changes: Iterable[ObjectChange]) -> None:
        """The open transaction will make these changes: let the history have them in this order."""
        for change in changes:
            before = None if change.before is None else _text(change.before)
            place = change.kind, change.tenant, change.cloud, change.name
            self._journal.note(change.row or change.kind, place, before, before)

    def history(self, limit: int) -> list[Commit]:
        """The last commits, newest last."""
        with self.guarded():
            return self._history.last(limit)

    def changes(self, number: int) -> list[ObjectChange]:
        """What a commit changed. Raises NotFound where the history does not tell."""
        with self.guarded():
            return self._history.changes(number)

    def since(self, number: int) -> list[ObjectChange]:
        """What differs between the configuration after commit `number` (0: the fresh store) and now, each object once.
        Raises NotFound where the history does not reach back so far."""
        with self.snapshot():
            return self._history.since(number)

    def at(self, number: int) -> Content:
        """The whole configuration as it was after commit `number`. Raises NotFound as `since` does."""
        with self.snapshot():
            found = {entry.id: (kind, entry.document) for kind in schema.SEGMENTS for entry in self.entries(kind)}
            foreign = self.foreign()
            for change in self._history.since(number):
                if not change.row:
                    foreign[change.kind] = change.before
                elif change.before is None:
                    del found[change.row]
                else:
                    found[change.row] = change.kind, change.before
        return content(found.values(), {kind: body for kind, body in foreign.items() if body is not None})

    def commit_record(self, number: int) -> CommitRecord:
        """A commit with all that it did, to be applied elsewhere: complete as long as no later commit wrote a row of
        the plan that it wrote. Raises NotFound where the history does not tell."""
        with self.snapshot():
            rows = self._rows("SELECT key, document FROM plan WHERE version = ? ORDER BY key", number)
            planned = {key: text and value_of(text, f"the plan of {key}", self.where) for key, text in rows}
            changes, waits = tuple(self._history.changes(number)), unconfirmed.listed(self.connection)
            return CommitRecord(*self.identity(), self._history.commit(number), changes, planned, waits)

    def identity(self) -> tuple[str, int]:
        """The store's identity and epoch."""
        return sqlite.identity(self.connection)

    def foreign(self) -> dict[str, Any]:
        """What was imported under kinds that the object model does not have."""
        return {
            kind: value_of(body, f"kind {kind!r}", self.where)
            for kind, body in self._rows("SELECT kind, body FROM foreign_kind ORDER BY kind")
        }

    def set_foreign(self, kind: str, body: Any) -> None:
        """Keep what was imported under an unknown kind; None: remove it."""
        before = self._one("SELECT body FROM foreign_kind WHERE kind = ?", kind)
        text = None if body is None else _text(body)
        self._journal.note(kind, (kind, "", "", ""), before[0] if before else None, text)
        if text is None:
            self.connection.execute("DELETE FROM foreign_kind WHERE kind = ?", (kind,))
        else:
            self.connection.execute("INSERT OR REPLACE INTO foreign_kind (kind, body) VALUES (?, ?)", (kind, text))

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

    def _entry(self, where: str, *values: Any) -> Entry | None:
        row = next(iter(self._rows(f"SELECT {COLUMNS} FROM object WHERE {where}", *values)), None)
        return None if row is None else entry_of(row, self.where)

    def _one(self, statement: str, *values: Any) -> Any:
        return self.connection.execute(statement, values).fetchone()

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        try:
            return self.connection.execute(statement, values).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as exc:
            with self.guarded():
                raise exc


def _text(value: Any) -> str:
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
