"""Lists the laboratories on this machine, so that what a killed one left can be found and removed.

Each has a folder `/run/avi-lab/NAME` with its record, `lab.json`, its logs, captures and state directory, and
namespaces named `avi-lab-NAME-…`; nothing of it lies anywhere else, but for the pins of its engines, which the record
names, and the records of avi-server in its servers' namespaces.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from dataplane.drivers import selection
from dataplane.errors import LabError, command
from dataplane.lab import namespaces
from dataplane.server import record

FOLDER = Path("/run/avi-lab")
PREFIX = "avi-lab-"


@dataclass(frozen=True, slots=True)
class Record:
    """One laboratory."""

    name: str
    owner: tuple[int, int]  # the process that holds it and that process's start time; (0, 0) once it is left standing
    engines: tuple[str, ...]  # the names of its engines, unique on this machine

    @property
    def held(self) -> bool:
        """Whether the process that made it still runs."""
        pid, ticks = self.owner
        return pid != 0 and namespaces.started(pid) == ticks


def check_name(name: str) -> str:
    """Check a laboratory's name. It is part of namespaces' names, where `-` ends it. Raises LabError."""
    if not re.fullmatch(r"[a-z0-9]{1,24}", name):
        raise LabError(f"laboratory name {name!r}: expected up to 24 lower-case letters and digits")
    return name


def folder(name: str) -> Path:
    """A laboratory's folder."""
    return FOLDER / name


def claim(name: str, engines: Iterable[str]) -> Path:
    """Make a new laboratory's folder and record; returns the folder. Raises LabError when the name is taken."""
    path = folder(check_name(name))
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise LabError(f"a laboratory {name} is there already", remedy=command("avi-lab down {}", name)) from None
    except OSError as exc:
        raise LabError(f"cannot make {path}: {exc.strerror}", remedy="run it as root") from exc
    _write(Record(name, (os.getpid(), namespaces.started(os.getpid()) or 0), tuple(engines)))
    return path


def release(name: str) -> None:
    """Leave a laboratory standing when its process ends."""
    _write(Record(name, (0, 0), read(name).engines))


def read(name: str) -> Record:
    """Read a laboratory's record. If its maker was killed before writing it, the result says that nobody holds it."""
    try:
        data = json.loads((folder(name) / "lab.json").read_text("utf-8"))
        return Record(name, (data["owner"][0], data["owner"][1]), tuple(data["engines"]))
    except (OSError, ValueError, KeyError):
        return Record(name, (0, 0), ())


def names() -> list[str]:
    """Every laboratory with a folder or a namespace."""
    found = {path.name for path in FOLDER.glob("*") if path.is_dir()}
    found |= {there.name.removeprefix(PREFIX).partition("-")[0] for there in namespaces.existing(PREFIX)}
    return sorted(found)


def remove(name: str) -> None:
    """Remove everything of a laboratory: processes, namespaces, pins, files. Some of it may be gone already."""
    there = namespaces.existing(f"{PREFIX}{check_name(name)}-")
    namespaces.end([pid for each in there for pid in each.processes()], signal.SIGTERM)
    for each in there:
        record.forget(each.path.stat().st_ino)
        each.remove()
    for engine in read(name).engines:
        selection.remove_leftovers(engine)
    shutil.rmtree(folder(name), ignore_errors=True)


def _write(written: Record) -> None:
    path = folder(written.name) / "lab.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(written)) + "\n", "utf-8")
    part.replace(path)
