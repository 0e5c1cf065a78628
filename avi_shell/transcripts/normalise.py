"""Named normalisers, which make lines that differ from run to run equal. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from avi_shell.output import render
from avi_shell.output.result import Part, Result, Table

Normaliser = Callable[[str], str]
"""A line → the line that it is compared by."""


def _zeros(pattern: str, digits: str) -> Normaliser:
    """A normaliser that puts zeros for the digits of what a pattern finds, so that tables keep their widths."""
    found, each = re.compile(pattern), re.compile(digits)
    return lambda line: found.sub(lambda match: each.sub("0", match.group()), line)


def replacing(pattern: str, text: str) -> Normaliser:
    """A normaliser that puts a text in the place of what a regular expression finds. Raises re.error."""
    found = re.compile(pattern)
    found.sub(text, "")  # a group that is not there is found now
    return lambda line: found.sub(text, line)


_ALWAYS: tuple[Normaliser, ...] = (
    _zeros(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[0-9a-f]"),
    replacing(r"--state (?:'[^']*'|\S+)", "--state DIR"),
)
"""What no two stores have in common: uuids, and the state directory in commands that are shown."""
BY_NAME: Mapping[str, Normaliser] = {
    "time": _zeros(r"(?:\d{4}-\d\d-\d\d[ T])?\b\d\d:\d\d:\d\d(?:\.\d+)?", r"\d"),
    "duration": replacing(r"\b\d+(?:\.\d+)? (?=(?:ms|s|min|h|d)\b)", "N "),
    "process": replacing(r"\b(process(?:es)?|pid|kill) \d+", r"\1 N"),
    "number": replacing(r"\d+", "N"),
}
"""Names of the setting `normalise` → what each does."""


def shown(result: Result, prompt: str, width: int | None) -> list[str]:
    """The lines that a terminal shows for a result, without what no two stores have in common: before tables are drawn,
    since a narrow one folds it."""
    return list(render.transcript(replace(result, parts=[_part(part) for part in result.parts]), prompt, width))


def _part(part: Part) -> Part:
    if isinstance(part, Table):
        return Table(part.columns, [[_everywhere(cell) for cell in row] for row in part.rows])
    return type(part)(_everywhere(part)) if isinstance(part, str) else part


def _everywhere(text: str) -> str:
    for step in _ALWAYS:
        text = step(text)
    return text


def normaliser(names: Iterable[str], others: Mapping[str, Normaliser]) -> Normaliser:
    """All that is to be done with a line. others: normalisers beside those of `BY_NAME`. Raises LookupError, a
    sentence, for a name that is none."""
    known = {**BY_NAME, **others}
    if wrong := [name for name in names if name not in known]:
        raise LookupError(f"{wrong[0]!r} is no normaliser; expected: {', '.join(known)}")
    steps = [known[name] for name in names]

    def normalised(line: str) -> str:
        line = _everywhere(line)
        for step in steps:
            line = step(line)
        return line.rstrip()

    return normalised


def named(line: str) -> tuple[str, Normaliser]:
    """A normaliser as pytest's own files have it, `NAME: REGEX -> TEXT`. Raises LookupError, a sentence."""
    name, colon, rest = line.partition(":")
    pattern, arrow, text = rest.partition("->")
    if not (name.strip() and colon and arrow):
        raise LookupError(f"{line!r} is no normaliser; expected: NAME: REGEX -> TEXT")
    try:
        return name.strip(), replacing(pattern.strip(), text.strip())
    except re.error as exc:
        raise LookupError(f"the normaliser {name.strip()} is no regular expression: {exc}") from None
