"""The tables of a store, and the upgrade of an older release's tables."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from avi_shell.configuration import document
from dataplane.plan import sqlite, unconfirmed
from grammar import schema

HISTORY_COMMITS, HISTORY_DAYS = 10_000, 365
"""How many commits a fresh store remembers at most, and for how many days."""

TABLES = """
CREATE TABLE object (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- no other object ever has it
    kind TEXT NOT NULL,           -- the segment: "pool"
    tenant TEXT NOT NULL,
    cloud TEXT NOT NULL,          -- "" for kinds that belong to none
    name TEXT NOT NULL,
    uuid TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    UNIQUE (kind, tenant, name, cloud)
);
CREATE TABLE link (
    source INTEGER NOT NULL, kind TEXT NOT NULL, tenant TEXT NOT NULL, cloud TEXT NOT NULL, name TEXT NOT NULL
);
CREATE INDEX link_source ON link (source);
CREATE INDEX link_target ON link (kind, tenant, name, cloud);
CREATE TABLE holding (source INTEGER NOT NULL, role TEXT NOT NULL, value TEXT NOT NULL);
CREATE INDEX holding_source ON holding (source);
CREATE INDEX holding_value ON holding (value, role);
CREATE TABLE claim (
    source INTEGER NOT NULL, vrf TEXT NOT NULL, vip TEXT NOT NULL, protocol TEXT NOT NULL,
    port INTEGER NOT NULL, port_end INTEGER NOT NULL
);
CREATE INDEX claim_source ON claim (source);
CREATE INDEX claim_ports ON claim (vip, protocol, port, port_end);
CREATE TABLE history (
    number INTEGER PRIMARY KEY, time REAL NOT NULL, user TEXT NOT NULL, os_user TEXT NOT NULL, terminal TEXT NOT NULL,
    tenant TEXT NOT NULL, origin TEXT NOT NULL, comment TEXT NOT NULL, action TEXT NOT NULL, kind TEXT NOT NULL,
    name TEXT NOT NULL, line TEXT NOT NULL,
    content INTEGER NOT NULL      -- whether the table change has what it changed
);
CREATE TABLE change (
    number INTEGER NOT NULL,      -- of the commit
    row INTEGER NOT NULL,         -- of the object; 0 for a foreign kind
    kind TEXT NOT NULL, tenant TEXT NOT NULL, cloud TEXT NOT NULL, name TEXT NOT NULL,
    bodies BLOB NOT NULL          -- zlib: the body before, a line feed, the body after; "" where there is none
);
CREATE INDEX change_number ON change (number);
CREATE TABLE outbox (             -- lines of commits that are not known to stand in the audit log yet
    number INTEGER NOT NULL,      -- of the commit
    line TEXT NOT NULL
);
CREATE TABLE foreign_kind (
    kind TEXT PRIMARY KEY,        -- imported, not of this object model
    body TEXT NOT NULL
);
CREATE TABLE setting (            -- one row
    history_commits INTEGER NOT NULL, history_days INTEGER NOT NULL
);
"""


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of a fresh store, in the open transaction."""
    _run(connection, f"{TABLES}{sqlite.SCHEMA}{unconfirmed.SCHEMA}")
    connection.execute("INSERT INTO setting VALUES (?, ?)", (HISTORY_COMMITS, HISTORY_DAYS))
    from uuid import uuid4  # late: a store is made once

    sqlite.identify(connection, str(uuid4()))
    connection.execute(f"PRAGMA user_version = {sqlite.STORE_FORMAT}")
    sqlite.set_plan_format(connection)


def upgrade(connection: sqlite3.Connection) -> None:
    """Upgrade the tables of format 1 to this release's, in the open transaction. Objects, references, history and plan
    stay. What old commits changed is unknown, since format 1 did not record it."""
    for index in ("link_source", "link_target", "holding_source", "holding_value", "claim_source", "claim_ports"):
        connection.execute(f"DROP INDEX IF EXISTS {index}")
    for table in _OLD:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    create(connection)
    connection.executemany(
        "INSERT INTO object (id, kind, tenant, cloud, name, uuid, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        _objects(connection),
    )
    _name_clouds(connection)
    connection.execute(
        "INSERT INTO link SELECT l.source, l.kind, l.tenant, coalesce(o.cloud, ''), l.name FROM old_link l "
        "LEFT JOIN object o ON o.kind = l.kind AND o.tenant = l.tenant AND o.name = l.name"
    )
    connection.execute("INSERT INTO holding SELECT source, role, value FROM old_holding")
    connection.executemany("INSERT INTO claim VALUES (?, ?, ?, ?, ?, ?)", _claims(connection))
    connection.execute(
        "INSERT INTO history SELECT version, time, user, '', '', tenant, '', '', action, kind, name, line, 0 "
        "FROM old_history"
    )
    connection.execute("INSERT INTO foreign_kind SELECT kind, body FROM old_foreign_kind")
    for table in _OLD:
        connection.execute(f"DROP TABLE old_{table}")


_OLD = ("object", "link", "holding", "claim", "history", "foreign_kind")
"""The tables of format 1 that are made anew; its table `plan` is today's."""


def _objects(connection: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    for id_, kind, tenant, name, uuid, body in connection.execute(
        "SELECT id, kind, tenant, name, uuid, body FROM old_object ORDER BY id"
    ).fetchall():
        yield id_, kind, tenant, _cloud(kind, body), name, uuid, body


def _cloud(kind: Any, body: Any) -> str:
    """The cloud of a stored object; "" for one that is damaged, which is told where it is read."""
    try:
        return document.cloud_of(schema.kind(kind), json.loads(body))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return ""


def _name_clouds(connection: sqlite3.Connection) -> None:
    """Format 1 found objects by kind, tenant and name alone: references name the cloud of what they found, and what is
    traced of a virtual service stands in its cloud."""
    found = connection.execute("SELECT kind, tenant, name, cloud FROM object").fetchall()
    clouds = {(kind, tenant, name): cloud for kind, tenant, name, cloud in found}
    if not set(clouds.values()) - {"", document.DEFAULT_CLOUD}:
        return

    def named(_: schema.Field, ref: str) -> str:
        try:
            known = document.target(ref)
        except ValueError:
            return ref
        cloud = clouds.get((known.kind, known.tenant, known.name), known.cloud)
        return ref if cloud == known.cloud else known._replace(cloud=cloud).reference

    for id_, kind, tenant, name, body in connection.execute(
        "SELECT id, kind, tenant, name, body FROM object"
    ).fetchall():
        try:
            model, before = schema.kind(kind), json.loads(body)
            after = document.map_references(model, before, named)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            continue  # damaged: told where it is read
        cloud = clouds.get(("virtualservice", tenant, name)) if kind == "debugvirtualservice" else None
        if cloud is not None:
            after["cloud_ref"] = document.reference("cloud", cloud)
        if after != before:
            text = json.dumps(after, ensure_ascii=False, separators=(",", ":"))
            place = document.cloud_of(model, after)
            connection.execute("UPDATE object SET body = ?, cloud = ? WHERE id = ?", (text, place, id_))


def _claims(connection: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    for source, vip, protocol, port, end, body in connection.execute(
        "SELECT c.source, c.vip, c.protocol, c.port, c.port_end, o.body FROM old_claim c "
        "LEFT JOIN object o ON o.id = c.source"
    ).fetchall():
        try:
            vrf = document.reference_name(json.loads(body)["vrf_context_ref"])
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            vrf = ""
        yield source, vrf, vip, protocol, port, end


def _run(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        connection.execute(statement)
