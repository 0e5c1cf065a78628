"""`rename`: an object under another name."""

from __future__ import annotations

from dataclasses import replace

from avi_shell.configuration.record import Author
from avi_shell.output.result import Result
from avi_shell.session.comment import comment_of
from avi_shell.session.state import SessionState
from grammar.commands import Command


def rename(session: SessionState, command: Command, result: Result) -> None:
    """Give an object another name."""
    name, new_name = command.text("name"), command.text("new_name")
    session.find(command.kind, command.arguments["name"])
    by = _author(session, command, result)
    saved = session.configuration.rename(command.kind, name, new_name, session.tenant, by, cloud=session.cloud)
    result.parts.append(f"Successfully renamed {name} to {new_name}.")
    result.parts += saved.notices
    result.data, result.committed = saved.document, saved.version
    session.tell_engines(False, result)


def _author(session: SessionState, command: Command, result: Result) -> Author:
    return replace(session.by(result.command.strip()), comment=comment_of(command))
