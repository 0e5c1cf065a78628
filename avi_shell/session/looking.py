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


def table(session: SessionState, command: Command, result: Result) -> None:
    """`show serviceengine NAME interface|route|…`."""
    from avi_shell.views.enginetables import table

    engines = session.engines
    result.parts, result.data = table(engines, command.arguments["name"].text, command.text("view"))
    result.silent = engines.silent


def clear(session: SessionState, command: Command, result: Result) -> None:
    """`clear KIND NAME`: its counters are shown from zero on, to this user."""
    from avi_shell.views.cleared import Cleared
    from avi_shell.views.gathering import Engines

    name = command.arguments["name"].text
    of = name
    if command.kind != "serviceengine":
        of = str(session.find(command.kind, command.arguments["name"]).get("uuid"))
    user = session.author.os_user or session.author.user
    reports = Engines(session.stored, session.directory).reports("none" if of == name else of)
    engines = Cleared(session.directory, user).clear(reports, command.kind, of)
    result.silent = reports.silent
    result.data = {"cleared": name, "service_engines": engines}
    result.parts += reports.told()
    if engines:
        result.parts.append(f"Counters of {name} are shown from zero on, to {user}.")
    else:
        result.parts.append("No service engine counts anything of it.")


def internal(session: SessionState, command: Command, result: Result) -> None:
    """`show networkprofile NAME internal`."""
    from avi_shell.views.profile import internal

    engines = session.engines
    profile = session.find(command.kind, command.arguments["name"])
    result.parts, result.data = internal(session.configuration, engines, profile)
    result.silent = engines.silent


def controller(session: SessionState, command: Command, result: Result) -> None:
    """`show version controller`."""
    from avi_shell.views.controller import controller

    engines = session.engines
    result.parts, result.data = controller(session.stored, engines)
    result.silent = engines.silent
