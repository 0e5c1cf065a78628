"""The configuration: the only access to the store. Every change is one commit, checked, planned and stored whole."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from avi_shell.configuration import defaults, outbox, storefile
from avi_shell.configuration.document import ADMIN, ALL, DEFAULT_CLOUD, HIDDEN_STATE, Document, cloud_of, target
from avi_shell.configuration.engineaddresses import EngineAddresses
from avi_shell.configuration.entry import Entry, only
from avi_shell.configuration.record import Author, Commit, CommitRecord, ObjectChange
from avi_shell.configuration.replanned import Foresee
from avi_shell.configuration.saved import Saved, Settling, Undone
from avi_shell.configuration.selection import clouds, visible
from avi_shell.configuration.store import Store
from avi_shell.errors import Conflict, NotFound, Refused, StoreError
from dataplane.plan import sqlite, unconfirmed
from grammar import relations, schema

if TYPE_CHECKING:
    from avi_shell.configuration.commit import Change
    from avi_shell.configuration.placement import Placement
    from dataplane.cluster.asking import Asking

T = TypeVar("T")

DATABASE = "config.db"
NOBODY = Author()
"""The author of commits that no operator asked for: the shell's only user."""
_ADDRESS_KINDS = ("virtualservice", "vsvip", "pool")


class Configuration:
    """An open configuration. Kinds are given by segment. All methods raise StoreError if the store fails.

    foresee: called with each commit's changes of the plan, before it is stored.
    """

    def __init__(
        self, store: Store, engine_addresses: Callable[[], Collection[str]] = tuple, *, lenient: bool = False
    ) -> None:
        self._store = store
        self._engine_addresses = engine_addresses
        self._lenient = lenient
        self.is_copy = False  # saves here are not yet committed to the original
        self.foresee: Foresee | None = None
        self._made: Change | None = None  # by the commit in the making
        if not store.ready:
            with store.transaction():
                if store.layout():
                    self._put_defaults()
                else:
                    made = self._begin()
                    made.version = store.version()  # nobody's commit
                    made.replan()

    @classmethod
    def open(cls, directory: Path) -> Configuration:
        """Open the configuration of a state directory, creating what is missing: folder 0700, file 0600, defaults."""
        return cls(Store.open(directory / DATABASE), EngineAddresses(directory))

    @classmethod
    def look(cls, directory: Path) -> Configuration:
        """A copy in memory of a state directory's configuration. Creates and writes nothing there."""
        path = directory / DATABASE
        copied = cls(Store(storefile.copied(path), str(path)), EngineAddresses(directory))
        copied.is_copy = True
        return copied

    @classmethod
    def in_memory(cls) -> Configuration:
        """A fresh configuration that nobody else sees."""
        return cls(Store.in_memory())

    def copy(self, *, lenient: bool = False) -> Configuration:
        """A private copy in memory. lenient: an object that breaks rules with others is saved, with notices."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        with self._store.guarded():
            self._store.connection.backup(connection)
        copied = Configuration(Store(connection, self._store.where), self._engine_addresses, lenient=lenient)
        copied.is_copy = True
        return copied

    def blank(self) -> Configuration:
        """A fresh configuration in memory, lenient like a candidate. It refuses what this one must not have."""
        made = Configuration(Store.in_memory(), self._engine_addresses, lenient=True)
        made.is_copy = True
        return made

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def names(self, kind: str, tenant: str, cloud: str = ALL) -> list[str]:
        """The names of a kind's objects, sorted. A tenant sees its own and admin's; "*" sees all. From within a cloud
        its own objects are seen, and the default cloud's."""
        return self._store.names(kind, visible(kind, tenant), clouds(cloud))

    def names_beginning(
        self, kind: str, tenant: str, cloud: str = ALL, *, beginning: str, most: int
    ) -> tuple[list[str], bool]:
        """Of `names`, those that begin with a text: the first `most` and the last, and whether there are others."""
        return self._store.names_beginning(kind, visible(kind, tenant), clouds(cloud), beginning, most)

    def find(self, kind: str, name: str, tenant: str, cloud: str = ALL) -> Document | None:
        """Find an object by name: the tenant's own, else admin's; in the cloud, else in the default cloud. cloud "*":
        in the default cloud, else in the only cloud that has it; tenant "*": admin's, else the only one. Raises Refused
        if several have it."""
        entry = self._find(kind, name, tenant, cloud)
        return entry.document if entry else None

    def referenced(self, ref: str) -> Document | None:
        """The object that a reference names. None: there is none."""
        try:
            entry = self._store.at_target(target(ref))
        except ValueError:
            return None
        return entry.document if entry else None

    def all(self, kind: str, tenant: str, cloud: str = ALL) -> list[Document]:
        """The objects of a kind that a tenant sees from within a cloud, by tenant, name and cloud."""
        return [entry.document for entry in self._store.entries(kind, visible(kind, tenant), clouds(cloud))]

    def prepared(self, kind: str, opened: Document, tenant: str) -> Document:
        """An open document as it would be stored, without checking it; new objects get no uuid yet."""
        from avi_shell.configuration.completed import completed

        model = schema.kind(kind)
        stored = self._store.by_uuid(opened["uuid"]) if "uuid" in opened else None
        new = completed(model, opened, tenant, stored, lambda ref: self.referenced(ref) is not None)
        if "uuid" not in opened:
            del new["uuid"]
        return new

    def save(self, kind: str, opened: Document, tenant: str, by: Author = NOBODY, *, dry_run: bool = False) -> Saved:
        """Check an object alone and against all others, plan, and store, in one transaction. dry_run: store nothing.

        opened: the typed fields of a new object, or the changed stored document. Raises InvalidObject, Refused.
        """
        model = schema.kind(kind)
        engines = self._engine_addresses() if kind in _ADDRESS_KINDS else ()
        with self._commit(dry_run):
            stored = self._opened(model, opened, tenant)
            made = self._begin((kind, str(opened.get("name", ""))), engines)
            put = made.put(model, opened, stored.tenant if stored else tenant, stored)
            if not put.changed:
                return Saved(put.entry.document, False, (), self._store.version(), False, False)
            notices, forwarded = self._finish(made)
            action = "create" if put.created else "update"
            self._record(made.version, by, put.entry.tenant, action, kind, put.entry.name)
        return Saved(put.entry.document, put.created, tuple(notices), made.version, True, forwarded)

    def delete(self, kind: str, name: str, tenant: str, by: Author = NOBODY, *, cloud: str = ALL) -> int:
        """Delete an object. Returns the commit's version. Raises NotFound; Refused for default and used objects."""
        with self._commit():
            entry = self._existing(kind, name, tenant, cloud)
            if defaults.is_default(*entry.target):
                raise Refused(f"{schema.SEGMENTS[kind]} {name} is a system default: it cannot be deleted")
            self._owned(entry, tenant, cloud)
            made = self._begin((kind, name))
            made.remove(entry)
            made.finish()
            self._record(made.version, by, entry.tenant, "delete", kind, name)
        return made.version

    def rename(
        self, kind: str, name: str, new_name: str, tenant: str, by: Author = NOBODY, *, cloud: str = ALL
    ) -> Saved:
        """Give an object another name. Its uuid stays, and all references get the new name.

        Raises NotFound; Refused for defaults, tenants and what belongs to others; InvalidObject where the name is
        taken.
        """
        model = schema.kind(kind)
        with self._commit():
            entry = self._existing(kind, name, tenant, cloud)
            if name == new_name:
                raise Refused(f"{model.name} {name} is called so already")
            made = self._begin((kind, new_name))
            put = made.put(model, {**entry.document, "name": new_name}, entry.tenant, entry)
            self._owned(entry, tenant, cloud)
            notices, forwarded = self._finish(made)
            self._record(made.version, by, entry.tenant, "rename", kind, new_name)
        return Saved(put.entry.document, False, tuple(notices), made.version, True, forwarded)

    def damage(self) -> StoreError | None:
        """The damage in the store, None if there is none; asked when its content was not understood."""
        from avi_shell.configuration import damage

        return damage.find(self._store)

    def has_old_plan(self) -> bool:
        """Whether an older release made the plan (`renewal`)."""
        with self._store.guarded():
            return sqlite.plan_format(self._store.connection) < sqlite.PLAN_FORMAT

    def version(self) -> int:
        """The number of the last commit, 0 for a fresh store."""
        with self._store.guarded():
            return self._store.version()

    def history(self, limit: int = 100) -> list[Commit]:
        """The last commits, newest last."""
        return self._store.history(limit)

    def follow(self, age: float = 0.0) -> str:
        """Apply the commits of other hosts, at most once in `age` seconds. Returns why it cannot, else ""."""
        return ""

    def asking(self) -> Asking | None:
        """Asks engines of other hosts, if several hosts share the configuration."""
        return None

    def placement(self) -> Placement | None:
        """The placement of VIPs, if several hosts share the configuration."""
        return None

    def again(self, once: Callable[[], T]) -> T:
        """Do something that makes one commit; repeat it if another host was faster, where hosts share it."""
        return once()

    @property
    def commits(self) -> int:
        """How many commits were made through this object."""
        return self._store.commits

    @property
    def applied(self) -> int:
        """How many commits of other stores were applied through this object."""
        return self._store.applied

    def audited(self, lines: Sequence[outbox.Waiting]) -> bool:
        """Remove lines from the outbox: the audit log has them now. False: it failed; try again later."""
        return self._store.outbox.forget(lines)

    @contextmanager
    def snapshot(self) -> Iterator[Store]:
        """The store for reading, as it is at one moment."""
        with self._store.snapshot():
            yield self._store

    @contextmanager
    def bulk(self, action: str, by: Author = NOBODY, *, dry_run: bool = False) -> Iterator[tuple[Store, Change]]:
        """Make many changes as one commit. The block puts and removes, and calls `finish`; its end records the commit.
        dry_run: its end takes everything back."""
        with self._commit(dry_run):
            made = self._begin(engines=self._engine_addresses())
            yield self._store, made
            self._record(made.version, by, ADMIN, action, "", "")

    def change(
        self,
        changes: Sequence[ObjectChange],
        action: str,
        by: Author = NOBODY,
        *,
        dry_run: bool = False,
        seen: int | None = None,
    ) -> tuple[int, list[str], bool]:
        """Make changes of whole objects as one commit, in any order. dry_run: only check; seen: the last commit when
        the operator looked at the changes.

        Returns the commit's version, notices, and whether the plan forwards for a virtual service that it is about.
        Version 0: no commit was made, because somebody else made the same changes already. Raises Conflict if an object
        is not what it was before its change, Refused if somebody else committed since `seen`; InvalidObject, Refused;
        InvalidFile for several faults.
        """
        from avi_shell.configuration.changeset import ChangeSet

        with self._commit(dry_run):
            made = self._made = ChangeSet(self._store, self._engine_addresses())
            notices, forwarded = made.apply(changes, seen, lenient=self._lenient)
            if not self._store.changed:
                return 0, notices, False
            self._record(made.version, by, ADMIN, action, "", "")
        return made.version, notices, forwarded

    @contextmanager
    def _commit(self, dry_run: bool = False) -> Iterator[None]:
        self._made = None
        try:
            with self._store.transaction():
                yield
                if dry_run:
                    raise Undone
        except Undone:
            pass

    @contextmanager
    def transaction(self) -> Iterator[Store]:
        """The store for writing, all or nothing, without a commit."""
        with self._store.transaction():
            yield self._store

    @contextmanager
    def settling(self, action: str, by: Author = NOBODY) -> Iterator[Settling]:
        """Change what waits to be confirmed, all or nothing. Hosts that share this learn it by a commit."""
        with self._store.transaction():
            yield Settling(self._store)

    def bound_history(self, commits: int, days: int) -> None:
        """Set how many commits, of how many days, the history keeps. The next commit removes what is beyond."""
        if commits < 1 or days < 1:
            raise Refused("the history holds at least 1 commit of at least 1 day")
        with self.transaction() as store:
            store.log.bound(commits, days)

    def apply(self, record: CommitRecord) -> None:
        """Apply a commit that another store of the same identity and epoch made. Raises Refused if it does not follow
        the last commit here, or if the objects here differ from those there."""
        from avi_shell.configuration import replay

        with self._store.transaction():
            replay.apply(self._store, record)

    def _begin(self, subject: tuple[str, str] = ("", ""), engines: Collection[str] = ()) -> Change:
        from avi_shell.configuration.commit import Change  # late: a shell that commits nothing does without

        made = self._made = Change(self._store, subject, engines)
        if self._lenient:
            made.gather()
        return made

    def _finish(self, made: Change) -> tuple[list[str], bool]:
        """Check what was put, and plan. In a lenient configuration, faults become notices."""
        from avi_shell.configuration.notices import not_valid

        notices, forwarded = made.finish()
        return [*notices, *(not_valid(made.faults) if made.faults else ())], forwarded

    def _existing(self, kind: str, name: str, tenant: str, cloud: str) -> Entry:
        entry = self._find(kind, name, tenant, cloud)
        if entry is None:
            raise NotFound(f"{schema.SEGMENTS[kind]} {name} does not exist in tenant {tenant}")
        return entry

    def _find(self, kind: str, name: str, tenant: str, cloud: str) -> Entry | None:
        tenants = [ADMIN] if kind == "tenant" or tenant == ALL else [tenant, ADMIN]
        for owner in dict.fromkeys(tenants):
            for place in dict.fromkeys((DEFAULT_CLOUD,) if cloud == ALL else (cloud, DEFAULT_CLOUD)):
                own = self._store.find(kind, owner, name, place)
                if own is not None:
                    return own
            if cloud == ALL and kind in relations.OF_A_CLOUD:
                found = self._store.in_any_cloud(kind, owner, name)
                if found:
                    return only(found, "cloud")
        return only(self._store.in_any_cloud(kind, None, name), "tenant") if tenant == ALL else None

    def _opened(self, model: schema.Kind, opened: Document, tenant: str) -> Entry | None:
        """The stored entry that an open document is to replace. Refuses if somebody else was faster."""
        title = f"{model.name} {opened.get('name')}"
        if "uuid" not in opened:
            owner = ADMIN if tenant == ALL or model.segment == "tenant" else tenant
            name, cloud = str(opened.get("name")), cloud_of(model, opened)
            if self._store.find(model.segment, owner, name, cloud) is not None:
                raise Refused(f"{title} was created by somebody else meanwhile", hint="cancel, and configure it again")
            return None
        stored = self._store.by_uuid(opened["uuid"])
        if stored is None or stored.kind != model.segment:
            raise Refused(f"{title} was deleted by somebody else meanwhile", hint="cancel, and configure it again")
        if opened.get(HIDDEN_STATE) != stored.document.get(HIDDEN_STATE):
            raise Conflict(f"{title} was changed by somebody else meanwhile", stored.document)
        self._owned(stored, tenant)
        return stored

    def _owned(self, entry: Entry, tenant: str, cloud: str = ALL) -> None:
        if cloud not in (ALL, entry.cloud) and entry.cloud:
            raise Refused(
                f"{schema.SEGMENTS[entry.kind]} {entry.name} belongs to cloud {entry.cloud}",
                hint=f"switchto cloud {entry.cloud}",
            )
        if tenant not in (ALL, entry.tenant) and entry.kind != "tenant":
            raise Refused(
                f"{schema.SEGMENTS[entry.kind]} {entry.name} belongs to tenant {entry.tenant}",
                hint=f"switchto tenant {entry.tenant}",
            )

    def _record(self, number: int, by: Author, tenant: str, action: str, kind: str, name: str) -> None:
        if self.foresee is not None and self._made is not None:
            self.foresee(self._made.replanned())
        who = by.user, by.os_user, by.terminal
        made = Commit(number, time.time(), *who, tenant, by.origin, by.comment, action, kind, name, by.line)
        self._store.record(made, outbox.of_commit(made, by))
        if by.confirm:
            unconfirmed.add(self._store.connection, [number], by.confirm)

    def _put_defaults(self) -> None:
        made = self._begin()
        made.version = 0  # what a fresh store holds is nobody's commit
        for segment, found in defaults.objects().items():
            for new in found:
                own = {"uuid": ADMIN} if segment == "tenant" and new["name"] == ADMIN else {}
                made.put(schema.kind(segment), {**new, **own}, ADMIN, None)
        made.finish()
