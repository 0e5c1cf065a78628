"""Stores that are damaged somewhere: every line is answered or refused with what is damaged, none raises."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import StoreError
from avi_shell.output import render
from avi_shell.session.session import Session
from grammar import schema
from tests.torture import site
from tests.torture.mutate import ODD, mutated
from tests.torture.parts import Run

LINES = (
    *(f"show {segment}" for segment in schema.SEGMENTS),
    *("show pool p1", "show virtualservice vs1 detail", "show pool p1 server-setup", "show pool p1 server"),
    *("show vrfcontext v1", "show networkprofile dsr", "show healthmonitor h1", "show running_config", "show history"),
    *("show configuration history", "show configuration diff 3 1", "show pool p1 history"),
    *("configure pool p1", "show", "where", "show diff", "description x", "save", "cancel", "cancel"),
    *("configure virtualservice vs1", "description x", "save", "cancel", "configure vsvip v9", "save", "cancel"),
    *("export configuration file {}/export.json", "import configuration file {}/export.json", "switchto tenant *"),
    *("show pool", "delete virtualservice vs1", "delete pool p1", "history", "show pool | json"),
)
TABLES = ("object", "link", "holding", "claim", "history", "change", "setting", "store", "plan", "foreign_kind")
BODIES = (None, b"\xff\xfe", "", "null", "[]", "1", '"x"', '{"name":', '{"a":' * 900 + "1" + "}" * 900, '{"a": NaN}')


def _rows(chance: random.Random, base: sqlite3.Connection, table: str, column: str, value: Any) -> None:
    rows = base.execute(f"SELECT rowid FROM {table}").fetchall()
    if rows:
        with suppress(sqlite3.IntegrityError):  # a row's number is a number
            base.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid = ?", (value, *chance.choice(rows)))


def _body(chance: random.Random, base: sqlite3.Connection) -> None:
    table, column = chance.choice([("object", "body"), ("plan", "document")])
    _rows(chance, base, table, column, chance.choice(BODIES))


def _shape(chance: random.Random, base: sqlite3.Connection) -> None:
    table, column = chance.choice([("object", "body"), ("object", "body"), ("plan", "document")])
    rows = base.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
    ours = [row for row in rows if any(f'"{name}"' in row[1] for name in ("p1", "vs1", "v1", "dsr", "h1"))] or rows
    rowid, body = chance.choice(ours)
    text = json.dumps(mutated(chance, json.loads(body), chance.randrange(1, 3)))
    base.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (text, rowid))


def _column(chance: random.Random, base: sqlite3.Connection) -> None:
    table = chance.choice(TABLES)
    columns = [row[1] for row in base.execute(f"PRAGMA table_info({table})")]
    value = chance.choice([*(odd for odd in ODD if isinstance(odd, str)), b"\xff", 1, -5, 1.5])
    _rows(chance, base, table, chance.choice(columns), value)


def _missing(chance: random.Random, base: sqlite3.Connection) -> None:
    table = chance.choice(TABLES)
    if chance.random() < 0.5:
        base.execute(f"DROP TABLE {table}")
    else:
        base.execute(f"DELETE FROM {table} WHERE rowid % ? = 0", (chance.randrange(1, 4),))


def _strange(chance: random.Random, base: sqlite3.Connection) -> None:
    kinds: list[Callable[[], object]] = [
        lambda: base.execute(f"PRAGMA user_version = {chance.choice([0, 1, 3, -1, 2**31 - 1])}"),
        lambda: base.execute("INSERT INTO link VALUES (99999, 'pool', 'admin', 'Default-Cloud', 'p1')"),
        lambda: base.execute("INSERT INTO claim VALUES (99999, 'global', '10.1.1.100', 'tcp', 1, 65535)"),
        lambda: base.execute("INSERT INTO holding VALUES (99999, 'server', '10.1.1.10')"),
        lambda: base.execute("INSERT INTO foreign_kind VALUES ('Pool', '{')"),
        lambda: base.execute("INSERT INTO foreign_kind VALUES (?, ?)", (b"\xff", b"\xff")),
        lambda: base.execute("ALTER TABLE object RENAME TO thing"),
        lambda: base.execute("PRAGMA journal_mode = DELETE"),
    ]
    chance.choice(kinds)()


SQL: tuple[Callable[[random.Random, sqlite3.Connection], None], ...] = (
    _body,
    _shape,
    _shape,
    _column,
    _missing,
    _strange,
)


def _bytes(chance: random.Random, file: Path) -> None:
    data = bytearray(file.read_bytes())
    match chance.randrange(5):
        case 0:
            for _ in range(chance.randrange(1, 60)):
                data[chance.randrange(len(data))] = chance.randrange(256)
        case 1:
            del data[chance.randrange(len(data)) :]
        case 2:
            page = 4096 * chance.randrange(len(data) // 4096)
            data[page : page + 4096] = bytes(4096)
        case 3:
            data[chance.randrange(100)] ^= 1 << chance.randrange(8)
        case _:
            file.with_name("config.db-wal").write_bytes(chance.randbytes(chance.randrange(1, 9000)))
    file.write_bytes(data)


def _damage(chance: random.Random, file: Path) -> str:
    if chance.random() < 0.35:
        _bytes(chance, file)
        return "bytes"
    damage = chance.choice(SQL)
    with closing(sqlite3.connect(file)) as base, base:
        damage(chance, base)
    return damage.__name__.strip("_")


def run(run: Run) -> None:
    """One store a step."""
    for chance in run.steps():
        with TemporaryDirectory() as folder:
            state = Path(folder) / "state"
            state.mkdir(0o700)
            file = state / "config.db"
            file.write_bytes(site.database())
            os.chmod(file, 0o600)
            what = _damage(chance, file)
            run.ended(f"{what} {_try(state)}")


def _try(state: Path) -> str:
    try:
        configuration = Configuration.open(state)
    except StoreError:
        return "not opened"
    told = "unseen"
    with closing(configuration):
        session = Session(configuration, state)
        for line in LINES:
            session.offer("show pool ")
            result = session.run(line.format(state))
            render.text_lines(result.parts, 80)
            render.as_json(result)
            if isinstance(result.error, StoreError):
                told = "told"
    return told
