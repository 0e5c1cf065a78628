"""`clear`: shows an operator counters since that moment. The engines' own counters, and metrics, go on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from avi_shell.errors import StoreError
from dataplane.foreign import files, jsontext

FOLDER = "cleared"
_SERVICE = ("packets", "bytes")
_HANDSHAKES = ("sampled", "answered", "unanswered")

Report = dict[str, Any]
Counters = dict[str, int]
"""Counters by name: "packets", "dropped no_server"."""


class Cleared:
    """What one user has cleared, in a file of the state directory. The key of counters is the engine, and what they are
    of. Raises StoreError where it cannot be written."""

    def __init__(self, directory: Path, user: str) -> None:
        self._path = directory / FOLDER / f"{user or 'nobody'}.json"
        self._known: dict[str, Counters] | None = None

    def clear(self, reports: list[Report], segment: str, of: str) -> int:
        """Make the current counters the new zero. reports: the engines' reports, with nothing subtracted; of: an
        object's uuid, or an engine's name. Returns how many engines had such counters."""
        known, engines = dict(self._read()), 0
        for report in reports:
            found = {key: now for key, kind, which, now in _counted(report) if (kind, which) == (segment, of)}
            known |= found
            engines += bool(found)
        self._known = known
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            files.write(self._path, json.dumps({"at": time.time(), "counters": known}).encode(), mode=0o600)
        except OSError as exc:
            raise StoreError(f"cannot write {self._path}: {exc.strerror}") from exc
        return engines

    def subtract(self, report: Report) -> None:
        """Subtract what was cleared. A counter that is lower than it was then has restarted, and stays."""
        known = self._read()
        if not known:
            return
        for key, _, _, _ in list(_counted(report)):
            if key in known:
                _take_off(report, key, known[key])

    def _read(self) -> Mapping[str, Counters]:
        if self._known is None:
            try:
                told = jsontext.loads(files.read_text(self._path))
                known = told["counters"] if isinstance(told, dict) else {}
                self._known = known if isinstance(known, dict) else {}
            except (OSError, ValueError, LookupError):
                self._known = {}
        return self._known


def _counted(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Counters]]:
    """The counters in a report: their key, the segment and the uuid or name of whose they are, and the counters."""
    for key, segment, of, holder in _holders(report):
        counters: Counters = {name: holder[name] for name in (*_SERVICE, "answered") if name in holder}
        counters |= {f"dropped {reason}": count for reason, count in holder.get("dropped", {}).items()}
        counters |= {f"handshakes {what}": holder["handshakes"][what] for what in _HANDSHAKES if "handshakes" in holder}
        counters |= {"failed_checks": holder["failed_checks"]} if "failed_checks" in holder else {}
        counters |= {f"failed {name}": count for name, count in holder.get("failed_by_monitor", {}).items()}
        if counters:
            yield key, segment, of, counters


def _holders(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    engine = report["name"]
    if "answered" in report or "dropped" in report:
        yield f"{engine}", "serviceengine", engine, report
    for service in report.get("services", ()):
        if "packets" in service:
            key = f"{engine} {service['uuid']} {service['vip']} {service['protocol']} {service['port']}"
            yield key, "virtualservice", service["uuid"], service
    for pool in report.get("pools", ()):
        for server in pool["servers"]:
            if "packets" in server:
                yield f"{engine} {pool['uuid']} {server['address']}", "pool", pool["uuid"], server


def _take_off(report: Report, wanted: str, before: Counters) -> None:
    for key, _, _, holder in _holders(report):
        if key != wanted:
            continue
        for name, count in before.items():
            kind, _, what = name.partition(" ")
            inside = {"dropped": "dropped", "handshakes": "handshakes", "failed": "failed_by_monitor"}.get(kind)
            place, field = (holder[inside], what) if inside and what else (holder, name)
            if place.get(field, -1) >= count:
                place[field] -= count
        if "dropped" in holder:
            holder["dropped"] = {reason: count for reason, count in holder["dropped"].items() if count}
