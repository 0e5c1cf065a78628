"""`show tech-support`: one archive for whoever helps from afar."""

from __future__ import annotations

import os
import platform
import re
import time
from contextlib import suppress
from pathlib import Path

from avi_shell.configuration.document import ADMIN, ALL
from avi_shell.errors import Refused
from avi_shell.output.result import Prose, Result
from avi_shell.session import files
from avi_shell.session.state import SessionState
from dataplane import statedir
from dataplane.errors import StateError
from dataplane.wording import counted, fits
from grammar.commands import Command
from grammar.watching import AGAIN

FOLDER = "tech-support"
"""Of the state directory."""
KEPT = 5
"""Archives that the folder keeps, of those that this host named itself; of more, the oldest are deleted."""


def show(session: SessionState, command: Command, result: Result) -> None:
    """Write the archive, and tell its path. Raises Refused."""
    from avi_shell.views.techsupport import Archive, packed

    if AGAIN in command.arguments:
        raise Refused("show tech-support writes an archive, and is not watched")
    if session.tenant not in (ADMIN, ALL):
        raise Refused("the archive holds what all tenants have", hint="switchto tenant admin first")
    prefix = f"tech-support-{re.sub(r'[^A-Za-z0-9.-]', '-', platform.node())}"
    name = f"{prefix}-{time.strftime('%Y%m%d-%H%M%S')}"
    named = command.text("path")
    path = named or str(_folder(session.directory) / f"{name}.tar.gz")
    engines = session.engines
    archive = Archive(session.stored, engines, session.progress)
    made = archive.made()
    data = packed(made, name)
    files.write_bytes(path, data, mode=0o600)
    deleted = [] if named else _older(Path(path), prefix)
    result.data = {
        "file": path,
        "bytes": len(data),
        "files": list(made),
        "could_not_be_made": archive.faults,
        "deleted": deleted,
    }
    result.silent = engines.silent
    result.parts.append(f"Completed writing the tech support archive to {path}")
    result.parts.append(
        Prose(f"It has {counted(len(made), 'file')}, {-(-len(data) // 1024):,} KiB. Secrets are masked.")
    )
    if not named:
        older = f": {', '.join(deleted)} {fits(len(deleted), 'is', 'are')} deleted" if deleted else ""
        result.parts.append(Prose(f"The newest {KEPT} archives are kept there{older}."))
    result.parts += [Prose(f"{why}: its status is not there.") for why in engines.silent.values()]
    if archive.faults:
        result.parts.append(Prose(f"{len(archive.faults):,} could not be made: {', '.join(sorted(archive.faults))}."))


def _older(newest: Path, prefix: str) -> list[str]:
    """Delete the archives of this host before the newest ones, and tell their names. A file of another name stays: an
    operator chose that name. One that cannot be deleted is tried again the next time."""
    own = re.compile(rf"{re.escape(prefix)}-\d{{8}}-\d{{6}}\.tar\.gz")
    deleted = []
    with suppress(OSError), os.scandir(newest.parent) as entries:
        names = {one.name for one in entries if own.fullmatch(one.name) and one.is_file(follow_symlinks=False)}
        for name in sorted(names - {newest.name})[: 1 - KEPT]:
            with suppress(OSError):
                (newest.parent / name).unlink()
                deleted.append(name)
    return deleted


def _folder(directory: Path) -> Path:
    try:
        statedir.prepare(directory / FOLDER)
    except (OSError, StateError) as exc:
        raise Refused(f"cannot write {directory / FOLDER}: {exc}", hint="show tech-support FILE names a file") from None
    return directory / FOLDER
