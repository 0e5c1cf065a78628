"""Which objects of a store are meant: by kind, tenants, clouds and the beginning of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from avi_shell.configuration.document import ADMIN, ALL, DEFAULT_CLOUD
from grammar import relations

Read = Callable[..., Sequence[Any]]
"""A statement and its values → the rows."""


def of_kind(kind: str, tenants: Iterable[str] | None, clouds: Iterable[str] | None) -> tuple[str, list[str]]:
    """The condition on rows of the table object, and its values. None: all tenants, all clouds."""
    where, values = "kind = ?", [kind]
    for column, only in (("tenant", tenants), ("cloud", clouds if kind in relations.OF_A_CLOUD else None)):
        if only is not None:
            wanted = list(only)
            where += f" AND {column} IN ({', '.join('?' * len(wanted))})"
            values += wanted
    return where, values


def names_beginning(
    read: Read, kind: str, tenants: Iterable[str] | None, clouds: Iterable[str] | None, *, beginning: str, most: int
) -> tuple[list[str], bool]:
    """Of the names that begin with a text, sorted, each once: the first `most` and the last; whether there are others.
    It takes as long for many names as for few."""
    found, last = set[str](), ""
    for some in [None] if tenants is None else [[tenant] for tenant in tenants]:  # one alone: in the index's order
        where, values = of_kind(kind, some, clouds)
        there = f"FROM object WHERE {where} AND name >= ? AND name < ? ORDER BY name"
        values += [beginning, f"{beginning}\U0010ffff"]
        found.update(name for (name,) in read(f"SELECT DISTINCT name {there} LIMIT {most + 2}", *values))
        last = max(last, *(name for (name,) in read(f"SELECT name {there} DESC LIMIT 1", *values)), "")
    names = sorted(found)
    if len(names) <= most + 1:
        return names, False
    return [*names[:most], last], True


def clouds(cloud: str) -> set[str] | None:
    """The clouds whose objects are seen from within one; None: all."""
    return None if cloud == ALL else {cloud, DEFAULT_CLOUD}


def visible(kind: str, tenant: str) -> set[str] | None:
    """The tenants whose objects of a kind a tenant sees; None: all."""
    if tenant == ALL:
        return None
    return {ADMIN} if kind == "tenant" else {ADMIN, tenant}
