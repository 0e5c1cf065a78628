"""The audit log: one JSON line for every command that a session ran, in `audit.jsonl` of the state directory."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

from avi_shell.configuration.document import SECRET
from avi_shell.output.result import Result
from dataplane import statedir


class Audit:
    """Appends to a log. path: the file, created with mode 0600. A command does not depend on it: where it cannot be
    opened or written, that is told once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._fault = ""  # why it cannot be written; told already once `_told` is set
        self._told = False
        try:
            self._file = statedir.open_file(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        except OSError as exc:
            self._fault = exc.strerror or str(exc)

    def record(self, result: Result, user: str, tenant: str) -> None:
        """Write down a command: when, by whom, where, whether it was taken. A line with a secret keeps it out."""
        entry = {
            "time": round(time.time(), 3),
            "user": user,
            "tenant": tenant,
            "mode": result.mode,
            "command": SECRET if result.secret else result.command.strip(),
            "ok": result.ok,
            "committed": result.committed,
        }
        # One write a line: sessions that append at the same time do not mix.
        line = json.dumps(entry).encode() + b"\n"
        try:
            if self._file is not None and os.write(self._file, line) != len(line):
                self._fault = os.strerror(errno.ENOSPC)
        except OSError as exc:
            self._fault = exc.strerror or str(exc)
        if self._fault and not self._told:
            self._told = True
            result.warnings.append(f"commands are not written down: {self._path}: {self._fault}")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
