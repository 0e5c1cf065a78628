"""What `| grep`, `| except`, `| count`, `| json`, `| save` and `| more` make of a command's output."""

from __future__ import annotations

import json
from collections.abc import Sequence

from avi_shell.errors import Refused
from avi_shell.output.result import Pipe, Result
from avi_shell.session import files
from grammar import commands, tree
from grammar.errors import IncompleteLine
from grammar.lexer import Word
from grammar.nodes import Node

_STAGE = Node("|", next=tree.PIPES)


def divide(words: Sequence[Word]) -> tuple[list[Word], tuple[Pipe, ...]]:
    """A line's words up to the first `|`, and the stages after it. Raises LineError for a stage that is none."""
    parts: list[list[Word]] = [[]]
    bars: list[Word] = []
    for word in words:
        if word.quoted or not word.text.startswith("|"):
            parts[-1].append(word)
            continue
        bars.append(word)
        parts.append([Word(word.text[1:], word.column + 1)] if len(word.text) > 1 else [])
    stages = []
    for bar, stage in zip(bars, parts[1:], strict=True):
        if not stage:
            expected = tuple(node.word for node in tree.PIPES)
            raise IncompleteLine("a command is missing after '|'", "", bar.column + 1, expected)
        command = commands.match(_STAGE, [bar, *stage])
        stages.append(Pipe(command.action, command.text("text") or command.text("path") or _form(command)))
    return parts[0], tuple(stages)


def _form(command: commands.Command) -> str:
    return next((word.text for word in command.arguments.values()), "")


def _escaped(line: str) -> str:
    """A line of JSON with what a terminal would not print as JSON's own escapes."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] if c > "\x7f" else f"\\u{ord(c):04x}" for c in line)


def apply(result: Result, lines: list[str], *, terminal: bool) -> None:
    """Run a result's stages over its output's lines, in place. Raises Refused for a file that cannot be written."""
    for pipe in result.pipes:
        if pipe.action in ("grep", "except"):
            lines = [line for line in lines if (pipe.argument in line) == (pipe.action == "grep")]
            result.data = lines
        elif pipe.action == "count":
            result.data = len(lines)
            lines = [str(len(lines))]
        elif pipe.action == "json":
            lines = [_escaped(line) for line in json.dumps(result.data, indent=2, ensure_ascii=False).split("\n")]
        elif pipe.action == "save":
            files.write(pipe.argument, "".join(f"{line}\n" for line in lines), mode=0o600)
            lines = []
        elif not terminal:
            raise Refused("'| more' needs a terminal: output goes to a file or a program here")
    result.parts = list(lines)
