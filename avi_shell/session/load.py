"""`load`: a file of lines, or an export, as one commit. What it would change is shown first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from avi_shell.configuration import loading
from avi_shell.configuration.candidate import Candidate
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import ADMIN, ALL
from avi_shell.configuration.record import ObjectChange
from avi_shell.errors import InvalidFile, InvalidObject, Refused, ShellError
from avi_shell.output import changes
from avi_shell.output.result import Part, Prose, Result
from avi_shell.session import confirming, files, transaction
from avi_shell.session.rehearsal import Rehearsal
from avi_shell.session.source import of_text
from avi_shell.session.state import SessionState
from dataplane.foreign import jsontext
from grammar import schema
from grammar.commands import Command

_NOTHING = "The configuration has all of {} already; nothing was changed."


def load(session: SessionState, command: Command, result: Result) -> None:
    """`load merge FILE` adds the file to the configuration. `load replace FILE` makes the configuration what an empty
    shell makes of the file. All of it is one commit; otherwise nothing changes, and every fault is told."""
    how, path = command.text("how"), command.text("path")
    if session.loading:
        raise Refused("a file that is loaded loads no other")
    if how == "replace" and session.tenant not in (ADMIN, ALL):
        raise Refused("load replace is about the objects of every tenant", hint=f"switchto tenant {ADMIN}")
    by = confirming.author_of(session, command, result)
    if by.confirm:
        confirming.outside_session(session)
    stored, version = session.configuration, session.configuration.version()
    draft = stored.blank() if how == "replace" else Candidate(stored)
    made, noticed = _made(session, draft, path)
    result.data = {"file": path, "version": version, "changes": changes.data(made)}
    if not made:
        result.parts.append(_NOTHING.format(path))
        return
    told = [*noticed, *transaction.differences(made, "Now", "After load")]
    if not session.agreed(told, f"Load {path}?", result):
        result.parts.append("Nothing was changed.")
        return
    number, notices, forwarded = stored.change(made, "load", by, seen=version)
    result.parts += map(Prose, notices)
    if not number:
        result.parts.append(_NOTHING.format(path))
        return
    where = ", in the session alone" if stored.is_copy else f" as commit {number}"
    result.parts.append(f"Successfully loaded {path}: {transaction.counted(made)}{where}.")
    result.data["version"] = result.committed = number
    session.tell_engines(forwarded, result)


def _made(
    session: SessionState, draft: Candidate | Configuration, path: str
) -> tuple[list[ObjectChange], Sequence[Part]]:
    """What a file changes, and what is to be told of the file itself. Raises InvalidFile with every fault."""
    text = files.read(path)
    candidate = draft.configuration if isinstance(draft, Candidate) else draft
    stored = session.configuration
    rehearsed: Rehearsal | None = None
    noticed: Sequence[Part] = ()
    try:
        if text.lstrip().startswith("{"):
            noticed = _import(session, candidate, path, text)
        else:
            rehearsed = _run(session, candidate, path, text)
        found = draft.changes() if isinstance(draft, Candidate) else loading.changes_to(stored, draft)
    finally:
        candidate.close()
    faults: list[ShellError] = []
    if rehearsed is not None:
        found = list(loading.with_unsaid(found))
        faults = [*rehearsed.faults, *_hidden(found, rehearsed)]
    for fault in _refusals(stored, found):
        if rehearsed is None or fault.about not in rehearsed.doubtful:
            fault.path = rehearsed.place(fault) if rehearsed is not None else f"{path}: {fault.path}"
            faults.append(fault)
    if faults:
        raise InvalidFile(faults, "loaded")
    return found, noticed


def _run(session: SessionState, candidate: Configuration, path: str, text: str) -> Rehearsal:
    inner = session.another(candidate)
    inner.tenant = ADMIN if session.tenant == ALL else session.tenant
    inner.cloud, inner.loading, inner.progress = session.cloud, True, session.progress
    rehearsed = Rehearsal(inner)
    rehearsed.run([of_text(path, text)])
    return rehearsed


def _import(session: SessionState, candidate: Configuration, path: str, text: str) -> Sequence[Part]:
    """Put an export into the candidate. Returns what is to be told of the file. Raises Refused, InvalidFile."""
    from avi_shell.configuration.importing import import_
    from avi_shell.output import imported

    try:
        data = jsontext.loads(text)
    except ValueError as exc:
        raise Refused(f"cannot read {path}: {exc}") from None
    try:
        return imported.of_file(import_(candidate, data, tenant=session.owner, progress=session.progress))
    except InvalidObject as exc:
        faults = exc.faults if isinstance(exc, InvalidFile) else [exc]
        for fault in faults:
            fault.path = f"{path}: {fault.path}"
        raise InvalidFile(faults, "loaded") from None


def _refusals(stored: Configuration, found: list[ObjectChange]) -> Iterable[ShellError]:
    """What a commit of changes would refuse."""
    try:
        if found:
            stored.change(found, "load", dry_run=True)
    except InvalidFile as exc:
        return exc.faults
    except (InvalidObject, Refused) as exc:
        return [exc]
    return []


def _hidden(found: Iterable[ObjectChange], rehearsed: Rehearsal) -> Iterable[ShellError]:
    for change in found:
        if change.row and change.after is not None and loading.hides_secret(change.after):
            title = f"{schema.SEGMENTS[change.kind]} {change.name}"
            fault = Refused(f"{title}: <sensitive> stands for a secret, and none is stored", hint="the secret itself")
            fault.about = change.kind, change.name
            fault.path = rehearsed.place(fault)
            yield fault
