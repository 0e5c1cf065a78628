"""Files that an operator names in a line: read and written whole, refused with the reason."""

from __future__ import annotations

import os
from pathlib import Path

from avi_shell.errors import Refused


def read(name: str) -> str:
    """A file's text. Raises Refused."""
    try:
        return Path(name).expanduser().read_text("utf-8")
    except (OSError, ValueError, RuntimeError) as exc:
        raise Refused(f"cannot read {name}: {_reason(exc)}") from None


def write(name: str, text: str, *, mode: int = 0o666) -> None:
    """Write a file's text. mode: permissions of a new file, less the umask. Raises Refused."""
    try:
        descriptor = os.open(Path(name).expanduser(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except (OSError, ValueError, RuntimeError) as exc:
        raise Refused(f"cannot write {name}: {_reason(exc)}") from None


def _reason(exc: Exception) -> str:
    if isinstance(exc, UnicodeDecodeError):
        return f"it is not UTF-8 at byte {exc.start}"
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
