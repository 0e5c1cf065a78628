"""Files that an operator names in a line. They are read and written whole; a refusal says why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from avi_shell.errors import Refused
from dataplane.foreign import files, jsontext
from grammar.actions import Action, FromFile, Set
from grammar.errors import BadValue, IncompleteLine

LARGEST_VALUE = 1 << 20
"""Bytes of a field's value that a file holds; characters of one that is typed on several lines."""


def read(name: str, *, largest: int = files.LARGEST) -> str:
    """A file's text. largest: bytes. Raises Refused."""
    try:
        return files.read_text(Path(name).expanduser(), largest=largest)
    except (OSError, ValueError, RuntimeError) as exc:
        raise Refused(f"cannot read {name}: {_reason(exc)}") from None


def read_bytes(name: str) -> bytes:
    """A file's bytes. Raises Refused."""
    try:
        return Path(name).read_bytes()
    except OSError as exc:
        raise Refused(f"cannot read {name}: {_reason(exc)}") from None


def read_json(name: str) -> Any:
    """A file's JSON value. Raises Refused."""
    text = read(name)
    try:
        return jsontext.loads(text)
    except ValueError as exc:
        raise Refused(f"cannot read {name}: {exc}") from None


def write(name: str, text: str, *, mode: int = 0o666) -> None:
    """Write a file's text, whole or not at all. mode: permissions of a new file, less the umask. Raises Refused."""
    write_bytes(name, text.encode(), mode=mode)


def write_bytes(name: str, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file's bytes, as `write` does text. Raises Refused."""
    try:
        files.write(Path(name).expanduser(), data, mode=mode)
    except (OSError, ValueError, RuntimeError) as exc:
        raise Refused(f"cannot write {name}: {_reason(exc)}") from None


def beginning(path: str, most: int) -> tuple[list[str], bool]:
    """Paths of files that begin with a text, folders with a slash behind them: the first `most` and the last, and
    whether there are others. Hidden files where the name begun is hidden, none of a folder that cannot be read."""
    folder, slash, start = path.rpartition("/")
    try:
        with os.scandir(Path(folder + slash or ".").expanduser()) as entries:
            found = [
                f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
                for entry in entries
                if entry.name.startswith(start)
                and (start.startswith(".") or not entry.name.startswith("."))
                and entry.name.isprintable()
            ]
    except (OSError, ValueError, RuntimeError):
        return [], False
    found.sort()
    return [*found[:most], *found[most:][-1:]], len(found) > most + 1


def _reason(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


def in_place(action: Action) -> Action:
    """`field file:PATH`: the value that the file holds. One line end at its end is left out."""
    if not isinstance(action, FromFile):
        return action
    word = action.word
    if not action.value:
        raise IncompleteLine("a file's name is missing after 'file:'", "", word.column + 5, ("file:<path>",))
    try:
        text = read(action.value, largest=LARGEST_VALUE)
    except Refused as exc:
        raise BadValue(exc.what, word.text, word.column, (), (), action.field.name) from None
    return Set(action.field, word, text.removesuffix("\n"))
