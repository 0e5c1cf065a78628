"""The history in a store's database: commits, their changes, and the configuration after each of them."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import islice
from typing import Any, NamedTuple

from avi_shell.configuration import document, storefile
from avi_shell.configuration.record import Commit, ObjectChange
from avi_shell.errors import NotFound, StoreError
from dataplane.plan import unconfirmed
from grammar import schema

_NAMES = [field.name for field in fields(Commit)]
_COMMIT = ", ".join(_NAMES)
_CHANGE = "number, row, kind, tenant, cloud, name, bodies"
_LEVEL = 6
_MANY = 50
"""A commit with more than so many changes keeps them in zlib's form without compression. For an import's thousands this
takes less than twice the room, and saves a tenth of the import's time."""
_DAY = 86400.0
_NEWEST = 20
"""How many of the newest commits are never too old. The age of the others counts from the earliest of these, so that a
clock that is wrong for a few commits makes nothing be forgotten."""


@dataclass(slots=True)
class Noted:
    """What happened to an object since its transaction began."""

    place: tuple[str, str, str, str]  # kind, tenant, cloud, name; as they were, where it is gone
    before: str | None  # its body before
    after: str | None


class Touch(NamedTuple):
    """What a commit did to an object; kind to name as in the ObjectChange."""

    kind: str  # the segment
    tenant: str  # that it belongs to
    cloud: str  # that it belongs to; "" for kinds that belong to none
    name: str  # the object's
    what: str  # create, update or delete


class Journal:
    """What the open transaction did to objects so far, each once: by row, and foreign kinds by name."""

    def __init__(self) -> None:
        self._noted: dict[int | str, Noted] = {}

    def note(self, row: int | str, place: tuple[str, str, str, str], before: str | None, after: str | None) -> None:
        """Note that an object's body was written (after), or the object removed (None)."""
        known = self._noted.get(row)
        if known is None:
            self._noted[row] = Noted(place, before, after)
        else:
            known.after = after
            known.place = place if after is not None else known.place

    def clear(self) -> None:
        """Forget everything."""
        self._noted.clear()

    def changed(self) -> list[tuple[int | str, Noted]]:
        """The objects whose bodies differ from before, by row."""
        return [(row, noted) for row, noted in self._noted.items() if noted.before != noted.after]

    def rows(self, number: int) -> Iterator[tuple[Any, ...]]:
        """The rows of the table `change` for a commit."""
        changed = self.changed()
        level = 0 if len(changed) > _MANY else _LEVEL
        for row, noted in changed:
            bodies = f"{noted.before or ''}\n{noted.after or ''}".encode()
            yield number, 0 if isinstance(row, str) else row, *noted.place, zlib.compress(bodies, level)


class History:
    """The tables `history` and `change`. where: the store's file, for messages."""

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self._connection = connection
        self._where = where

    def version(self) -> int:
        """The number of the last commit, 0 before the first."""
        return int(self._connection.execute("SELECT coalesce(max(number), 0) FROM history").fetchone()[0])

    def add(self, commit: Commit, journal: Journal) -> None:
        """Add a commit, and remove commits beyond the bounds."""
        run = self._connection.execute
        run(f"INSERT INTO history ({_COMMIT}) VALUES ({_marks(len(_NAMES))})", astuple(commit))
        self._connection.executemany(
            f"INSERT INTO change ({_CHANGE}) VALUES ({_marks(7)})", journal.rows(commit.number)
        )
        commits, days = self.bounds()
        oldest, begun = run("SELECT number, time FROM history ORDER BY number LIMIT 1").fetchone()
        if oldest > commit.number - commits and begun >= commit.time - days * _DAY:
            return
        newest = "SELECT time FROM history ORDER BY number DESC LIMIT ?"
        (now,) = run(f"SELECT min(time) FROM ({newest})", (_NEWEST,)).fetchone()
        (young,) = run(
            "SELECT number FROM history WHERE number >= ? AND time >= ? ORDER BY number LIMIT 1",
            (commit.number - commits + 1, now - days * _DAY),
        ).fetchone()
        waits = unconfirmed.read(self._connection)
        young = young if waits is None else min(young, waits.commits[0])  # how it was before must be known
        run("DELETE FROM history WHERE number < ?", (young,))
        run("DELETE FROM change WHERE number < ?", (young,))

    def bounds(self) -> tuple[int, int]:
        """How many commits are remembered at most, and for how many days."""
        row = self._connection.execute("SELECT history_commits, history_days FROM setting").fetchone()
        if row is None or not all(isinstance(value, int) and value > 0 for value in row):
            raise storefile.damaged(self._where, "the bounds of the history")
        return row[0], row[1]

    def bound(self, commits: int, days: int) -> None:
        """Set how much is remembered; both at least 1."""
        self._connection.execute("UPDATE setting SET history_commits = ?, history_days = ?", (commits, days))

    def last(self, limit: int, tenants: Sequence[str] | None = None) -> list[Commit]:
        """The last commits, newest last. tenants: only commits about their objects; None: all."""
        where, values = _about(tenants)
        rows = self._connection.execute(
            f"SELECT {_COMMIT} FROM history WHERE {where} ORDER BY number DESC LIMIT ?", (*values, limit)
        )
        return [self._commit(row) for row in rows.fetchall()][::-1]

    def commit(self, number: int) -> Commit:
        """One commit. Raises NotFound."""
        row = self._connection.execute(f"SELECT {_COMMIT} FROM history WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise self._unknown(number)
        return self._commit(row)

    def changes(self, number: int) -> list[ObjectChange]:
        """A commit's changes, in order. Raises NotFound if the history does not have them."""
        if not self.commit(number).content:
            raise NotFound(f"commit {number}: what it changed is not known: an older release made it")
        return [self._change(row) for row in self._rows("number = ?", number)]

    def touched(self, number: int, tenants: Sequence[str] | None = None, most: int | None = None) -> list[Touch]:
        """The objects that a commit touched, and how, in order; cheaper than `changes`. tenants: only their objects;
        None: all. most: at most so many; None: all."""
        rows = self._rows("number = ?", number)
        theirs = (row for row in rows if tenants is None or row[3] in tenants)
        return [self._touch(row) for row in islice(theirs, most)]

    def of_object(
        self, kind: str, name: str, tenants: Sequence[str] | None, clouds: Sequence[str] | None, most: int
    ) -> tuple[list[tuple[int, ObjectChange]], int]:
        """The last `most` changes of all objects that ever had a name, under any name and cloud, with the commits'
        numbers, oldest first; and the number of such objects. tenants, clouds: those to which the objects belong, or
        belonged when they were removed; None: any."""
        run = self._connection.execute
        owners = "" if tenants is None else f" AND tenant IN ({_marks(len(tenants))})"
        row = f"SELECT row FROM change WHERE kind = ? AND name = ? AND row > 0{owners}"
        places: list[tuple[int, int, str]] = run(
            f"SELECT rowid, row, cloud FROM change WHERE row IN ({row}) ORDER BY rowid", (kind, name, *(tenants or ()))
        ).fetchall()
        last = {row: cloud for _, row, cloud in places}
        seen = {row for row, cloud in last.items() if clouds is None or cloud in clouds}
        wanted = [at for at, row, _ in places if row in seen][-most:]  # a body may be large, and it may change often
        found = [run(f"SELECT {_CHANGE} FROM change WHERE rowid = ?", (at,)).fetchone() for at in wanted]
        return [(row[0], self._change(row)) for row in found], len(seen)

    def since(self, number: int) -> list[ObjectChange]:
        """The differences between the configuration after commit `number` (0: the fresh store) and now: each object
        once, `before` as it was then. Raises NotFound if the history does not reach back so far."""
        return self.between(number, self.version())

    def between(self, one: int, other: int) -> list[ObjectChange]:
        """The differences between the configurations after two commits: each object once, `before` as it was after
        `first`, which may be the newer one. Raises NotFound as `since` does."""
        for number in (one, other):
            self.reach(number)
        if other < one:
            return [ObjectChange(*_place_before(c), c.after, c.before) for c in self.between(other, one)]
        ends: dict[int | str, tuple[Any, Any]] = {}  # the first and the last row of each object, whatever is between
        for row in self._rows("number > ? AND number <= ?", one, other):
            key = row[1] or row[2]
            ends[key] = ends.get(key, (row, row))[0], row
        net = (self._net(self._change(first), self._change(last)) for first, last in ends.values())
        return [change for change in net if change.before != change.after]

    @staticmethod
    def _net(first: ObjectChange, last: ObjectChange) -> ObjectChange:
        """Join several changes of an object into one."""
        place = _place_before(first) if last.after is None else _place(last)
        return ObjectChange(*place, first.before, last.after)

    def reach(self, number: int) -> None:
        """Check that the configuration after a commit is known. Raises NotFound that names the commits for which it
        is."""
        last = self.version()
        first = self.first_reached()
        if not first <= number <= last:
            what = f"the configuration after commit {number} is not known"
            raise NotFound(what, hint=f"it is known after commits {first} to {last}")

    def first_reached(self) -> int:
        """The first commit after which the configuration is known; 0: the fresh store."""
        (broken,) = self._connection.execute("SELECT max(number) FROM history WHERE NOT content").fetchone()
        (oldest,) = self._connection.execute("SELECT min(number) FROM history WHERE content").fetchone()
        return int(broken or 0) if oldest is None else max(int(broken or 0), int(oldest) - 1)

    def size(self, tenants: Sequence[str] | None = None) -> int:
        """How many commits are remembered. tenants: as for `last`."""
        where, values = _about(tenants)
        return int(self._connection.execute(f"SELECT count(*) FROM history WHERE {where}", values).fetchone()[0])

    def _rows(self, where: str, *numbers: int) -> sqlite3.Cursor:
        return self._connection.execute(f"SELECT {_CHANGE} FROM change WHERE {where} ORDER BY number, rowid", numbers)

    def _commit(self, row: tuple[Any, ...]) -> Commit:
        if not (isinstance(row[1], float) and all(isinstance(text, str) for text in row[2:12]) and row[12] in (0, 1)):
            raise storefile.damaged(self._where, f"commit {row[0]} of the history")
        return Commit(**dict(zip(_NAMES, row, strict=True)) | {"content": bool(row[12])})

    def _touch(self, row: tuple[Any, ...]) -> Touch:
        try:
            before, after = zlib.decompress(row[6]).split(b"\n")
        except (zlib.error, ValueError, TypeError):
            raise self._damaged(row) from None
        if not all(isinstance(text, str) for text in row[2:6]):
            raise self._damaged(row)
        kind, tenant, cloud, name = row[2:6]
        return Touch(kind, tenant, cloud, name, "create" if not before else "update" if after else "delete")

    def _damaged(self, row: tuple[Any, ...]) -> StoreError:
        return storefile.damaged(self._where, f"a change of commit {row[0]} in the history")

    def _change(self, row: tuple[Any, ...]) -> ObjectChange:
        try:
            before, after = zlib.decompress(row[6]).decode().split("\n")
            made = ObjectChange(*row[1:6], *(json.loads(body) if body else None for body in (before, after)))
            if not (isinstance(made.row, int) and all(isinstance(text, str) for text in (*row[2:6], made.uuid))):
                raise ValueError
        except (zlib.error, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise self._damaged(row) from None
        return made

    def _unknown(self, number: int) -> NotFound:
        known = self.last(1 << 62)
        between = f"commits {known[0].number} to {known[-1].number} are known" if known else "there is none yet"
        return NotFound(f"there is no commit {number} in the history", hint=between)


def _place(change: ObjectChange) -> tuple[int, str, str, str, str]:
    return change.row, change.kind, change.tenant, change.cloud, change.name


def _place_before(change: ObjectChange) -> tuple[int, str, str, str, str]:
    """An object's row and place before the change."""
    if not change.row or change.before is None:
        return _place(change)
    return change.row, *document.place(schema.kind(change.kind), change.before)


def _about(tenants: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    """The condition on commits that are about an object of some tenants, and its values."""
    if tenants is None:
        return "TRUE", ()
    theirs = f"tenant IN ({_marks(len(tenants))})"
    touches = f"EXISTS (SELECT 1 FROM change c WHERE c.number = history.number AND c.{theirs})"
    return f"CASE WHEN content THEN {touches} ELSE {theirs} END", (*tenants, *tenants)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
