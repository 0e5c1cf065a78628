"""`watch`: how often a line is to be run again."""

from __future__ import annotations

from avi_shell.output.result import Repeat
from grammar.commands import Command
from grammar.errors import BadValue
from grammar.watching import AGAIN, LONGEST, MOST, SECONDS, TIMES

INTERVAL = 2
"""Seconds between two runs, where the line does not say."""


def repeat_of(command: Command) -> Repeat | None:
    """How often a command is to be run; None: once. Raises BadValue for a number that is out of its range."""
    if AGAIN not in command.arguments:
        return None
    return asked(command, INTERVAL)


def asked(command: Command, interval: int) -> Repeat:
    """How often a command's line says. interval: seconds between two runs, where it does not. Raises BadValue."""
    return Repeat(_number(command, SECONDS, LONGEST) or interval, _number(command, TIMES, MOST))


def _number(command: Command, argument: str, most: int) -> int | None:
    word = command.arguments.get(argument)
    if word is None:
        return None
    if not 1 <= int(word.text) <= most:
        raise BadValue(f"{word.text} is out of range", word.text, word.column, (f"<1-{most}>",))
    return int(word.text)
