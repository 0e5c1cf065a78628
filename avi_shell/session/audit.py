"""The audit log: one JSON line for every command that a session ran, in `audit.jsonl` of the state directory."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from avi_shell.errors import StoreError
from avi_shell.output.result import Result
from avi_shell.output.table import SECRET
from dataplane import statedir


class Audit:
    """Appends to a log. path: the file, created with mode 0600."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = statedir.open_file(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        except OSError as exc:
            raise StoreError(f"cannot open {path}: {exc.strerror}") from None

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
        os.write(self._file, json.dumps(entry).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
