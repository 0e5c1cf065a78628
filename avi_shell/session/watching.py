"""`watch`, and views that are shown again and again: how often, and what is remembered from one look to the next."""

from __future__ import annotations

from avi_shell.output.result import Repeat, Result
from avi_shell.session.state import SessionState
from grammar.commands import Command
from grammar.errors import BadValue
from grammar.watching import AGAIN, LONGEST, MOST, SECONDS, TIMES

INTERVAL = 2
"""Seconds between two runs, where the line does not say."""


LIVE_INTERVAL = 1
"""The same of a live view."""


def live(session: SessionState, command: Command, result: Result) -> None:
    """`show virtualservice NAME live`."""
    from avi_shell.views.liveview import LiveView, parts

    repeat = asked(command, LIVE_INTERVAL)
    document = session.find(command.kind, command.arguments["name"])
    if session.live is None:
        session.live = LiveView(document)
    session.live.document = document
    engines = session.engines
    result.sight, result.data = session.live.look(engines)
    result.parts += parts(result.sight)
    result.silent, result.repeat = engines.silent, repeat


def repeat_of(command: Command) -> Repeat | None:
    """How often a command is to be run; None: once. Raises BadValue for a number out of range."""
    if AGAIN not in command.arguments:
        return None
    return asked(command, INTERVAL)


def asked(command: Command, interval: int) -> Repeat:
    """How often a line asks to be run. interval: seconds between two runs, unless the line says. Raises BadValue."""
    return Repeat(_number(command, SECONDS, LONGEST) or interval, _number(command, TIMES, MOST))


def _number(command: Command, argument: str, most: int) -> int | None:
    word = command.arguments.get(argument)
    if word is None:
        return None
    if not 1 <= int(word.text) <= most:
        raise BadValue(f"{word.text} is out of range", word.text, word.column, (f"<1-{most}>",))
    return int(word.text)
