"""Undo: `rollback` makes an earlier configuration the configuration again."""

from __future__ import annotations

from avi_shell.configuration.document import ADMIN, ALL
from avi_shell.errors import Refused
from avi_shell.output.result import Part, Prose, Result, Table
from avi_shell.session import confirming
from avi_shell.session.state import SessionState
from grammar.commands import Command


def rollback(session: SessionState, command: Command, result: Result) -> None:
    """`rollback N`: says what changes, asks where a person sits, and commits."""
    from avi_shell.configuration import undo
    from avi_shell.output import changes

    number = int(command.text("number"))
    if session.tenant not in (ADMIN, ALL):
        raise Refused("a rollback is about the objects of every tenant", hint=f"switchto tenant {ADMIN}")
    by = confirming.author_of(session, command, result)
    going = undo.preview(session.configuration, number)
    result.data = {"version": going.version, "changes": changes.data(going.changes)}
    if not going.changes:
        result.parts.append(f"The configuration is what it was after commit {number}; nothing was changed.")
        return
    told: list[Part] = [Table((*changes.COLUMNS, "Now", f"After commit {number}"), changes.rows(going.changes))]
    if command.text("preview"):
        result.parts += told
        return
    if command.text("force"):
        result.parts += told
    else:
        if session.ask is not None:  # what cannot be, and what connections it ends, is told before the question
            undo.back(session.configuration, number, by, seen=going.version, dry_run=True)
        question = f"Make this the configuration? Commits after {number} stay in the history"
        if not session.agreed(told, question, result):
            result.parts.append("Nothing was changed.")
            return
    gone = undo.back(session.configuration, number, by, seen=going.version)
    result.parts += gone.notices
    result.parts.append(
        f"Successfully went back to the configuration after commit {number}; it is commit {gone.version}."
    )
    if gone.settled:
        result.parts.append(Prose(confirming.settled(gone.settled)))
    result.data["version"] = gone.version
    result.committed = gone.version
    session.tell_engines(gone.forwarded, result)
