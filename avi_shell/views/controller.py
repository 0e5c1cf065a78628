"""`show version controller`: this program, its store, and how far the engines follow it."""

from __future__ import annotations

import platform
import sqlite3
from typing import Any

from avi_shell.configuration.configuration import Configuration
from avi_shell.output.result import Part, Table
from avi_shell.views import live
from avi_shell.views.gathering import NONE, Engines
from dataplane.version import VERSION


def controller(configuration: Configuration, engines: Engines) -> tuple[list[Part], dict[str, Any]]:
    """What to print, and the same for programs."""
    with configuration.snapshot() as store:
        identity, epoch = store.identity()
        commit = store.version()
    reports = engines.reports(NONE)
    told: dict[str, Any] = {
        "product": "avi-shell",
        "version": VERSION,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kernel": platform.release(),
        "state": str(engines.directory),
        "store": {"identity": identity, "epoch": epoch, "commit": commit},
        "service_engines": [
            {"name": one["name"], "group": one["group"], "driver": one["driver"]["name"], "applied": one["version"]}
            for one in reports
        ],
    }
    rows = [(name, str(value)) for name, value in told.items() if isinstance(value, str)]
    rows += [("store", identity), ("  epoch", str(epoch)), ("  commit", str(commit))]
    parts: list[Part] = [Table(("Field", "Value"), rows), *reports.told()]
    if reports:
        head = ("Service Engine", "SE Group", "Driver", "Commit Applied")
        parts.append(Table(head, [tuple(map(str, one.values())) for one in told["service_engines"]]))
    elif not reports.doubtful:
        parts.append(live.no_engine(engines.directory))
    return parts, told
