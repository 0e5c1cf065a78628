"""`configure session`: gathers changes, which are committed together or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from avi_shell.configuration.document import ALL, Document
from avi_shell.configuration.record import ObjectChange
from avi_shell.errors import Conflict, InvalidFile, NotFound, Refused, ShellError
from avi_shell.output import changes
from avi_shell.output.result import Part, Prose, Result, Table
from avi_shell.session import confirming, together
from avi_shell.session.state import SessionState, meanwhile
from dataplane import wording
from grammar import schema
from grammar.commands import Command
from grammar.lexer import quote

if TYPE_CHECKING:
    from avi_shell.configuration.candidate import Candidate

NOT_INSIDE = frozenset({"rollback"})
"""Actions that make a commit of another configuration: not in a session, whose changes are none yet."""


def open_(session: SessionState, command: Command, result: Result) -> None:
    """`configure session`."""
    from avi_shell.configuration.candidate import Candidate  # late: few shells open one

    if session.candidate is not None:
        raise Refused("a configuration session is open already", hint="commit session or discard session ends it")
    session.candidate = Candidate(session.configuration)
    session.configuration = session.candidate.configuration
    result.parts.append(Prose("What is saved and deleted now is gathered: commit session stores it, all or nothing."))


def commit(session: SessionState, command: Command, result: Result) -> None:
    """`commit session`. The session stays open where it is refused."""
    candidate = _candidate(session)
    together.may_commit(candidate)
    made = candidate.changes()
    by = confirming.author_of(session, command, result)
    try:
        done = candidate.commit("session", by, changes=made)
    except ShellError as exc:
        raise told(exc) from None
    _close(session)
    result.parts += map(Prose, done.notices)
    if not done.changed:
        result.parts.append("Nothing was changed: there is no commit.")
        result.data = {"version": done.version, "changes": []}
        return
    result.parts.append(f"Successfully committed {counted(made)} as commit {done.version}.")
    result.data = {"version": done.version, "changes": changes.data(made)}
    result.committed = done.version
    session.tell_engines(done.needs_engine, result)


def discard(session: SessionState, command: Command, result: Result) -> None:
    """`discard session`; of one object, `discard session KIND NAME`."""
    if command.kind:
        _discard_one(session, command.kind, command.text("name"), result)
        return
    made = _candidate(session).changes()
    _close(session)
    result.parts.append(f"Discarded {counted(made)}.")
    result.data = {"changes": changes.data(made)}


def _discard_one(session: SessionState, segment: str, name: str, result: Result) -> None:
    candidate = _candidate(session)
    found = [
        change
        for change in candidate.changes()
        if (change.kind, change.name) == (segment, name)
        and session.tenant in (ALL, change.tenant)
        and session.cloud in (ALL, change.cloud or session.cloud)
    ]
    if not found:
        raise NotFound(f"{segment} {name} is not changed in this session", hint="show session tells what is")
    if len(found) > 1:
        places = ", ".join(changes.title(change) for change in found)
        raise Refused(f"several are meant: {places}", hint="switchto tenant NAME, switchto cloud NAME")
    result.parts += map(Prose, candidate.drop(found[0]))
    result.parts.append(f"{changes.title(found[0])} is again what is stored.")
    result.data = {"changes": changes.data(found)}


def check(session: SessionState, command: Command, result: Result) -> None:
    """`check session`: what `commit session` would say."""
    candidate = _candidate(session)
    made = candidate.changes()
    try:
        done = candidate.commit("session", changes=made, dry_run=True)
    except ShellError as exc:
        raise told(exc) from None
    result.parts += map(Prose, done.notices)
    result.parts.append(f"{counted(made)} can be committed." if done.changed else "Nothing is changed.")
    result.data = {"changes": changes.data(made)}


def show(session: SessionState, command: Command, result: Result) -> None:
    """`show session`: what `commit session` would change."""
    made = _candidate(session).changes()
    result.parts += differences(made, "Stored", "In the session", whole=True)
    result.data = changes.data(made, whole=True)


def differences(made: Sequence[ObjectChange], before: str, after: str, *, whole: bool = False) -> list[Part]:
    """The table of what changes would do. before, after: headings of the values; whole: also the fields of objects that
    come or go."""
    if not made:
        return ["Nothing is changed."]
    return [Table((*changes.COLUMNS, before, after), changes.rows(made, whole=whole))]


def mark(session: SessionState, documents: Iterable[Document], result: Result) -> None:
    """Say which of the shown objects are not committed."""
    if session.candidate is None:
        return
    known = {change.uuid: change for change in session.candidate.changes() if change.after is not None}
    found = [known[one["uuid"]] for one in documents if one.get("uuid") in known]
    if found:
        names = [f"{one.name} ({'new' if one.before is None else 'changed'})" for one in found]
        result.parts.append(Prose(f"Not committed, in this session alone: {', '.join(names)}"))


def unfinished(session: SessionState) -> str:
    """What would be lost if the shell were left now; "": nothing."""
    made = session.candidate.changes() if session.candidate is not None else []
    return f"a configuration session is open: {counted(made)} not committed" if made else ""


def may_leave(session: SessionState, result: Result) -> bool:
    """Whether `exit` leaves the shell. A person is told first what would be lost."""
    lost = unfinished(session)
    if not lost or session.leaving or not session.terminal:
        return True
    session.leaving = True
    result.parts.append(Prose(f"{lost}: commit session or discard session. exit again drops them."))
    return False


def told(exc: ShellError) -> ShellError:
    """A refusal, with what others changed meanwhile."""
    if isinstance(exc, InvalidFile):
        return InvalidFile([told(fault) for fault in exc.faults], "committed")
    if not isinstance(exc, Conflict) or not exc.kind:
        return exc
    what, hint = exc.what, "discard session, and do it again"
    if exc.kind in schema.SEGMENTS:
        hint = f"discard session {exc.kind} {quote(exc.about[1])} takes it as it is now"
    if exc.before is not None and exc.stored is not None:
        what += f": {meanwhile(schema.kind(exc.kind), exc.before, exc.stored)}"
    made = Conflict(what, exc.stored, kind=exc.kind, before=exc.before, hint=hint)
    made.path, made.about = exc.path, exc.about
    return made


def _candidate(session: SessionState) -> Candidate:
    if session.candidate is None:
        raise Refused("no configuration session is open", hint="configure session opens one")
    return session.candidate


def _close(session: SessionState) -> None:
    candidate = _candidate(session)
    session.candidate, session.configuration = None, candidate.stored
    candidate.close()


def counted(made: Sequence[ObjectChange]) -> str:
    """How many objects are changed, in words."""
    return wording.counted(len(made), "changed object")
