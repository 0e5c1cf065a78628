"""The plan in a store's database: the table `plan`.

The writer is called inside the commit's transaction, so that configuration and plan can never differ.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dataplane.errors import PlanError
from dataplane.foreign.text import harmless

if TYPE_CHECKING:
    from dataplane.plan.model import Common, Mark, Plan, Service

COMMON = ""
"""The key of the common document in the table."""

STORE_FORMAT = 2
"""The number of the layout of a store's tables, in SQLite's `user_version`."""

PLAN_FORMAT = 2
"""The number of what a plan of this release may say. It is raised when a field takes effect that was stored without
effect before: plans that an older release made lack it. Kept in SQLite's `application_id`, which no older release
touches."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS plan (
    key      TEXT PRIMARY KEY,   -- "VIP/protocol/port-port", or "" for the common document
    version  INTEGER NOT NULL,   -- the commit that last changed it
    document TEXT                -- NULL: the service is gone
);
CREATE INDEX IF NOT EXISTS plan_version ON plan (version);
CREATE TABLE IF NOT EXISTS store (   -- one row
    identity TEXT NOT NULL,      -- a uuid: no two stores have the same one but copies
    epoch    INTEGER NOT NULL    -- raised when a store goes back to an older state
);
"""


def identify(connection: sqlite3.Connection, identity: str, epoch: int = 1) -> None:
    """Say who a store is, in the open transaction."""
    connection.execute("DELETE FROM store")
    connection.execute("INSERT INTO store (identity, epoch) VALUES (?, ?)", (identity, epoch))


def identity(connection: sqlite3.Connection) -> tuple[str, int]:
    """A store's identity and epoch; "" and 0 for one that has none: of format 1, or with tables still to be made."""
    try:
        row = connection.execute("SELECT identity, epoch FROM store").fetchone()
    except sqlite3.OperationalError as exc:
        if "no such table" not in str(exc):
            raise
        return "", 0
    if row is None or type(row[0]) is not str or type(row[1]) is not int:
        return "", 0
    return row[0], row[1]


def plan_format(connection: sqlite3.Connection) -> int:
    """The format of the plan in a store."""
    (found,) = connection.execute("PRAGMA application_id").fetchone()
    return int(found) or 1


def set_plan_format(connection: sqlite3.Connection) -> None:
    """Note that the plan is what this release makes of what is stored. In the open transaction."""
    connection.execute(f"PRAGMA application_id = {PLAN_FORMAT}")


def is_common(connection: sqlite3.Connection, common: Common) -> bool:
    """Whether the plan has this common document."""
    from dataplane.plan import codec

    row = connection.execute("SELECT document FROM plan WHERE key = ?", (COMMON,)).fetchone()
    return row is not None and row[0] == json.dumps(codec.document(common), separators=(",", ":"))


def write(
    connection: sqlite3.Connection, version: int, changes: Iterable[Service | str], common: Common | None
) -> None:
    """Store changed services (a key alone: that service is gone) under a commit's number, in the open transaction."""
    from dataplane.plan import codec  # late: a shell that commits nothing does without

    encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
    rows = [
        (c, version, None) if isinstance(c, str) else (c.key, version, encode(codec.brief_document(c))) for c in changes
    ]
    if common is not None:
        rows.append((COMMON, version, json.dumps(codec.document(common), separators=(",", ":"))))
    connection.executemany("INSERT OR REPLACE INTO plan (key, version, document) VALUES (?, ?, ?)", rows)


def copy(connection: sqlite3.Connection, version: int, rows: Mapping[str, Any]) -> None:
    """Store rows that another store's plan has under the same version, in the open transaction: documents by key, None
    for a service that is gone. Raises PlanError for one that cannot be read."""
    from dataplane.plan import codec

    for key, document in rows.items():
        if key == COMMON:
            codec.read_common(document, version)
        elif document is not None:
            codec.read_service(document, version, key)
    connection.executemany(
        "INSERT OR REPLACE INTO plan (key, version, document) VALUES (?, ?, ?)",
        [
            (key, version, None if document is None else json.dumps(document, separators=(",", ":")))
            for key, document in rows.items()
        ],
    )


def read(connection: sqlite3.Connection, after: int = -1) -> Plan:
    """What changed after a version (all of it for −1). `version` is the newest in the table, `after` if none is newer.
    Rows that cannot be read are named, and do not keep the others from being read.

    Raises PlanError for a table with invalid keys or versions, or a layout that this version does not know;
    sqlite3.Error where the store cannot be read.
    """
    from dataplane.plan import codec
    from dataplane.plan.model import Plan

    services: dict[str, Service | None] = {}
    damaged: dict[str, str] = {}
    common, newest = None, after
    for key, version, document in connection.execute(
        "SELECT key, version, document FROM plan WHERE version > ? ORDER BY key", (after,)
    ):
        if type(key) is not str or type(version) is not int:
            raise PlanError(f"the table plan has a row of key {harmless(repr(key), 60)}, version {version!r:.60}")
        newest = max(newest, version)
        try:
            if key == COMMON:
                common = codec.read_common(_value(document), version)
            else:
                services[key] = None if document is None else codec.read_service(_value(document), version, key)
        except PlanError as exc:
            damaged[key] = exc.what
    return Plan(newest, services, common, damaged, *identity(connection))


def state(connection: sqlite3.Connection) -> Mark:
    """How far the plan in a store is. Raises PlanError for a layout that this version does not know, sqlite3.Error."""
    from dataplane.plan.model import Mark

    found, version = connection.execute(
        "SELECT user_version, (SELECT COALESCE(MAX(version), -1) FROM plan) FROM pragma_user_version"
    ).fetchone()
    if found > STORE_FORMAT:
        raise PlanError(f"written by another release (format {found}, this one reads {STORE_FORMAT})")
    return Mark(version, *identity(connection))


def newest(connection: sqlite3.Connection) -> int:
    """The newest version in the plan, -1 for an empty one: what an engine that is up to date has applied."""
    (version,) = connection.execute("SELECT COALESCE(MAX(version), -1) FROM plan").fetchone()
    return int(version)


def read_services(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, Service]:
    """The services of some keys, where they are there, not gone, and can be read. Raises sqlite3.Error."""
    from dataplane.plan import codec

    found = {}
    for key in keys:
        row = connection.execute(
            "SELECT version, document FROM plan WHERE key = ? AND document IS NOT NULL", (key,)
        ).fetchone()
        if row is not None:
            with suppress(PlanError):  # whoever writes it anew mends it
                found[key] = codec.read_service(_value(row[1]), row[0], key)
    return found


def read_on(connection: sqlite3.Connection, vips: Iterable[str]) -> dict[str, Service]:
    """The services of some VIPs, as `read_services`. Raises sqlite3.Error."""
    found = "SELECT key FROM plan WHERE key >= ? AND key < ?"
    keys = [key for vip in vips for (key,) in connection.execute(found, (f"{vip}/", f"{vip}0")).fetchall()]
    return read_services(connection, keys)


def read_common(connection: sqlite3.Connection) -> Common | None:
    """What the engines share; None where there is none, or it cannot be read. Raises sqlite3.Error."""
    from dataplane.plan import codec

    row = connection.execute("SELECT version, document FROM plan WHERE key = ?", (COMMON,)).fetchone()
    with suppress(PlanError):
        return codec.read_common(_value(row[1]), row[0]) if row is not None else None
    return None


def _value(document: Any) -> Any:
    """The value of a row's JSON. Raises PlanError."""
    try:
        return json.loads(document)
    except (ValueError, TypeError, RecursionError) as exc:
        raise PlanError(f"it is not JSON: {harmless(str(exc), 80)}") from None
