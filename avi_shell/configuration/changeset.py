"""Makes many changes of objects as one commit, in any order: they are checked together, and all stored or none."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from avi_shell.configuration import document, notices
from avi_shell.configuration.commit import Change
from avi_shell.configuration.document import HIDDEN_STATE, Document, Target
from avi_shell.configuration.entry import Entry
from avi_shell.configuration.linking import target
from avi_shell.configuration.record import ObjectChange
from avi_shell.configuration.store import Store
from avi_shell.errors import Conflict, InvalidFile, InvalidObject, Refused, ShellError
from grammar import schema


class ChangeSet(Change):
    """A commit of whole objects, which are found by uuid. Each is stored as given; nothing is filled in."""

    def __init__(self, store: Store, engines: Collection[str] = ()) -> None:
        super().__init__(store, engines=engines)
        self.gather()
        self._moved: dict[Target, Target] = {}

    def apply(
        self, changes: Sequence[ObjectChange], seen: int | None = None, *, lenient: bool = False
    ) -> tuple[list[str], bool]:
        """Make the changes, and check everything. Returns what `finish` does. seen: the last commit when an operator
        looked at them; lenient: broken rules between objects become notices.

        Raises Conflict where an object is not any more what it was before its change, Refused where there is a commit
        since `seen`, InvalidObject and Refused for one fault, InvalidFile for several.
        """
        if seen not in (None, self.version - 1):
            raise Refused("somebody else committed meanwhile", hint="the same again shows what it would change now")
        known = [change for change in changes if change.row]
        stored = {change.uuid: self._store.by_uuid(change.uuid) for change in known}
        faults = list(self._conflicts(changes, stored))
        if not faults:
            faults = self._put_all(changes, known, stored)
            done = self.finish()
            if lenient:
                done[0].extend(notices.not_valid(self.faults))
            else:
                faults += [_placed(segment, name, fault) for segment, name, fault in self.faults]
        if len(faults) == 1:
            raise faults[0]
        if faults:
            raise InvalidFile(faults, "committed")
        return done

    def _put_all(
        self, changes: Sequence[ObjectChange], known: Sequence[ObjectChange], stored: dict[str, Entry | None]
    ) -> list[ShellError]:
        faults: list[ShellError] = []
        for change in known:
            entry = stored[change.uuid]
            if entry is None:
                continue
            if change.after is None and self._store.by_uuid(change.uuid) is not None:
                self.remove(entry)
            elif change.after is not None and _place(change, change.after) != entry.target:
                self._store.set_aside(entry.id)  # another may get its name
        for change in known:
            if change.after is None:
                continue
            kind = schema.kind(change.kind)
            try:
                self.put(kind, change.after, document.owner(kind, change.after), stored[change.uuid], own=True)
            except (InvalidObject, Refused) as exc:
                others = exc.others if isinstance(exc, InvalidObject) else ()
                faults += [_placed(change.kind, change.name, fault) for fault in (exc, *others)]
                self.pass_over(kind, change.after)
        self._move_others({entry.id for entry in stored.values() if entry is not None})
        faults += self._still_used([change for change in known if change.after is None])
        for change in changes:
            if not change.row:
                self._store.set_foreign(change.kind, change.after)
        return faults

    def _conflicts(self, changes: Sequence[ObjectChange], stored: dict[str, Entry | None]) -> Iterator[ShellError]:
        """Find what somebody else did to the same objects meanwhile."""
        foreign = self._store.foreign()
        leaving = {entry.id for entry in stored.values() if entry is not None}
        for change in changes:
            if not change.row:
                if foreign.get(change.kind) != change.before:
                    yield _meanwhile(change, "changed")
                continue
            entry = stored[change.uuid]
            if change.before is None:
                other = entry or self._store.at_target(_place(change, change.after))
                if other is not None and (entry or other.id not in leaving):
                    yield _meanwhile(change, "created", other.document)
            elif entry is None and change.after is not None:
                yield _meanwhile(change, "deleted")
            elif entry is not None and entry.document.get(HIDDEN_STATE) != change.before.get(HIDDEN_STATE):
                yield _meanwhile(change, "changed", entry.document)

    def _still_used(self, gone: Sequence[ObjectChange]) -> Iterator[ShellError]:
        """Yield faults for removed objects to which others still refer, unless another object has the name now."""
        for change in gone:
            place = _place(change, change.before)
            users = self._store.referrers(place) if self._store.at_target(place) is None else []
            if users:
                names = [f"{schema.SEGMENTS[kind]} {name}" for _, kind, _, name in users]
                what = f"{_title(change)}: cannot delete, object is referred by: {names}"
                yield _placed(change.kind, change.name, Refused(what))

    def _completed(self, kind: schema.Kind, opened: Document, tenant: str, stored: Entry | None, own: bool) -> Document:
        return opened

    def _users(self, entry: Entry) -> list[tuple[int, str, str, str]]:
        """Only debug settings, which go with their virtual service. Other references to removed objects are checked at
        the end."""
        return [user for user in super()._users(entry) if user[1] == "debugvirtualservice"]

    def _move(self, old: Target, new: Target) -> None:
        self._moved[old] = new

    def _move_others(self, own: Collection[int]) -> None:
        """Put the new name of renamed objects into references from objects outside the changes."""

        def renamed(_: schema.Field, ref: str) -> str:
            known = target(ref)
            return self._moved[known].reference if known in self._moved else ref

        for old in self._moved:
            for id_, *_ in self._store.referrers(old):
                if id_ in own or id_ in self._touched.entries:
                    continue
                user = self._store.by_id(id_)
                kind = schema.kind(user.kind)
                changed = document.map_references(kind, user.document, renamed)
                if user.kind == "debugvirtualservice" and old.kind == "virtualservice":
                    changed["name"] = self._moved[old].name
                    changed["cloud_ref"] = document.reference("cloud", self._moved[old].cloud)
                self._write(kind, changed, user)


def _place(change: ObjectChange, found: Document) -> Target:
    return document.place(schema.kind(change.kind), found)


def _title(change: ObjectChange) -> str:
    return f"{schema.SEGMENTS.get(change.kind, change.kind)} {change.name}".rstrip()


def _meanwhile(change: ObjectChange, what: str, stored: Document | None = None) -> ShellError:
    """The refusal of a change to an object that somebody else changed, created or deleted. stored: the object now."""
    told = f"{_title(change)} was {what} by somebody else meanwhile"
    before = change.before if change.row else None
    return _placed(change.kind, change.name, Conflict(told, stored, kind=change.kind, before=before, hint=""))


def _placed(segment: str, name: str, fault: ShellError) -> ShellError:
    """A fault with the object that it is about."""
    fault.about = segment, name
    fault.path = f"{segment} {name} {fault.path}".rstrip()
    return fault
