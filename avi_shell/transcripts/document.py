"""A transcript as a file: its settings, its typed lines, and what the shell must print. Pure but for `read`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avi_shell.session.source import is_prompted
from dataplane.foreign import files
from grammar.lexer import nearest

NARROWEST, WIDEST = 20, 1000
"""Columns of a terminal."""
_SETTING = re.compile(r"#!\s*(\S+?)\s*:(.*)")
_PROMPT = re.compile(r"\[([^\[\]\s:]*):([^\[\]\s:]*)\]: ?>")
"""Of a session that begins: its tenant and the controller's name."""


class BadTranscript(Exception):
    """A transcript that cannot be read. file, line: where, from 1; 0 = the file as a whole."""

    def __init__(self, what: str, file: Path, line: int = 0) -> None:
        super().__init__(f"{file}:{line}: {what}" if line else f"{file}: {what}")
        self.what = what
        self.line = line


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript."""

    path: Path  # its file
    head: tuple[str, ...]  # the lines above the first prompt, as they stand
    body: tuple[str, ...]  # those from the first prompt on
    columns: tuple[int, ...] = ()  # of the terminals that show it; (): none does
    normalise: tuple[str, ...] = ()  # names of normalisers
    files: tuple[str, ...] = ()  # names of files that it reads
    after: tuple[str, ...] = ()  # names of session files that are run before

    def place(self, name: str) -> Path:
        """The file of a name in its settings."""
        return self.path.parent / name

    def beginning(self) -> tuple[str, str] | None:
        """The tenant and the controller of its first prompt; None where that has an open object."""
        first = _PROMPT.match(self.body[0])
        return (first[1], first[2]) if first else None


def read(path: Path) -> Transcript:
    """A transcript's file. Raises BadTranscript."""
    try:
        return parsed(path, files.read_text(path))
    except (OSError, ValueError) as exc:
        raise BadTranscript(f"cannot be read: {(isinstance(exc, OSError) and exc.strerror) or exc}", path) from None


def parsed(path: Path, text: str) -> Transcript:
    """A transcript of a text. path: where it stands. Raises BadTranscript."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    start = next((at for at, line in enumerate(lines) if is_prompted(line)), len(lines))
    if start == len(lines):
        raise BadTranscript("no line begins with a prompt, such as [admin:10-1-1-1]: >", path)
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines[:start], 1):
        if line.startswith("#!"):
            key, values = _setting(path, number, line)
            found[key] = (*found.get(key, ()), *values)
        elif line.strip() and not line.startswith("#"):
            raise BadTranscript("expected a setting (#! key: value), a comment (#) or a prompt", path, number)
    columns = tuple(int(value) for value in found.pop("columns", ()))
    return Transcript(path, tuple(lines[:start]), tuple(lines[start:]), columns, **found)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(",") if (word := part.strip()))


def _widths(text: str) -> tuple[str, ...]:
    for word in _words(text):
        if not (word.isdecimal() and NARROWEST <= int(word) <= WIDEST):
            raise ValueError(f"{word!r} is no number of columns; expected: <{NARROWEST}-{WIDEST}>")
    return _words(text)


_SETTINGS: Mapping[str, Callable[[str], Sequence[str]]] = {
    "columns": _widths,
    "normalise": _words,
    "files": _words,
    "after": _words,
}


def _setting(path: Path, number: int, line: str) -> tuple[str, Sequence[str]]:
    match = _SETTING.fullmatch(line)
    if match is None:
        raise BadTranscript("expected #! key: value", path, number)
    key = match[1]
    if key not in _SETTINGS:
        near = nearest(key, _SETTINGS)
        hint = f"did you mean {near[0]}?" if near else f"expected: {', '.join(_SETTINGS)}"
        raise BadTranscript(f"{key!r} is no setting; {hint}", path, number)
    try:
        values = _SETTINGS[key](match[2])
    except ValueError as exc:
        raise BadTranscript(str(exc), path, number) from None
    if not values:
        raise BadTranscript(f"{key} has no value", path, number)
    return key, values
