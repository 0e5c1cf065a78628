"""`show configuration history`, `show configuration diff`, `show <kind> <name> history`: what commits did, and when;
`show events`: what happened to engines."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from avi_shell.configuration.document import ADMIN, ALL, DEFAULT_CLOUD
from avi_shell.errors import NotFound
from avi_shell.output.result import Part, Prose, Result, Table
from avi_shell.session import confirming
from avi_shell.session.state import SessionState
from dataplane.plan import unconfirmed
from dataplane.wording import counted
from grammar import schema
from grammar.commands import Command
from grammar.errors import BadValue

if TYPE_CHECKING:
    from avi_shell.configuration.history import History
    from avi_shell.configuration.record import ObjectChange

NEWEST = 20
"""How many commits are shown where the line does not say."""
_OTHERS = "What other tenants have is not told here: switchto tenant admin shows it."


def commits(session: SessionState, command: Command, result: Result) -> None:
    """`show configuration history`: the newest commits, and how far back configurations are known."""
    from avi_shell.output import history

    count = _count(command)
    with session.stored.snapshot() as store:
        log, tenants = store.log, session.tenants
        found = [(commit, log.touched(commit.number, tenants)) for commit in log.last(count, tenants)[::-1]]
        size, others, (most, days) = log.size(tenants), log.size() > log.size(tenants), log.bounds()
        reach = {"first": log.first_reached(), "last": log.version()}
        waits = unconfirmed.read(store.connection)
    result.data = {
        "commits": [
            history.data(commit) | {"objects": [one._asdict() for one in touched]} for commit, touched in found
        ],
        "known": reach,
        "unconfirmed": None if waits is None else asdict(waits),
        "bounds": {"commits": most, "days": days},
    }
    if not found:
        result.parts.append(
            "There is no commit yet." if not others else f"No commit is about what tenant {session.tenant} sees."
        )
        return
    result.parts.append(Table(history.COLUMNS, [history.row(commit, touched) for commit, touched in found]))
    confirming.tell(session, result)
    if others:
        result.parts.append(Prose(_OTHERS))
    if len(found) < size:
        result.parts.append(Prose(f"These are {len(found)} of {size:,} commits: show configuration history {size}"))
    known = f"The configuration is known as it was after commits {reach['first']} to {reach['last']}"
    result.parts.append(Prose(f"{known}; at most {counted(most, 'commit')} of {counted(days, 'day')} are remembered."))


def difference(session: SessionState, command: Command, result: Result) -> None:
    """`show configuration diff N [M]`: the differences between the configurations after two commits, or of now."""
    from avi_shell.output import changes

    one, other = int(command.text("number")), command.text("other")
    with session.stored.snapshot() as store:
        found = store.log.between(one, int(other) if other else store.log.version())
    tenants, every = session.tenants, [change for change in found if change.differs]
    differing = [change for change in every if tenants is None or change.tenant in tenants]
    result.data = changes.data(differing, whole=True)
    if differing:
        columns = *changes.COLUMNS, f"After commit {one}", f"After commit {other}" if other else "Now"
        result.parts.append(Table(columns, changes.rows(differing, whole=True)))
    else:
        then = f"after commit {other}" if other else "now"
        seen = f", as far as tenant {session.tenant} sees it," if every else ""
        result.parts.append(f"The configuration after commit {one}{seen} is the one {then}.")
    if differing and len(differing) < len(every):
        result.parts.append(Prose(_OTHERS))


def of_object(session: SessionState, command: Command, result: Result) -> None:
    """`show <kind> <name> history`: the commits that changed the object that has, or had, the name."""
    from avi_shell.output import changes, history

    kind, name, count = command.kind, command.text("name"), _count(command)
    with session.stored.snapshot() as store:
        oldest_first, objects = _changes(session, store.log, kind, name, count)
        found = oldest_first[::-1]
        made = {number: store.log.commit(number) for number, _ in found}
        since = store.log.first_reached()
    if not found:
        _find(session, kind, name)
        result.data = []
        known = f"No commit that is known changed {schema.SEGMENTS[kind]} {name}"
        result.parts.append(f"{known}; changes are known since commit {since}.")
        return
    result.data = [
        history.data(made[number]) | {"objects": changes.data([change], whole=True)} for number, change in found
    ]
    for number, change in found:
        result.parts += _told(history.title(made[number]), change, objects > 1)


def events(session: SessionState, command: Command, result: Result) -> None:
    """`show events`: what happened on all engines, or to an object."""
    from avi_shell.views import events

    name, engines = command.arguments.get("name"), session.engines
    document = None if name is None or command.kind == "serviceengine" else session.find(command.kind, name)
    wanted = events.wanted(session.configuration, command, document)
    result.parts, result.data = events.events(engines, wanted, session.tenants)
    result.silent = engines.silent


def _told(title: str, change: ObjectChange, several: bool) -> list[Part]:
    """A commit's part of an object's history. several: other objects had the name, so the uuid is told."""
    from avi_shell.output import changes

    done = "created" if change.before is None else "deleted" if change.after is None else "changed"
    which = f"{changes.title(change)} ({change.uuid})" if several else changes.title(change)
    rows = [row[1:] for row in changes.rows([change], whole=True) if row[1]]
    table: list[Part] = [Table(("Field", "Before", "After"), rows)] if rows else []
    return [Prose(title), Prose(f"  {done} {which}"), *table]


def _changes(
    session: SessionState, log: History, kind: str, name: str, count: int
) -> tuple[list[tuple[int, ObjectChange]], int]:
    """The newest changes of what has, or had, the name in this tenant or admin's, and in this cloud or the default one,
    oldest first; and of how many objects all of them are."""
    tenants = None if session.tenant == ALL else (session.tenant, ADMIN)
    clouds = None if session.cloud == ALL else ("", session.cloud, DEFAULT_CLOUD)
    return log.of_object(kind, name, tenants, clouds, count)


def _find(session: SessionState, kind: str, name: str) -> None:
    """See that there is such an object. Raises NotFound where none has the name, and none had."""
    try:
        session.find(kind, name)
    except NotFound as exc:
        raise NotFound(f"{exc.what}, nor was there one", hint=exc.hint) from None


def numbers(session: SessionState) -> dict[str, str]:
    """The newest commits for completion: number → when, by whom, what for."""
    from avi_shell.output import history

    with session.stored.snapshot() as store:
        log, tenants, most = store.log, session.tenants, history.NAMED + 1
        newest = [(commit, log.touched(commit.number, tenants, most)) for commit in log.last(NEWEST, tenants)[::-1]]
    return {str(c.number): f"{history.when(c)} {history.who(c)}: {history.brief(c, t)}" for c, t in newest}


def _count(command: Command) -> int:
    word = command.arguments.get("count")
    if word is None:
        return NEWEST
    if not int(word.text):
        raise BadValue("0 commits cannot be shown", word.text, word.column, ("<1-999999>",))
    return int(word.text)
