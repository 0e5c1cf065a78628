"""A candidate: a copy of a configuration in memory, whose changes become one commit of the original."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from avi_shell.configuration import document
from avi_shell.configuration.configuration import NOBODY, Configuration
from avi_shell.configuration.document import Target
from avi_shell.configuration.entry import value_of
from avi_shell.configuration.record import Author, ObjectChange

_BASE = """
CREATE TEMP TABLE base AS SELECT id, kind, tenant, cloud, name, body FROM object
UNION ALL SELECT 0, kind, '', '', kind, body FROM foreign_kind
"""
"""The content with which the copy began; row 0 for kinds that the object model does not have."""

_NOW = """
SELECT id, kind, tenant, cloud, name, body FROM object UNION ALL SELECT 0, kind, '', '', kind, body FROM foreign_kind
"""

_CHANGED = f"""
SELECT n.id, n.kind, n.tenant, n.cloud, n.name, b.body, n.body FROM ({_NOW}) n
LEFT JOIN base b ON b.id = n.id AND (n.id OR b.name = n.name) WHERE b.body IS NOT n.body
UNION ALL
SELECT b.id, b.kind, b.tenant, b.cloud, b.name, b.body, NULL FROM base b
LEFT JOIN ({_NOW}) n ON n.id = b.id AND (b.id OR b.name = n.name) WHERE n.id IS NULL
"""


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a candidate's changes."""

    version: int  # the commit's number; the last one's if nothing was changed
    changed: bool  # there was something to commit
    notices: tuple[str, ...]  # what the operator should know
    needs_engine: bool  # the plan forwards for a virtual service that the commit is about


class Candidate:
    """A copy of a configuration. A save checks an object alone; the commit checks it against all others. lenient =
    False: a save does both. stored: the configuration that was copied."""

    def __init__(self, stored: Configuration, *, lenient: bool = True) -> None:
        self.stored = stored
        self.configuration = stored.copy(lenient=lenient)
        self.refused: list[str] = []  # lines that were to open an object, and were refused in the paste that goes on
        with self.configuration.snapshot() as store:
            pass
        store.connection.execute(_BASE)

    def changes(self) -> list[ObjectChange]:
        """The differences from the copied configuration, each object once. `before` is the object as it was copied."""
        with self.configuration.snapshot() as store:
            found = list[ObjectChange]()
            for row, kind, tenant, cloud, name, *bodies in store.connection.execute(_CHANGED).fetchall():
                before, after = (body and value_of(body, f"{kind} {name}", store.where) for body in bodies)
                found.append(ObjectChange(row, kind, tenant, cloud, name if row else "", before, after))
            return [change for change in found if change.differs]

    def commit(
        self, action: str, by: Author = NOBODY, *, changes: list[ObjectChange] | None = None, dry_run: bool = False
    ) -> Committed:
        """Make the changes in the original configuration, as one commit. changes: the result of `changes`, if known;
        dry_run: only check.

        Raises Conflict, InvalidObject, Refused or, for several faults, InvalidFile; nothing was stored then.
        """
        made = self.changes() if changes is None else changes
        if not made:
            return Committed(self.stored.version(), False, (), False)
        version, notices, forwarded = self.stored.change(made, action, by, dry_run=dry_run)
        return Committed(version or self.stored.version(), version > 0, tuple(notices), forwarded)

    def drop(self, change: ObjectChange) -> list[str]:
        """Give up the changes of one object and take it as it is in the original. Returns the notices. Raises Refused
        if this removes an object to which others refer."""
        with self.stored.snapshot() as there:
            found = there.by_uuid(change.uuid)
            if found is None and change.before is None:
                found = there.at_target(Target(change.kind, change.tenant, change.cloud, change.name))
        back: list[ObjectChange] = []
        if change.after is not None and (found is None or found.uuid != change.uuid):
            back.append(replace(change, before=change.after, after=None))
        if found is not None:
            before = change.after if found.uuid == change.uuid else None
            back.append(ObjectChange(change.row, *found.target, before, document.copy(found.document)))
        _, notices, _ = self.configuration.change(back, "session")
        with self.configuration.snapshot() as store:
            here = store.by_uuid(found.uuid) if found is not None else None
        run = store.connection.execute
        run("DELETE FROM base WHERE id IN (?, ?)", (change.row, here.id if here else change.row))
        if here is not None and found is not None:  # the original's object: later changes are compared with it
            body = json.dumps(found.document)
            run("INSERT INTO base VALUES (?, ?, ?, ?, ?, ?)", (here.id, *here.target, body))
        return notices

    def close(self) -> None:
        """Give the changes up."""
        self.configuration.close()
