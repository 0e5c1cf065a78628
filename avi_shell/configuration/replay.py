"""Applies a commit of another store to this one: objects, indexes, plan and history become the same as there.

Nothing is checked or planned again: whoever made the commit did, on the same configuration.
"""

from __future__ import annotations

from avi_shell.configuration import assembly, document, holdings, outbox
from avi_shell.configuration.document import Document
from avi_shell.configuration.linking import followers, links, target
from avi_shell.configuration.record import CommitRecord, ObjectChange
from avi_shell.configuration.store import Store
from avi_shell.errors import Refused, StoreError
from dataplane.errors import PlanError
from dataplane.plan import sqlite, unconfirmed
from grammar import schema


def apply(store: Store, record: CommitRecord) -> None:
    """Apply a commit, in the open transaction. Raises Refused where it does not follow this store's last commit."""
    number, last = record.commit.number, store.version()
    if (record.identity, record.epoch) != store.identity():
        raise Refused(f"commit {number} is of another store or of another epoch of it")
    if number != last + 1:
        raise Refused(f"commit {number} does not follow commit {last}, the last one here")
    store.foresee(record.changes)
    for change in record.changes:
        _leave(store, change, number)
    for change in record.changes:
        if change.after is not None:
            _put(store, change)
    _index(store, record)
    try:
        sqlite.copy(store.connection, number, record.plan)
    except PlanError as exc:
        raise Refused(f"the plan of commit {number}: {exc}") from exc
    if not record.waits and record.waits is not None:
        unconfirmed.clear(store.connection)  # first, as where it was made: what waits keeps the history from forgetting
    store.record(record.commit, outbox.of_commit(record.commit), made=False)
    if record.waits:
        unconfirmed.write(store.connection, record.waits[0])


def _leave(store: Store, change: ObjectChange, number: int) -> None:
    """Take an object away as it was; whatever takes its name comes afterwards."""
    if not change.row:
        if store.foreign().get(change.kind) != change.before:
            raise Refused(f"commit {number} changes {change.kind}, which differs here")
        return
    try:
        found: Document | None = store.by_id(change.row).document
    except StoreError:
        found = None
    if found != change.before:
        raise Refused(f"commit {number} changes {change.kind} {change.name}, which differs here")
    if found is not None:
        store.remove(change.row)


def _put(store: Store, change: ObjectChange) -> None:
    if not change.row:
        store.set_foreign(change.kind, change.after)
        return
    if change.kind not in schema.SEGMENTS:
        raise Refused(f"the record of a commit: there is no kind {change.kind!r:.40}")
    kind = schema.kind(change.kind)
    entry = store.put(change.row, kind, change.after)
    store.set_links(entry.id, links(kind, change.after, document.references(kind, change.after)))


def _index(store: Store, record: CommitRecord) -> None:
    """What objects hold and claim, of all that the commit may have changed."""
    services: dict[int, None] = {}
    for change in record.changes:
        if not change.row or change.after is None:
            continue
        entry = store.by_id(change.row)
        if entry.kind == "virtualservice":
            services[entry.id] = None
        else:
            store.set_holdings(entry.id, holdings.object_holdings(entry.kind, entry.document))
            services.update(dict.fromkeys(followers(store, [entry.target])))

    def lookup(ref: str) -> Document | None:
        wanted = target(ref)
        found = store.at_target(wanted) if wanted else None
        return found.document if found else None

    for id_ in services:
        one = assembly.assemble(store.by_id(id_).document, lookup)
        store.set_claims(id_, holdings.claims(one))
        store.set_holdings(id_, holdings.service_holdings(one))
