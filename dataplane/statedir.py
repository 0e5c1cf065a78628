"""The state directory: made for its owner alone, and trusted only if nobody else could have put anything into it.

What lies in it steers an engine with rights, so a directory that another user owns or may write to is refused, and so
is a file in it that is another user's, a link, or no regular file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dataplane.errors import StateError, command

AUDIT = ("audit.jsonl", *(f"audit.jsonl.{number}" for number in range(1, 8)))
"""The files of the audit log, newest first."""

SHARED = "cluster.json"
"""The file that says whom a host shares its configuration with (`dataplane.cluster.address`)."""

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def prepare(path: Path) -> None:
    """Make a state directory, and the directories above it, for this user alone whatever the umask; see that one that
    is there is its user's alone. Raises StateError."""
    try:
        for folder in (*reversed(path.absolute().parents), path.absolute()):
            try:
                folder.mkdir(0o700)
            except FileExistsError:  # it was there, or another process makes it now, too
                if not folder.is_dir():
                    what = f"{folder} is no state directory: it is no directory"
                    raise StateError(what, remedy="--state names one") from None
            else:
                folder.chmod(0o700)
    except NotADirectoryError as exc:
        raise StateError(f"{exc.filename} is no state directory: {exc.strerror}", remedy="--state names one") from exc
    check(path)


def check(path: Path) -> None:
    """See that a state directory and what lies in it is this user's alone. One that is not there is. Raises StateError
    naming what is not."""
    try:
        told = path.stat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(told.st_mode):
        raise StateError(f"{path} is no state directory: it is no directory", remedy="--state names one")
    _own(path, told)
    if told.st_mode & _OTHERS:
        raise StateError(f"{path} may be written by other users", remedy=command("chmod go-w {}", path))
    for name in ("config.db", "config.db-wal", "config.db-shm", SHARED, *AUDIT, "history", "run"):
        try:
            inner = os.lstat(path / name)
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(inner.st_mode):
            raise StateError(f"{path / name} is a link", remedy=command("rm {}", path / name))
        if name != "run" and not stat.S_ISREG(inner.st_mode):
            raise StateError(f"{path / name} is no regular file", remedy=command("rm {}", path / name))
        _own(path / name, inner)
        if name == "run" and inner.st_mode & _OTHERS:
            raise StateError(
                f"{path / name} may be written by other users", remedy=command("chmod go-w {}", path / name)
            )


def open_file(path: Path, flags: int) -> int:
    """Open a file of a state directory, never through a link; a new one is this user's alone (0600). Raises OSError."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _own(path: Path, told: os.stat_result) -> None:
    if told.st_uid != os.geteuid():
        own = command("chown -R {} {}", os.geteuid(), path)
        remedy = f"{own}, if what is in it can be trusted; or --state names another"
        raise StateError(f"{path} belongs to another user (uid {told.st_uid})", remedy=remedy)
