"""What differs between two configurations, as people and programs read it: object by object. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from avi_shell.configuration import document
from avi_shell.configuration.differences import Difference, compare
from avi_shell.configuration.document import ADMIN, DEFAULT_CLOUD, Document
from avi_shell.configuration.history import Touch
from avi_shell.configuration.record import ObjectChange
from avi_shell.output import differences
from grammar import schema

T = TypeVar("T")

COLUMNS = ("Object", "Field")
"""The columns of a row before those of the two values."""


def rows(changes: Iterable[ObjectChange], *, whole: bool = False) -> list[tuple[str, str, str, str]]:
    """A row for every field that differs, and one for each object that comes or goes: object, field, value before,
    value after. whole: also what came or went with such an object."""
    found = []
    for change in _ordered(changes):
        name = title(change)
        if change.before is None or change.after is None or not change.row:
            there = "" if change.before is None else "stored"
            then = "deleted" if change.after is None else "created" if change.before is None else "changed"
            found.append((name, "", there, then))
        found += [(name, *row) for row in _fields(change, differences.rows, differences.whole if whole else None)]
    return found


def data(changes: Iterable[ObjectChange], *, whole: bool = False) -> list[dict[str, Any]]:
    """The same for programs: an object for each change."""
    return [
        {"kind": c.kind, "tenant": c.tenant, "cloud": c.cloud, "name": c.name, "uuid": c.uuid}
        | {"change": "create" if c.before is None else "delete" if c.after is None else "update"}
        | {"differences": _fields(c, differences.data, differences.whole_data if whole else None)}
        for c in _ordered(changes)
    ]


def title(change: ObjectChange | Touch) -> str:
    """The object of a change in words: "Pool p1", "Pool p1 of tenant t1 of cloud linux"."""
    name = f"{schema.SEGMENTS.get(change.kind, change.kind)} {change.name}".rstrip()
    owner = f" of tenant {change.tenant}" if change.tenant not in ("", ADMIN) else ""
    return name + owner + (document.in_cloud(change.cloud) if change.cloud not in ("", DEFAULT_CLOUD) else "")


def _fields(
    change: ObjectChange,
    compared: Callable[[schema.Kind, list[Difference]], list[T]],
    came_or_went: Callable[[schema.Kind, Document | None, Document | None], list[T]] | None,
) -> list[T]:
    """The fields that differ, as `compared` tells them; of an object that comes or goes, as `came_or_went` does."""
    if not change.row:
        return []
    kind = schema.kind(change.kind)
    if change.before is not None and change.after is not None:
        return compared(kind, compare(kind, change.before, change.after))
    return came_or_went(kind, change.before, change.after) if came_or_went else []


def _ordered(changes: Iterable[ObjectChange]) -> list[ObjectChange]:
    kinds = {segment: at for at, segment in enumerate(schema.SEGMENTS)}
    return sorted(changes, key=lambda c: (kinds.get(c.kind, len(kinds)), c.kind, c.tenant, c.name, c.cloud))
