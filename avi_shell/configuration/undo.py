"""Goes back to an earlier configuration by one new commit, checked like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from avi_shell.configuration.configuration import NOBODY, Configuration
from avi_shell.configuration.record import Author, ObjectChange
from avi_shell.configuration.store import Store
from avi_shell.errors import InvalidFile, Refused
from dataplane.plan import unconfirmed
from grammar import schema

if TYPE_CHECKING:
    from avi_shell.configuration.commit import Change

AGAIN = "rollback"
"""The action of such a commit."""


@dataclass(frozen=True, slots=True)
class Going:
    """What going back would change."""

    version: int  # of the commit that is the last one now
    changes: tuple[ObjectChange, ...]  # each object once: as it is now, and as it would be


@dataclass(frozen=True, slots=True)
class Gone:
    """What going back did."""

    version: int  # of the commit that it is; of the last one where nothing changed
    notices: tuple[str, ...]  # what the operator should know
    changed: bool  # False where the configuration was the same already: there is no commit then
    forwarded: bool  # the plan forwards for a virtual service that it changed
    settled: tuple[int, ...] = ()  # commits that waited to be confirmed, and are undone with it


def preview(configuration: Configuration, number: int) -> Going:
    """What `back` would change. Raises NotFound where the history does not reach back so far."""
    with configuration.snapshot() as store:
        return Going(store.version(), _opposite(_since(store, number)))


def back(
    configuration: Configuration, number: int, by: Author = NOBODY, *, seen: int | None = None, dry_run: bool = False
) -> Gone:
    """Go back to the configuration after a commit (0: the fresh store). Every object gets back its uuid. seen: the last
    commit when the operator looked, and there was something to change; dry_run: its end takes everything back.

    Raises NotFound; Refused where somebody else committed since; Refused, or InvalidFile with several faults, where a
    rule of today, or what runs today, does not allow it.
    """
    if seen is None and not (now := preview(configuration, number)).changes:
        return Gone(now.version, (), False, False)
    by = replace(by, comment=by.comment or f"rollback to {number}")
    with configuration.bulk(AGAIN, by, dry_run=dry_run) as (store, made):
        if seen not in (None, made.version - 1):
            raise Refused("somebody else committed meanwhile", hint=f"rollback {number} shows what it would change now")
        changes = _since(store, number)
        notices, forwarded = restore(made, changes, number)
        waits = unconfirmed.read(store.connection)
        settled: tuple[int, ...] = ()
        if waits is not None and number <= waits.before and not by.confirm:
            settled = waits.commits
            unconfirmed.clear(store.connection)  # that is undone now
        return Gone(made.version, tuple(notices), True, forwarded, settled)


def restore(made: Change, changes: Sequence[ObjectChange], number: int) -> tuple[list[str], bool]:
    """Undo changes in an open commit, and check everything. Returns what `finish` does. Raises as `back` does."""
    made.gather()
    made.restore(changes)
    done = made.finish()
    if len(made.faults) == 1:
        ((segment, name, fault),) = made.faults
        named = fault.what.partition(" ")[0] in schema.SEGMENTS.values()  # else it tells a field alone
        title = "" if named else f"{schema.SEGMENTS[segment]} {name}: "
        what = f"the configuration after commit {number} is not possible now: {title}{fault.what}"
        raise Refused(what, hint=fault.hint)
    for segment, name, fault in made.faults:
        fault.path = f"{segment} {name} {fault.path}".rstrip()
    if made.faults:
        raise InvalidFile([fault for _, _, fault in made.faults], "changed")
    return done


def _since(store: Store, number: int) -> list[ObjectChange]:
    return [change for change in store.since(number) if change.differs]


def _opposite(changes: Sequence[ObjectChange]) -> tuple[ObjectChange, ...]:
    return tuple(replace(change, before=change.after, after=change.before) for change in changes)
