"""Commits that wait to be confirmed: `save confirm`. Whoever finds their time over undoes them, once.

They are undone alone where that is possible: what others committed meanwhile stays as long as it is about other objects
and is right without them. Where it is not, the configuration before the first of them comes back as a whole: the
operator who cannot reach his network any more is served first, and what others did stays in the history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from avi_shell.configuration import document, undo
from avi_shell.configuration.configuration import NOBODY, Configuration
from avi_shell.configuration.record import Author, Commit, ObjectChange
from avi_shell.configuration.store import Store
from avi_shell.errors import InvalidFile, NotFound, Refused
from dataplane.plan import unconfirmed
from dataplane.plan.unconfirmed import Unconfirmed, Watch
from grammar import schema

_BACK = "not confirmed: back to"
"""How the comment of a commit that undoes begins."""
_RECENT = 20
"""How many of the last commits are searched for the one that undid what somebody wants to confirm."""


@dataclass(frozen=True, slots=True)
class Undone:
    """The outcome for commits that nobody confirmed in time."""

    commits: tuple[int, ...]  # the commits that were not confirmed
    before: int  # the commit before the first of them
    version: int  # of the commit that undid them; of the last one if nothing was left to undo
    kept: tuple[int, ...] = ()  # commits since then that stay
    lost: tuple[int, ...] = ()  # commits of others that were undone with them
    fault: str = ""  # why they could not be undone


def waiting(configuration: Configuration) -> Unconfirmed | None:
    """What waits to be confirmed."""
    with configuration.snapshot() as store:
        return unconfirmed.read(store.connection)


def overdue(configuration: Configuration) -> float | None:
    """The deadline of the commits that wait, if it is over; else None."""
    found = waiting(configuration)
    return found.deadline if found is not None and Watch().over(found) else None


def confirm(configuration: Configuration, by: Author = NOBODY) -> tuple[Unconfirmed, int]:
    """Confirm the commits that wait. Returns them, and the commit that tells other hosts, 0 if there is none. Raises
    Refused if nothing waits."""

    def once() -> tuple[Unconfirmed, int]:
        with configuration.settling("confirm", by) as made:
            found = _waiting(made.store)
            unconfirmed.clear(made.store.connection)
        return found, made.version

    return configuration.again(once)


def extend(configuration: Configuration, seconds: float, by: Author = NOBODY) -> int:
    """Give the commits that wait so many seconds from now on. Returns the commit that tells other hosts, 0 if there is
    none. Raises Refused if nothing waits."""

    def once() -> int:
        with configuration.settling("confirm later", by) as made:
            _waiting(made.store)
            unconfirmed.add(made.store.connection, (), seconds)
        return made.version

    return configuration.again(once)


def _waiting(store: Store) -> Unconfirmed:
    found = unconfirmed.read(store.connection)
    if found is None:
        raise Refused("nothing waits to be confirmed", hint=_undone_last(store))
    return found


def undo_over(configuration: Configuration, deadline: float, by: Author = NOBODY) -> Undone | None:
    """Undo the commits that wait with exactly this deadline, in one commit. None: they do not wait any more.

    If they cannot be undone, they stay and the reason is kept; nobody tries again. Raises StoreError.
    """
    alone = True
    while True:
        try:
            with configuration.snapshot() as store:
                choice = _choose(store, deadline, alone)
            if choice is None:
                return None
            done = configuration.again(partial(_go, configuration, choice, by))
        except (Refused, NotFound, InvalidFile) as exc:
            if alone and not isinstance(exc, NotFound):
                alone = False
                continue
            faults = exc.faults if isinstance(exc, InvalidFile) else (exc,)
            fault = "; ".join(fault.what for fault in faults)
            return configuration.again(partial(_fail, configuration, deadline, fault, by))
        if done is not None:
            return done  # else somebody committed meanwhile


@dataclass(frozen=True, slots=True)
class _Choice:
    """How to undo the commits."""

    waits: Unconfirmed
    version: int  # of the last commit when it was chosen
    changes: tuple[ObjectChange, ...]  # to be undone
    kept: tuple[int, ...]  # commits of others that stay
    lost: tuple[int, ...]  # commits of others that are undone, too


def _choose(store: Store, deadline: float, alone: bool) -> _Choice | None:
    found, version = _still(store, deadline), store.version()
    if found is None:
        return None
    changes = tuple(change for change in store.since(found.before) if change.differs)
    since = (number for number in range(found.before + 1, version + 1) if number not in found.commits)
    others = tuple(number for number in since if store.changes(number))
    own = _touched(store, found.commits)
    if alone and not own & _touched(store, others):
        alone_changes = tuple(change for change in changes if _key(change) in own)
        if _has_room(store, alone_changes):
            return _Choice(found, version, alone_changes, others, ())
    return _Choice(found, version, changes, (), others)


def _go(configuration: Configuration, choice: _Choice, by: Author) -> Undone | None:
    before = choice.waits.before
    done = Undone(choice.waits.commits, before, choice.version, choice.kept, choice.lost)
    if not choice.changes:
        try:
            with configuration.settling(undo.AGAIN, replace(by, comment=f"{_BACK} {before}")) as settling:
                store = settling.store
                if store.version() != choice.version or _still(store, choice.waits.deadline) is None:
                    raise _Meanwhile
                unconfirmed.clear(store.connection)
        except _Meanwhile:
            return None
        return replace(done, version=settling.version or done.version)
    but = f", but for {', '.join(map(str, choice.kept))}" if choice.kept else ""
    try:
        with configuration.bulk(undo.AGAIN, replace(by, comment=f"{_BACK} {before}{but}")) as (store, made):
            if store.version() != choice.version or _still(store, choice.waits.deadline) is None:
                raise _Meanwhile
            undo.restore(made, choice.changes, before)
            if choice.kept:
                _refuse_dangling(store, choice.changes)
            unconfirmed.clear(store.connection)
    except _Meanwhile:
        return None
    return replace(done, version=made.version)


def _has_room(store: Store, changes: tuple[ObjectChange, ...]) -> bool:
    """Whether no other object has a name or uuid that one of the changes gives back."""
    rows = {change.row for change in changes}
    for change in changes:
        if change.row and change.before is not None:
            place = document.place(schema.kind(change.kind), change.before)
            taken = (store.at_target(place), store.by_uuid(change.before["uuid"]))
            if any(entry is not None and entry.id not in rows for entry in taken):
                return False
    return True


def _refuse_dangling(store: Store, changes: tuple[ObjectChange, ...]) -> None:
    """Refuse what left references to an object that is gone, or has another name. Raises Refused."""
    for change in changes:
        if change.row and change.after is not None:
            place = document.place(schema.kind(change.kind), change.after)
            if store.at_target(place) is None and store.referrers(place):
                raise Refused(f"{schema.SEGMENTS[change.kind]} {change.name} is in use by now")


class _Meanwhile(Exception):
    """Another process committed meanwhile."""


def _fail(configuration: Configuration, deadline: float, fault: str, by: Author) -> Undone | None:
    try:
        with configuration.settling("not confirmed", by) as made:
            found = _still(made.store, deadline)
            if found is None:
                raise _Meanwhile
            unconfirmed.fail(made.store.connection, fault)
            version = made.version or made.store.version()
    except _Meanwhile:
        return None
    return Undone(found.commits, found.before, version, fault=fault)


def _still(store: Store, deadline: float) -> Unconfirmed | None:
    found = unconfirmed.read(store.connection)
    return found if found is not None and found.deadline == deadline and not found.fault else None


def _touched(store: Store, numbers: tuple[int, ...]) -> set[int | str]:
    return {_key(change) for number in numbers for change in store.changes(number)}


def _key(change: ObjectChange) -> int | str:
    return change.row or change.kind


def undone_by(configuration: Configuration, waited: Unconfirmed) -> int:
    """The commit that undid what waited; 0 where it was confirmed."""
    with configuration.snapshot() as store:
        last = _last_undo(store)
    undone = last is not None and last.comment.partition(",")[0] == f"{_BACK} {waited.before}"
    return last.number if last is not None and undone and last.number > max(waited.commits) else 0


def _undone_last(store: Store) -> str:
    last = _last_undo(store)
    return f"commit {last.number}: {last.comment}" if last is not None else ""


def _last_undo(store: Store) -> Commit | None:
    return next((one for one in reversed(store.history(_RECENT)) if one.comment.startswith(_BACK)), None)
