"""Makes one commit: takes changes, checks them against everything they touch, and updates the plan.

It lives inside one transaction of the store. After an error the store is as it was.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress

from avi_shell.configuration import (
    assembly,
    clashes,
    compiler,
    defaults,
    document,
    holdings,
    linking,
    notices,
    rules,
    unsupported,
    validation,
)
from avi_shell.configuration.assembly import Assembly
from avi_shell.configuration.breach import Breach
from avi_shell.configuration.completed import completed
from avi_shell.configuration.document import ADMIN, HIDDEN_STATE, Document, Target
from avi_shell.configuration.entry import Entry
from avi_shell.configuration.linking import followers, links, target
from avi_shell.configuration.record import ObjectChange
from avi_shell.configuration.replanned import Replanned
from avi_shell.configuration.store import Store
from avi_shell.configuration.touched import COMMON_KINDS, Put, Touched, common_part
from avi_shell.errors import InvalidObject, Refused, ShellError
from dataplane import plan
from dataplane.plan import sqlite
from grammar import schema


class Change:
    """A commit being made, number `version`. subject: the object that refusals point into, as segment and name."""

    def __init__(self, store: Store, subject: tuple[str, str] = ("", ""), engines: Collection[str] = ()) -> None:
        self._store = store
        self.version = store.version() + 1
        self._subject = subject
        self._engines = frozenset(engines)
        self._touched = Touched()
        self._notices: dict[str, None] = {}
        self._lookups: dict[Target, Document | None] = {}
        self._good: dict[str, set[str]] = {}  # by tenant, references that were found allowed
        self._gathers = False
        self._passed: set[Target] = set()
        self._reached = False  # an object that was passed over was looked up
        self.faults: list[tuple[str, str, InvalidObject]] = []
        self.without_effect: Counter[str] = Counter()

    def gather(self) -> None:
        """Let `finish` check everything and collect faults instead of raising the first. Each fault in `faults` has its
        object's segment and name; the caller then gives the commit up."""
        self._gathers = True

    def pass_over(self, kind: schema.Kind, refused: Document) -> None:
        """Pass over an object that could not be put: references to it, and the object that it belongs to, give no
        further faults."""
        self._passed.add(document.place(kind, {**refused, "name": str(refused.get("name"))}))

    def put(self, kind: schema.Kind, opened: Document, tenant: str, stored: Entry | None, *, own: bool = False) -> Put:
        """Complete, check and store one object. stored: the entry that it replaces; own: the document has canonical
        references and may be changed.

        Raises InvalidObject if the object is wrong by itself, Refused if the change is not allowed.
        """
        new = self._completed(kind, {HIDDEN_STATE: "", **opened}, tenant, stored, own)
        if kind.segment == "debugvirtualservice":
            self._trace(new, opened, is_new=stored is None)
        self._note(*validation.settle_union(kind, new, stored.document if stored else None))
        validation.check(kind, new)
        self._raise(rules.alone(kind.segment, new))
        self._check_identity(kind, new, stored)
        if stored is not None and _same(stored.document, new):
            return Put(stored, created=False, changed=False)
        try:
            entry = self._write(kind, new, stored)
        except sqlite3.IntegrityError:
            self._refuse_twin(kind, new, stored)
            raise
        self._touched.saved.add(entry.id)
        names = notices.without_effect(kind, new, stored.document if stored else None)
        if names:
            self._note(notices.stored_alone(f"{kind.name} {new['name']}", names))
            self.without_effect.update(f"{kind.name}.{name}" for name in names)
        self._note(*notices.object_notices(kind.segment, new))
        return Put(entry, created=stored is None, changed=True)

    def remove(self, entry: Entry) -> None:
        """Remove an object. Raises Refused where it is referred to."""
        users = self._users(entry)
        if entry.kind == "virtualservice":  # its debug settings go with it
            for id_ in [user[0] for user in users if user[1] == "debugvirtualservice"]:
                self._store.remove(id_)
            users = [user for user in users if user[1] != "debugvirtualservice"]
        if users:
            names = [f"{schema.SEGMENTS[kind]} {name}" for _, kind, _, name in users]
            raise Refused(f"Cannot delete, object is referred by: {names}")
        self._forget(entry)

    def restore(self, changes: Collection[ObjectChange]) -> None:
        """Undo some changes: changed objects become what they were, in their rows, and added objects go. All objects
        that refer to one of these, then or now, must be among them. An object that is wrong by itself today is refused,
        or gathered.
        """
        known = [change for change in changes if change.row]
        for change in known:
            if change.after is not None and change.before is None:
                self._forget(self._store.by_id(change.row))
            elif change.after is not None:
                self._store.set_aside(change.row)  # another may need its name
        for change in known:
            if change.before is not None:
                self._put_back(schema.kind(change.kind), change)
        for change in changes:
            if not change.row:
                self._store.set_foreign(change.kind, change.before)

    def _put_back(self, kind: schema.Kind, change: ObjectChange) -> None:
        new = document.with_defaults(kind, change.before)
        try:
            validation.check(kind, new)
        except InvalidObject as exc:
            self._refuse(kind.segment, change.name, exc)
            self.pass_over(kind, new)
            return
        self._raise(rules.alone(kind.segment, new))
        new[HIDDEN_STATE] = _now(change.after)
        entry = self._store.put(change.row, kind, new)
        self._link(kind, entry)
        self._touched.common |= kind.segment in COMMON_KINDS

    def _forget(self, entry: Entry) -> None:
        self._touched.gone.update(self._store.planned_keys(entry.id))
        self._touched.common |= entry.kind in COMMON_KINDS
        self._touched.entries.pop(entry.id, None)
        self._lookups.pop(entry.target, None)
        self._good.clear()
        self._store.remove(entry.id)

    def finish(self) -> tuple[list[str], bool]:
        """Check the changes against all other objects, and write the plan.

        Returns the notices, and whether the plan now forwards for a virtual service that this commit touched.
        Raises InvalidObject naming object, field and rule.
        """
        self._follow()
        assemblies = dict(self._assemblies())
        for id_, one in list(assemblies.items()):
            if not (self._raise(rules.breaches(one)) and self._raise(unsupported.exceeded(one))):
                del assemblies[id_]  # it cannot be planned
        changed = self._plan(assemblies)
        for entry in self._touched.holders:
            self._raise(clashes.of_holder(self._store, entry, self._assemble))
        for entry in self._touched.entries.values():
            if entry.kind in COMMON_KINDS:
                self._raise(clashes.in_pair(self._store, entry))
        suspects = (
            self._store.indexes.suspects(holdings.CLASHES) if len(assemblies) > linking.MANY else assemblies.keys()
        )
        for id_, one in assemblies.items():
            if id_ in suspects:
                self._raise(clashes.with_others(self._store, id_, one))
            self._raise(clashes.with_engines(one, self._engines))
            if one.is_dsr or id_ in self._touched.saved:
                self._note(*notices.service_notices(one))
        return list(self._notices), changed

    def replanned(self) -> Replanned:
        """The changes that `finish` made to the plan, with all services of the VIPs concerned."""
        return self._touched.replanned.with_others(lambda vips: sqlite.read_on(self._store.connection, vips))

    def _assemblies(self) -> Iterator[tuple[int, Assembly]]:
        for id_ in self._touched.services:
            self._reached = False
            one = self._assemble(id_)
            if not self._reached:
                yield id_, one

    def replan(self) -> None:
        """Rebuild indexes and plan from the stored objects, without checks, because an older release made them
        differently. Damaged rows stay as they are; whoever reads them gets the error."""
        for (id_,) in self._store.connection.execute("SELECT id FROM object WHERE kind = 'virtualservice'").fetchall():
            with suppress(ShellError, ValueError, TypeError, LookupError, AttributeError):
                self._plan({id_: self._assemble(id_)})
        with suppress(ShellError, ValueError, TypeError, LookupError, AttributeError):
            self._touched.common = not sqlite.is_common(self._store.connection, self._common())
            self._plan({})

    def _completed(self, kind: schema.Kind, opened: Document, tenant: str, stored: Entry | None, own: bool) -> Document:
        return completed(kind, opened, tenant, stored, self._exists, own=own)

    def _users(self, entry: Entry) -> list[tuple[int, str, str, str]]:
        """The objects that refer to an object that is to be removed."""
        return self._store.referrers(entry.target)

    def _exists(self, ref: str) -> bool:
        return self._lookup(ref) is not None

    def _trace(self, new: Document, opened: Document, *, is_new: bool) -> None:
        """Give debug settings the cloud of their virtual service, and its uuid behind the word `debug`."""
        owners = dict.fromkeys((document.tenant_of(new), ADMIN))
        found = [e for t in owners for e in self._store.in_any_cloud("virtualservice", t, str(new.get("name")))]
        if found and "cloud_ref" not in opened:
            new["cloud_ref"] = found[0].document["cloud_ref"]
        traced = next((e for e in found if e.document["cloud_ref"] == new["cloud_ref"]), None)
        if traced and is_new and "uuid" not in opened and self._store.by_uuid(f"debug{traced.uuid}") is None:
            new["uuid"] = f"debug{traced.uuid}"

    def _check_identity(self, kind: schema.Kind, new: Document, stored: Entry | None) -> None:
        if stored is not None and document.place(kind, new) != stored.target:
            title = f"{kind.name} {stored.name}"
            if defaults.is_default(*stored.target):
                raise Refused(f"{title} is a system default: it cannot be renamed", path="name")
            if kind.segment == "tenant":
                raise Refused(f"{title}: a tenant cannot be renamed", path="name")

    def _refuse_twin(self, kind: schema.Kind, new: Document, stored: Entry | None) -> None:
        """Refuse an object whose name or uuid is taken, and name the object that has it."""
        name, place = new["name"], document.place(kind, new)
        title = f"{kind.name} {stored.name if stored else name}"
        other = self._store.at_target(place)
        if other is not None and (stored is None or other.id != stored.id):
            where = f"tenant {place.tenant}" + document.in_cloud(place.cloud)
            raise InvalidObject(f"{title}: another {kind.name} of {where} has the name {name}", path="name")
        other = self._store.by_uuid(new["uuid"])
        if other is not None and (stored is None or other.id != stored.id):
            raise InvalidObject(f"{title}: {other.kind} {other.name} has the same uuid {new['uuid']}", path="uuid")

    def _write(self, kind: schema.Kind, new: Document, stored: Entry | None) -> Entry:
        new[HIDDEN_STATE] = _now(stored.document if stored else None)
        entry = self._store.put(stored.id if stored else None, kind, new)
        self._link(kind, entry)
        if stored is None:
            self._touched.created.add(entry.id)
        self._touched.common |= kind.segment in COMMON_KINDS and (
            stored is None or common_part(stored) != common_part(entry)
        )
        if stored is not None and entry.target != stored.target:
            self._move(stored.target, entry.target)
            self._lookups.pop(stored.target, None)
            self._good.clear()
        self._lookups[entry.target] = new
        return entry

    def _link(self, kind: schema.Kind, entry: Entry) -> None:
        found = document.references(kind, entry.document)
        self._store.set_links(entry.id, links(kind, entry.document, found))
        self._touched.entries[entry.id] = entry
        self._touched.references[entry.id] = found

    def _move(self, old: Target, new: Target) -> None:
        """Update all references to an object that was renamed or moved."""

        def renamed(_: schema.Field, ref: str) -> str:
            return new.reference if target(ref) == old else ref

        for id_, *_ in self._store.referrers(old):
            user = self._store.by_id(id_)
            kind = schema.kind(user.kind)
            changed = document.map_references(kind, user.document, renamed)
            if user.kind == "debugvirtualservice" and old[0] == "virtualservice":
                changed["name"], changed["cloud_ref"] = new.name, document.reference("cloud", new.cloud)
            self._write(kind, changed, user)

    def _follow(self) -> None:
        """Check the references of the objects that were put, and mark the virtual services that change with them."""
        changed = []
        for entry in self._touched.entries.values():
            self._check_references(entry)
            if entry.kind == "virtualservice":
                self._touched.services[entry.id] = None
            else:
                if entry.kind in holdings.HOLDERS:
                    held = holdings.object_holdings(entry.kind, entry.document)
                    if self._store.set_holdings(entry.id, held):
                        self._touched.holders.append(entry)
                changed.append(entry.target)
        self._touched.services.update(dict.fromkeys(followers(self._store, changed)))

    def _check_references(self, entry: Entry) -> None:
        good = self._good.setdefault(entry.tenant, set())
        for path, field_, ref in self._touched.references[entry.id]:
            if ref in good or not field_.described:
                continue
            segment, tenant, cloud, name = document.target(ref)
            if tenant not in (ADMIN, entry.tenant) and segment != "tenant":
                what = f"{entry.title}: {path} refers to {segment} {name} of tenant {tenant}"
                hint = f"an object of tenant {entry.tenant} or {ADMIN}"
                self._refuse(entry.kind, entry.name, InvalidObject(what, path=self._path(entry, path), hint=hint))
            elif target(ref) not in self._passed and self._lookup(ref) is None:
                called = name + document.in_cloud(cloud)
                self._refuse(entry.kind, entry.name, self._unknown(entry, path, segment, called))
            else:
                good.add(ref)
        if entry.kind == "debugvirtualservice" and not self._traced(entry):
            self._refuse(entry.kind, entry.name, self._unknown(entry, "name", "virtualservice", entry.name))

    def _traced(self, entry: Entry) -> bool:
        """Whether the virtual service that a debugvirtualservice names exists."""
        places = [Target("virtualservice", tenant, entry.cloud, entry.name) for tenant in (entry.tenant, ADMIN)]
        return any(place in self._passed or self._store.at_target(place) for place in places)

    def _unknown(self, entry: Entry, path: str, segment: str, name: str) -> InvalidObject:
        known = self._store.names(segment, {ADMIN, entry.tenant})
        return InvalidObject(
            f"{entry.title}: {path} names {segment} {name}, which does not exist",
            path=self._path(entry, path),
            hint=f"one of {', '.join(known[:10])}" if known else f"configure {segment} {name}",
        )

    def _plan(self, assemblies: dict[int, Assembly]) -> bool:
        """Write claims, holdings and the plan of the assembled virtual services. Returns whether one is forwarded."""
        changed: dict[str, plan.Service] = {}
        gone, forwarded = set(self._touched.gone), False
        for id_, one in assemblies.items():
            known = [] if id_ in self._touched.created else self._store.planned_keys(id_)
            previous = self._store.planned(known) if known else {}
            self._store.set_claims(id_, holdings.claims(one))
            self._store.set_holdings(id_, holdings.service_holdings(one))
            planned = compiler.services(one, previous.values(), self.version, time.time())
            self._note(*notices.new_vips(one, planned, previous))
            self._touched.replanned.note(previous, planned)
            new, old = compiler.changes(planned, previous)
            changed.update((service.key, service) for service in new)
            gone.update(old)
            forwarded |= bool(planned)
        common = self._common() if self._touched.common else None
        self._touched.replanned.note(self._store.planned(self._touched.gone), {})
        sqlite.write(self._store.connection, self.version, [*changed.values(), *sorted(gone - changed.keys())], common)
        return forwarded

    def _common(self) -> plan.Common:
        groups, engines, contexts = (
            [entry.document for entry in self._store.entries(kind)]
            for kind in ("serviceenginegroup", "serviceengine", "vrfcontext")
        )
        return compiler.common(groups, engines, contexts)

    def _assemble(self, id_: int) -> Assembly:
        return assembly.assemble((self._touched.entries.get(id_) or self._store.by_id(id_)).document, self._lookup)

    def _lookup(self, ref: str) -> Document | None:
        known = target(ref)
        if known is None:
            return None
        self._reached |= known in self._passed
        if known not in self._lookups:
            entry = self._store.at_target(known)
            self._lookups[known] = entry.document if entry else None
        return self._lookups[known]

    def _note(self, *notices: str) -> None:
        if notices:
            self._notices.update(dict.fromkeys(notices))

    def _path(self, entry: Entry, path: str) -> str:
        return path if self._subject in ((entry.kind, entry.name), ("", "")) else ""

    def _raise(self, breaches: Iterator[Breach] | list[Breach]) -> bool:
        """Refuse the first breach, or gather all. Returns whether there is none."""
        kept = True
        for breach in breaches:
            kept = False
            path = breach.path_in(*self._subject) if self._subject[0] else breach.parts[0].path
            fault = InvalidObject(breach.what, path=path, hint=f"expected: {breach.hint}" if breach.hint else "")
            self._refuse(breach.parts[0].segment, breach.parts[0].name, fault)
        return kept

    def _refuse(self, segment: str, name: str, fault: InvalidObject) -> None:
        if not self._gathers:
            raise fault
        self.faults.append((segment, name, fault))


def _same(one: Document, other: Document) -> bool:
    return {**one, HIDDEN_STATE: ""} == {**other, HIDDEN_STATE: ""}


def _now(stored: Document | None) -> str:
    """Microseconds since 1970, later than what is stored says, whatever the clock does."""
    before = str(stored.get(HIDDEN_STATE, "")) if stored else ""
    return str(max(time.time_ns() // 1000, int(before) + 1 if before.isdecimal() else 0))
