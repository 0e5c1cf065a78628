"""Finds the changes from a configuration to one that came from a file, with what a file of lines cannot say. Reads no
files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.differences import paired
from avi_shell.configuration.document import SECRET, Document, copy
from avi_shell.configuration.record import ObjectChange
from grammar import schema


def changes_to(stored: Configuration, wanted: Configuration) -> list[ObjectChange]:
    """The changes from a configuration to the wanted one. Objects are matched by kind, tenant, cloud and name, and keep
    their uuids."""
    with stored.snapshot() as now:
        known = {entry.target: entry for kind in schema.SEGMENTS for entry in now.entries(kind)}
        kept = now.foreign()
    with wanted.snapshot() as then:
        new = [entry for kind in schema.SEGMENTS for entry in then.entries(kind)]
        foreign = then.foreign()
    found = list[ObjectChange]()
    for entry in new:
        old = known.pop(entry.target, None)
        after = {**entry.document, "uuid": old.uuid} if old else entry.document
        found.append(ObjectChange(entry.id, *entry.target, old.document if old else None, after))
    found += [ObjectChange(entry.id, *entry.target, entry.document, None) for entry in known.values()]
    found += [ObjectChange(0, kind, "", "", "", kept.get(kind), foreign.get(kind)) for kind in {**kept, **foreign}]
    return [change for change in found if change.differs]


def with_unsaid(changes: Iterable[ObjectChange]) -> Iterator[ObjectChange]:
    """Correct changes that lines made: keep what lines cannot say as it is stored. That is fields that cannot be typed,
    secrets shown as SECRET, and kinds that the object model lacks."""
    for change in changes:
        if not change.row and change.after is None:
            continue
        if change.row and change.before is not None and change.after is not None:
            after = copy(change.after)
            kind = schema.kind(change.kind)
            _keep(kind, kind.root, after, change.before)
            change = replace(change, after=after)
        if change.differs:
            yield change


def hides_secret(value: Any) -> bool:
    """Whether SECRET stands somewhere in a value."""
    if isinstance(value, dict):
        return any(map(hides_secret, value.values()))
    return any(map(hides_secret, value)) if isinstance(value, list) else value == SECRET


def _keep(kind: schema.Kind, message: schema.Message, wanted: Document, stored: Document) -> None:
    for name, old in stored.items():
        field = message.fields.get(name)
        if field is None or field.scope == "carried":
            wanted[name] = copy(old) if isinstance(old, dict | list) else old
        elif wanted.get(name) == SECRET:
            wanted[name] = old
        elif name in wanted and (inner := kind.message(field)) is not None and not inner.one_token:
            new = wanted[name]
            if isinstance(old, list):
                for before, after in paired(kind, inner, old, new).items():
                    _keep(kind, inner, new[after], old[before])
            else:
                _keep(kind, inner, new, old)
