"""Finds what changed between two outputs of one command: cells of tables, and words of other lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

Span = tuple[int, int]
"""Of a line: where something begins, and where it ends."""

_CELL = re.compile(r"(?<=\| )[^|]*(?: \|\S[^|]*)*?(?= \|)")
_WORD = re.compile(r"\S+")
_Line = tuple[str, list[tuple[str, Span]]]
"""A line's key and its cells, each with its text and place."""


def changed(before: Sequence[str], after: Sequence[str]) -> list[list[Span]]:
    """The places of each line of `after` that differ from `before`. Lines are compared with the one that begins alike:
    rows of tables by their first cell, others by their first word, of several the first with the first. A line without
    a counterpart is new: all of it is marked. Widths of columns and blanks do not matter."""
    known: dict[str, list[str]] = {}
    for key, cells in _lines(before):
        known[key] = [text for text, _ in cells]
    return [_differing(known.get(key), cells) for key, cells in _lines(after)]


def _differing(before: Sequence[str] | None, cells: Sequence[tuple[str, Span]]) -> list[Span]:
    if before is None or len(before) != len(cells):
        return [place for text, place in cells if text and (before is None or text not in before)]
    return [place for (text, place), was in zip(cells, before, strict=True) if text and text != was]


def _lines(lines: Sequence[str]) -> Iterator[_Line]:
    seen: dict[str, int] = {}
    first = ""  # cell of the row to which the lines of its folded cells belong
    for line in lines:
        is_row = line.startswith("| ") and line.endswith(" |")
        cells = [_trimmed(found) for found in (_CELL if is_row else _WORD).finditer(line)]
        if line.startswith("+-"):
            cells = []
        if is_row and cells:
            first = cells[0][0] or first
        key = f"| {first}" if is_row else (cells[0][0] if cells else "")
        seen[key] = seen.get(key, 0) + 1
        yield f"{key} {seen[key]}", cells


def _trimmed(found: re.Match[str]) -> tuple[str, Span]:
    """A cell without the blanks around it."""
    text = found.group()
    start = found.start() + len(text) - len(text.lstrip())
    return text.strip(), (start, start + len(text.strip()))
