"""`show KIND NAME WORD`: commands that show what engines report, and what follows from it."""

from __future__ import annotations

from avi_shell.output.result import Result
from avi_shell.session.state import SessionState
from grammar.commands import Command


def evenness(session: SessionState, command: Command, result: Result) -> None:
    """`show pool NAME algo`."""
    from avi_shell.views.evenness import algo

    engines = session.engines
    result.parts, result.data = algo(engines, session.find(command.kind, command.arguments["name"]))
    result.silent = engines.silent


def drops(session: SessionState, command: Command, result: Result) -> None:
    """`show virtualservice NAME drops`, `show serviceengine NAME drops`."""
    from avi_shell.views import drops

    engines, name = session.engines, command.arguments["name"]
    if command.kind == "serviceengine":
        result.parts, result.data = drops.of_engine(engines, name.text)
    else:
        result.parts, result.data = drops.of_service(engines, session.find(command.kind, name))
    result.silent = engines.silent
