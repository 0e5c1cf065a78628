"""Finds the damaged row of a store, after something in it could not be understood."""

from __future__ import annotations

import dataclasses
from typing import Any

from avi_shell.configuration import document, incoming, validation
from avi_shell.configuration.store import Store
from avi_shell.configuration.storefile import damaged
from avi_shell.errors import ShellError, StoreError
from dataplane import plan
from dataplane.foreign import jsontext
from dataplane.plan import sqlite, unconfirmed
from grammar import schema


def find(store: Store) -> StoreError | None:
    """The first damage: SQLite's own, an object, the indexes beside the objects, the plan, the history. None: none."""
    try:
        with store.guarded():
            return _sqlite(store) or _objects(store) or _indexes(store) or _plan(store)
    except ShellError as exc:
        return exc if isinstance(exc, StoreError) else damaged(store.where, str(exc))


def _sqlite(store: Store) -> StoreError | None:
    (told,) = store.connection.execute("PRAGMA quick_check(1)").fetchone()
    return None if told == "ok" else damaged(store.where, f"SQLite says: {str(told).splitlines()[-1]}")


def _objects(store: Store) -> StoreError | None:
    store.log.bounds()
    for commit in store.history(1 << 62):
        if commit.content:
            store.changes(commit.number)
    store.foreign()
    (waits,) = store.connection.execute("SELECT count(*) FROM unconfirmed").fetchone()
    if waits and unconfirmed.read(store.connection) is None:
        return damaged(store.where, "what waits to be confirmed")
    for (id_,) in store.connection.execute("SELECT id FROM object").fetchall():
        entry = store.by_id(id_)
        kind = schema.kind(entry.kind)
        title = f"{kind.name} {entry.name}"
        try:
            jsontext.loads(store.connection.execute("SELECT body FROM object WHERE id = ?", (id_,)).fetchone()[0])
            incoming.check(kind, entry.document)
            validation.check(kind, entry.document)
            if _lacks(kind, kind.root, entry.document, document.with_defaults(kind, entry.document)):
                return damaged(store.where, f"{title} lacks a value that every one has")
            for _, field, ref in document.references(kind, entry.document):
                if field.described:
                    document.reference_parts(ref)
        except ShellError as exc:
            return damaged(store.where, str(exc))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as exc:
            return damaged(store.where, f"{title}: {exc}")
        held = entry.document
        known = (held.get("name"), held.get("uuid"), document.owner(kind, held), document.cloud_of(kind, held))
        if known != (entry.name, entry.uuid, entry.tenant, entry.cloud):
            return damaged(store.where, f"{title} has another name, uuid, tenant or cloud in its document")
    return None


def _lacks(kind: schema.Kind, message: schema.Message, found: Any, complete: Any) -> bool:
    """Whether a message lacks a value that it always has; an older release gave fields without effect none."""
    if not isinstance(found, dict) or not isinstance(complete, dict):
        return bool(found != complete)
    for name, value in complete.items():
        field = message.fields.get(name)
        if name not in found:
            if field is None or not field.no_effect:
                return True
            continue
        inner = kind.message(field) if field is not None else None
        if inner is not None and isinstance(value, list):
            if any(_lacks(kind, inner, *pair) for pair in zip(found[name], value, strict=True)):
                return True
        elif inner is not None and _lacks(kind, inner, found[name], value):
            return True
    return False


def _indexes(store: Store) -> StoreError | None:
    for table, texts, numbers in _INDEXES:
        for row in store.connection.execute(f"SELECT {texts}, {numbers} FROM {table}").fetchall():
            size = len(texts.split(","))
            if not all(isinstance(v, str) for v in row[:size]) or not all(isinstance(v, int) for v in row[size:]):
                return damaged(store.where, f"a row of the index {table} is {row!r}")
    dangling = "SELECT source FROM {} WHERE source NOT IN (SELECT id FROM object) LIMIT 1"
    for table, _, _ in _INDEXES:
        found = store.connection.execute(dangling.format(table)).fetchone()
        if found is not None:
            return damaged(store.where, f"the index {table} names object {found[0]}, which is not there")
    return None


_INDEXES = (
    ("link", "kind, tenant, cloud, name", "source"),
    ("holding", "role, value", "source"),
    ("claim", "vrf, vip, protocol", "port, port_end, source"),
)
"""The tables that are derived from objects: their columns of text, and of numbers."""


def _wrong(value: plan.Service | plan.Server | plan.Monitor) -> str | None:
    """The first field of a value of the plan that is not of its type."""
    for field in dataclasses.fields(value):
        found = getattr(value, field.name)
        if field.type in ("str", "int", "bool") and type(found).__name__ != field.type:
            return f"{field.name} is {found!r}"
    return None


def _plan(store: Store) -> StoreError | None:
    for key, version in store.connection.execute("SELECT key, version FROM plan").fetchall():
        if not isinstance(key, str) or not isinstance(version, int):
            return damaged(store.where, f"a row of the plan is {(key, version)!r}")
        try:
            for service in store.planned([key] if key != sqlite.COMMON else []).values():
                values: list[plan.Service | plan.Server | plan.Monitor] = [service, *service.servers, *service.monitors]
                for value in values:
                    if (wrong := _wrong(value)) is not None:
                        return damaged(store.where, f"the plan of {key}: {wrong}")
        except StoreError as exc:
            return StoreError(f"{exc} ({key})", hint=exc.hint)
    return None
