"""The tables derived from objects (`link`, `holding`, `claim`): the rows of one object are replaced as a whole.

Rows of objects that the open transaction made are gathered and written together, since an import makes thousands. Call
`write` before you read these tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Any

Place = tuple[str, str, str, str]
"""A `document.Target` as a row has it: segment, tenant, cloud, name. Of these there are thousands."""


class Derived:
    """The derived tables of a store's database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._made: set[int] = set()  # objects of the open transaction
        self._known: dict[str, set[int]] = {}  # of these, by table, those that have rows already
        self._waiting: dict[tuple[str, str], list[tuple[int, set[Any]]]] = {}  # by table and columns: object, its rows

    def begin(self) -> None:
        """Begin a transaction."""
        self._made.clear()
        self._known.clear()
        self._waiting.clear()

    def made(self, source: int) -> None:
        """Note a new object, which has no rows yet."""
        self._made.add(source)

    def is_new(self, source: int) -> bool:
        """Whether the open transaction made an object."""
        return source in self._made

    def replace(self, table: str, columns: str, source: int, wanted: set[Any]) -> bool:
        """Make a table's rows of one object the wanted ones, touching only what differs. Returns whether it changed."""
        if source in self._made:
            known = self._known.setdefault(table, set())
            if source not in known:
                known.add(source)
                if wanted:
                    self._waiting.setdefault((table, columns), []).append((source, wanted))
                return bool(wanted)
        self.write()
        statement = f"SELECT {columns} FROM {table} WHERE source = ?"
        found = {tuple(row) for row in self._connection.execute(statement, (source,)).fetchall()}
        if found == wanted:
            return False
        names = columns.split(", ")
        gone = f"DELETE FROM {table} WHERE source = ? AND {' AND '.join(f'{name} = ?' for name in names)}"
        self._connection.executemany(gone, [(source, *row) for row in found - wanted])
        self._insert(table, columns, [(source, *row) for row in sorted(wanted - found)])
        return True

    def write(self) -> None:
        """Write the gathered rows."""
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            for (table, columns), made in waiting.items():
                self._insert(table, columns, [(source, *row) for source, rows in made for row in rows])

    def referrers(self, there: Place) -> list[tuple[int, Place]]:
        """The objects that refer to an object: id and place."""
        self.write()
        rows = self._connection.execute(
            f"{_USERS} WHERE l.kind = ? AND l.tenant = ? AND l.cloud = ? AND l.name = ?", there
        )
        return [(row[4], row[5:]) for row in rows.fetchall()]

    def all_referrers(self, kinds: Collection[str]) -> dict[Place, list[tuple[int, Place]]]:
        """All references from objects of some kinds, as stored before the open transaction."""
        found: dict[Place, list[tuple[int, Place]]] = {}
        marks = ", ".join("?" * len(kinds))
        for row in self._connection.execute(f"{_USERS} WHERE o.kind IN ({marks})", tuple(kinds)).fetchall():
            found.setdefault(row[:4], []).append((row[4], row[5:]))
        return found

    def holders(self, source: int, role: str, other: str) -> list[tuple[str, int]]:
        """Values that an object holds as `role` and some object (it may be the same one) holds as `other`: (value,
        other's id)."""
        self.write()
        rows = self._connection.execute(
            "SELECT a.value, b.source FROM holding a JOIN holding b ON b.value = a.value AND b.role = ? "
            "WHERE a.source = ? AND a.role = ? ORDER BY a.value, b.source",
            (other, source, role),
        )
        return rows.fetchall()

    def suspects(self, clashes: Iterable[tuple[str, str]]) -> set[int]:
        """The objects that may clash: they hold a value that another holds in a clashing role, or ports of a VIP that
        another has. All others need no closer look."""
        self.write()
        run = self._connection.execute
        alone = [one for one, other in clashes if one == other]
        shared = f"{_SHARED} OR min(role) IN ({', '.join('?' * len(alone))}))"
        sources = f"SELECT source FROM holding WHERE value IN ({shared})"
        return {row[0] for row in (*run(_OVERLAPS).fetchall(), *run(sources, alone).fetchall())}

    def places(self) -> dict[Place | str, int]:
        """The ids of all objects, by place and by uuid."""
        found: dict[Place | str, int] = {}
        for row in self._connection.execute("SELECT kind, tenant, cloud, name, uuid, id FROM object").fetchall():
            found[row[:4]] = found[row[4]] = row[5]
        return found

    def _insert(self, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        marks = ", ?" * len(columns.split(", "))
        self._connection.executemany(f"INSERT INTO {table} (source, {columns}) VALUES (?{marks})", rows)


_USERS = (
    "SELECT l.kind, l.tenant, l.cloud, l.name, o.id, o.kind, o.tenant, o.cloud, o.name "
    "FROM link l JOIN object o ON o.id = l.source"
)
"""All references: the place that is referred to, the referrer's id and place."""

_OVERLAPS = (
    "SELECT DISTINCT a.source FROM claim a JOIN claim b ON b.vip = a.vip AND b.vrf = a.vrf AND b.protocol = a.protocol "
    "AND b.port <= a.port_end AND b.port_end >= a.port AND b.source != a.source"
)
"""The objects whose ports of a VIP overlap those of another object."""

_SHARED = "SELECT value FROM holding GROUP BY value HAVING count(*) > 1 AND (min(role) != max(role)"
"""Values that are held in two roles, or (the caller adds those roles) twice in a role that only one may have."""
