"""Results as text or JSON: the one place where an error's facts become a sentence."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from avi_shell.configuration.document import SECRET
from avi_shell.errors import InvalidFile, ShellError
from avi_shell.output.result import Page, Part, Prose, Result, Table, Words
from dataplane import drawing
from dataplane.foreign.text import visible
from grammar.errors import LanguageError, LineError, Usage

_SHOWN = 12
"""How many expected words a message lists."""
_FEW = 8
"""So many are listed beside the nearest ones, too: of more, these say enough."""
_FAULTS = 200
"""How many faults of a file are listed; --json has all."""


def text_lines(parts: Iterable[Part], width: int | None = None, page_width: int | None = None) -> list[str]:
    """The lines that a result's parts print. width: columns that they have; page_width: that pages of the manual have,
    where nothing else is to be folded. None: as many as there are."""
    lines: list[str] = []
    for part in parts:
        if isinstance(part, Words):
            from grammar.completion import listing  # late: only help needs it

            lines += listing(part.rows, width)
        elif isinstance(part, Page) and (columns := page_width or width):
            from avi_shell.output.markdown import formatted  # late: only pages of the manual need rich

            lines += formatted(part, columns, colour=False).split("\n")
        elif isinstance(part, Prose) and width and len(part) > width:
            lines += _wrapped(part, width)
        else:
            lines += (drawing.draw(part.columns, part.rows, width) if isinstance(part, Table) else part).split("\n")
    return [line if line.isprintable() else visible(line) for line in lines]


def _wrapped(text: str, width: int) -> list[str]:
    margin = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(text, width, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)


def message(error: LanguageError | ShellError) -> str:
    """An error as one sentence: what is wrong, what was meant or expected."""
    text = str(error)
    if isinstance(error, LineError):
        text += _hints(error)
    elif isinstance(error, ShellError) and error.hint:
        text += f"; {error.hint}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


REFUSALS = ("error: ", "Usage: '")
"""What a line that a terminal prints of an error begins with."""


def refusal(error: LanguageError | ShellError) -> str:
    """What a terminal prints of an error."""
    return message(error) if isinstance(error, Usage) else f"error: {message(error)}"


def faults(error: LanguageError | ShellError) -> list[str]:
    """The lines under an error that is about several objects of a file: one for each, as far as a few screens go."""
    if not isinstance(error, InvalidFile):
        return []
    told = [f"  {fault.path}: {message(fault)}" for fault in error.faults[:_FAULTS]]
    more = len(error.faults) - len(told)
    return [*told, f"  and {more:,} more"] if more else told


def _hints(error: LineError) -> str:
    near = f"; did you mean {' or '.join(error.nearest)}?" if error.nearest else ""
    names = not any(one.startswith("<") for one in error.expected)
    if not error.expected or (near and not (names and len(error.expected) <= _FEW)):
        return near
    shown = ", ".join(error.expected[:_SHOWN])
    return f"; expected: {shown}" + (", …" if len(error.expected) > _SHOWN else "") + near


def refused(error: LanguageError | ShellError) -> list[Part]:
    """What a terminal prints of an error, its faults too."""
    return [Prose(told) for told in (refusal(error), *faults(error))]


def column(error: LanguageError | ShellError) -> int | None:
    """Where in the line a caret points, from 0; None where an error is about no word."""
    return error.column if isinstance(error, LineError) and not isinstance(error, Usage) else None


def caret(error: LanguageError | ShellError, indent: int = 0, width: int | None = None) -> str | None:
    """The line under the refused one that points at the word. indent: columns that stand before the line; width: of
    the terminal, which continues a longer line on its next one."""
    at = column(error)
    if at is None:
        return None
    at = max(0, at + indent)
    return " " * (at % width if width else at) + "^"


def transcript(result: Result, prompt: str, width: int | None = None) -> Iterator[str]:
    """The lines that a terminal shows for a result: prompt and line, then its output or its error."""
    yield visible(prompt + result.command)
    yield from text_lines([*foretold(result), *result.asked, *result.parts], width)
    if result.error is not None:
        pointer = caret(result.error, len(prompt) - result.offset, width)
        if pointer is not None:
            yield pointer
        yield from text_lines(refused(result.error), width)


def foretold(result: Result) -> list[Part]:
    """What a commit was going to do, for people."""
    return [Prose(f"Impact: {result.foretold}")] if result.foretold else []


def as_json(result: Result, file: str = "", number: int = 0) -> str:
    """The result as one line of JSON. file, number: where the line came from, for its error."""
    error: dict[str, Any] | None = None
    if result.error is not None:
        at = column(result.error)
        error = {
            "type": type(result.error).__name__,
            "message": message(result.error),
            "file": file,
            "line": number,
            "column": None if at is None else at + 1,
            "path": result.path,
        }
    if error is not None and isinstance(result.error, InvalidFile):
        error["faults"] = [{"path": fault.path, "message": message(fault)} for fault in result.error.faults]
    facts: dict[str, Any] = {
        "command": SECRET if result.secret else result.command.strip(),
        "ok": result.ok,
        "mode": result.mode,
        "data": result.data,
        "error": error,
    }
    if result.impact is not None:
        facts["impact"] = result.impact
    if result.live is not None:
        facts["live"] = result.live
    if result.silent:
        facts["silent"] = result.silent
    if result.notices and (result.data is None or result.committed is not None):
        facts["notices"] = result.notices
    return json.dumps(facts)  # ASCII: bytes that were no UTF-8 are told, not fatal
