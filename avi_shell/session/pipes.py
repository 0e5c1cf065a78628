"""What `| grep`, `| count`, `| save` and the others make of a command's output."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import dropwhile

from avi_shell.errors import Refused
from avi_shell.output import grep
from avi_shell.output.result import Pipe, Result, Table
from avi_shell.session import files
from grammar import commands, tree
from grammar.errors import IncompleteLine
from grammar.lexer import Word, pick, split
from grammar.nodes import Node

_STAGE = Node("|", next=tree.PIPES)
_SEARCHES = {"grep": "grep", "match": "grep", "include": "grep", "except": "except", "begin": "begin"}
"""Commands that take what grep takes → what they do."""
_LAST = 10
_BORDER = re.compile(r"\+[-+]+\+")


def stages(cut: Sequence[tuple[int, str]], offset: int) -> tuple[Pipe, ...]:
    """The stages of a line. cut: from `lexer.cut`; offset: the column at which that text begins. Raises LineError for
    an unknown stage."""
    return tuple(_stage(column + offset, text) for column, text in cut)


def _stage(column: int, text: str) -> Pipe:
    words = [Word(w.text, w.column + column, w.quoted) for w in split(text, apostrophes=True)]
    if not words:
        expected = tuple(node.word for node in tree.PIPES)
        raise IncompleteLine("a command is missing after '|'", "", column, expected)
    name = pick(words[0], [node.word for node in tree.PIPES], "possible after '|'")
    if name in _SEARCHES:
        end = words[-1].column + len(words[-1].text) + 1
        action = _SEARCHES[name]
        return Pipe(action, search=grep.search(words[1:], end, inverted=action == "except"))
    command = commands.match(_STAGE, [Word("|", column), *words])
    return Pipe(command.action, command.text("path") or _form(command))


def _form(command: commands.Command) -> str:
    return next((word.text for word in command.arguments.values()), "")


def _escaped(line: str) -> str:
    """A line of JSON with what a terminal would not print as JSON's own escapes."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] if c > "\x7f" else f"\\u{ord(c):04x}" for c in line)


def apply(result: Result, lines: list[str], *, terminal: bool) -> None:
    """Run a result's stages over its output's lines, in place. Raises Refused for a file that cannot be written."""
    plain, drawn = True, _drawn(lines)  # plain: nothing was left out yet
    for pipe in result.pipes:
        if pipe.search is not None:
            lines = _searched(pipe, pipe.search, lines)
            result.data, plain = lines, False
        elif pipe.action == "last":
            lines = lines[-int(pipe.argument or _LAST) :]
            result.data, plain = lines, False
        elif pipe.action == "count":
            result.data = _count(result, [line for line in lines if line not in drawn], plain=plain)
            lines, plain = [str(result.data)], False
        elif pipe.action == "json":
            lines = [_escaped(line) for line in json.dumps(result.data, indent=2, ensure_ascii=False).split("\n")]
        elif pipe.action == "save":
            files.write(pipe.argument, "".join(f"{line}\n" for line in lines), mode=0o600)
            lines = []
        elif pipe.action == "more" and not terminal:
            raise Refused("'| more' needs a terminal: output goes to a file or a program here")
    result.parts = list(lines)


def _searched(pipe: Pipe, search: grep.Search, lines: list[str]) -> list[str]:
    if pipe.action == "begin":
        return list(dropwhile(lambda line: not search.finds(line), lines))
    found = [line for line in lines if search.finds(line)]
    return [str(len(found))] if search.counted else found


def _count(result: Result, lines: list[str], *, plain: bool) -> int:
    """How many objects there are, else rows, else lines. plain: nothing was left out yet."""
    tables = [part for part in result.parts if isinstance(part, Table)]
    if plain and isinstance(result.data, list):
        return len(result.data)
    if plain and tables:
        return sum(len(part.rows) for part in tables)
    return len(lines)


def _drawn(lines: list[str]) -> set[str]:
    """Borders and headings of tables."""
    borders = [at for at, line in enumerate(lines) if _BORDER.fullmatch(line)]
    return {lines[at] for at in borders} | {lines[at + 1] for at in borders if at + 2 in borders}
