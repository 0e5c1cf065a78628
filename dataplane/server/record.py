"""Records what a pool member was like before `avi-server apply`, so that `undo` restores exactly that.

Each network namespace has one JSON file, `/run/avi-server/<inode of the namespace>.json`. After a boot /run is empty,
as is the namespace. Inodes are used again when a namespace is gone; its cookie, which the file also holds, is not.
Whoever opens a record forgets those of namespaces that are gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dataplane.errors import ServerError, command
from dataplane.network import namespace

FOLDER = Path("/run/avi-server")


@dataclass(slots=True)
class Record:
    """What `apply` did to a host."""

    namespace: int  # the network namespace's cookie
    vips: dict[str, bool] = field(default_factory=dict)  # VIPs it prepared; True: it added the address
    settings: dict[str, str] = field(default_factory=dict)  # values before, by sysctl key, in the order of the changes
    loopback_up: bool = False  # it switched the loopback on
    # The rest is for layer 3.
    programs: dict[str, list[str]] = field(default_factory=dict)  # VIPs of the decapsulating program, by interface
    hooks: list[str] = field(default_factory=list)  # interfaces on which it also made the qdisc for the program
    links: list[str] = field(default_factory=list)  # tunnel devices it made
    modules: list[str] = field(default_factory=list)  # kernel modules loaded for these
    addresses: list[list[str]] = field(default_factory=list)  # VIP and the foreign tunnel device that got it
    limits: dict[str, int] = field(default_factory=dict)  # bytes of segments it limited, by VIP
    processes: int = 0  # inode of the writer's PID namespace, 0 = unknown

    @property
    def empty(self) -> bool:
        """Whether there is nothing to undo."""
        changed = (self.vips, self.settings, self.loopback_up, self.programs, self.hooks, self.links)
        return not any((*changed, self.modules, self.addresses, self.limits))


class Book:
    """The record of the namespace that this process is in, held under a lock."""

    def __init__(self, path: Path, record: Record) -> None:
        self._path = path
        self.record = record

    def keep(self) -> None:
        """Write the record, whole or not at all; remove it if it is empty. Raises ServerError."""
        try:
            if self.record.empty:
                self._path.unlink(missing_ok=True)
                return
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(asdict(self.record), indent=1) + "\n", "utf-8")
            part.replace(self._path)
        except OSError as exc:
            raise ServerError(f"cannot keep what was there before: {self._path}: {exc.strerror}") from exc


@contextmanager
def opened() -> Iterator[Book]:
    """The book of this namespace. Raises ServerError if it cannot be read or written."""
    inode = os.stat("/proc/thread-self/ns/net").st_ino
    try:
        FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise ServerError(f"cannot open {FOLDER}: {exc.strerror}", remedy="run it as root") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = FOLDER / f"{inode}.json"
        _forget_gone()
        yield Book(path, _read(path))
    finally:
        os.close(lock)


def forget(inode: int) -> None:
    """Remove the record of a namespace that is about to be deleted."""
    (FOLDER / f"{inode}.json").unlink(missing_ok=True)


def _forget_gone() -> None:
    """Remove the records of namespaces that are gone. Only records of writers that saw the same processes are
    judged."""
    paths = [path for path in FOLDER.glob("*.json") if path.stem.isdecimal()]
    if not paths:
        return
    there, own = _namespaces(), _inode("/proc/self/ns/pid")
    for path in paths:
        if int(path.stem) in there:
            continue
        with suppress(OSError, ValueError, TypeError, AttributeError):
            if json.loads(path.read_text("utf-8")).get("processes") == own:
                path.unlink()


def _namespaces() -> set[int]:
    """Inodes of the network namespaces that a process is in, has open, or has mounted."""
    found: set[int] = set()
    seen: set[int] = set()
    for process in (path for path in _entries(Path("/proc")) if path.name.isdecimal()):
        found.update(_inode(task / "ns" / "net") for task in _entries(process / "task"))
        names: list[str] = []
        for held in _entries(process / "fd"):
            with suppress(OSError):
                names.append(os.readlink(held))
        mounts = _inode(process / "ns" / "mnt")
        if mounts not in seen:
            seen.add(mounts)
            with suppress(OSError):
                names.append((process / "mountinfo").read_text("utf-8", "replace"))
        found.update(int(inode) for name in names for inode in re.findall(r"net:\[(\d+)\]", name))
    return found


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder; none if it is of a process that has ended meanwhile."""
    try:
        return [folder / name for name in os.listdir(folder)]
    except OSError:
        return []


def _inode(path: Path | str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def _read(path: Path) -> Record:
    cookie = namespace.cookie()
    try:
        record = Record(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return Record(cookie, processes=_inode("/proc/self/ns/pid"))
    except (OSError, ValueError, TypeError) as exc:
        raise ServerError(f"{path}: not a record of avi-server: {exc}", remedy=command("rm {}", path)) from exc
    return record if record.namespace == cookie else Record(cookie, processes=_inode("/proc/self/ns/pid"))
