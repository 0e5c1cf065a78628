"""The plan in a store's database: the table `plan`.

The writer is called inside the commit's transaction, so that configuration and plan can never differ.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from dataplane.plan import codec
from dataplane.plan.model import Common, Plan, Service

COMMON = ""
"""The key of the common document in the table."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS plan (
    key      TEXT PRIMARY KEY,   -- "VIP/protocol/port-port", or "" for the common document
    version  INTEGER NOT NULL,   -- the commit that last changed it
    document TEXT                -- NULL: the service is gone
);
CREATE INDEX IF NOT EXISTS plan_version ON plan (version);
"""


def write(
    connection: sqlite3.Connection, version: int, changes: Iterable[Service | str], common: Common | None
) -> None:
    """Store changed services (a key alone: that service is gone) under a commit's number, in the open transaction."""
    rows = [
        (c, version, None)
        if isinstance(c, str)
        else (c.key, version, json.dumps(codec.brief_document(c), separators=(",", ":")))
        for c in changes
    ]
    if common is not None:
        rows.append((COMMON, version, json.dumps(codec.document(common), separators=(",", ":"))))
    connection.executemany("INSERT OR REPLACE INTO plan (key, version, document) VALUES (?, ?, ?)", rows)


def read(connection: sqlite3.Connection, after: int = -1) -> Plan:
    """What changed after a version (all of it for −1). `version` is the newest in the table, `after` if none is newer.

    Raises PlanError for a document this version cannot read, sqlite3.Error where the store cannot be read.
    """
    services: dict[str, Service | None] = {}
    common, newest = None, after
    for key, version, document in connection.execute(
        "SELECT key, version, document FROM plan WHERE version > ? ORDER BY key", (after,)
    ):
        newest = max(newest, version)
        if key == COMMON:
            common = codec.read_common(json.loads(document), version)
        else:
            services[key] = None if document is None else codec.read_service(json.loads(document), version)
    return Plan(newest, services, common)


def newest(connection: sqlite3.Connection) -> int:
    """The newest version in the plan, -1 for an empty one: what an engine that is up to date has applied."""
    (version,) = connection.execute("SELECT COALESCE(MAX(version), -1) FROM plan").fetchone()
    return int(version)


def read_services(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, Service]:
    """The services of some keys, where they are there and not gone. Raises PlanError, sqlite3.Error."""
    found = {}
    for key in keys:
        row = connection.execute(
            "SELECT version, document FROM plan WHERE key = ? AND document IS NOT NULL", (key,)
        ).fetchone()
        if row is not None:
            found[key] = codec.read_service(json.loads(row[1]), row[0])
    return found


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))
