"""References between objects, and the virtual services whose rules and plan follow a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from avi_shell.configuration import document
from avi_shell.configuration.derived import Place
from avi_shell.configuration.document import Document, Target
from avi_shell.configuration.store import Store
from grammar import schema

FOLLOWERS = {
    "pool": ("virtualservice",),
    "vsvip": ("virtualservice",),
    "networkprofile": ("virtualservice",),
    "applicationprofile": ("virtualservice",),
    "cloud": ("virtualservice",),
    "vrfcontext": ("virtualservice",),
    "healthmonitor": ("pool",),
}
"""By an object's kind, the kinds of its referrers whose rules and plan may change with it."""
_FOLLOWING = ("pool", "virtualservice")
"""The kinds of referrers in FOLLOWERS."""

MANY = 50
"""From so many objects on, one look at everything stored is cheaper than one look for each object."""


def followers(store: Store, changed: Sequence[Target]) -> Iterator[int]:
    """The virtual services whose rules and plan may change with some objects: their ids, some more than once."""
    users = store.indexes.all_referrers(_FOLLOWING) if len(changed) > MANY else None
    for one in changed:
        yield from _followers(store, one, users)


def _followers(store: Store, changed: Place, users: Mapping[Place, list[tuple[int, Place]]] | None) -> Iterator[int]:
    kinds = FOLLOWERS.get(changed[0], ())
    if not kinds:
        return
    for id_, user in store.indexes.referrers(changed) if users is None else users.get(changed, ()):
        if user[0] not in kinds:
            continue
        if user[0] == "virtualservice":
            yield id_
        else:
            yield from _followers(store, user, users)


def links(kind: schema.Kind, new: Document, found: Iterable[tuple[str, schema.Field, str]]) -> set[Target]:
    """The objects to which an object refers. found: its references."""
    try:
        targets = {document.target(ref) for _, _, ref in found}
    except ValueError:  # some are in a form of their own
        targets = {known for known in (target(ref) for _, _, ref in found) if known is not None}
    if kind.segment == "debugvirtualservice":
        targets.add(Target("virtualservice", document.tenant_of(new), document.cloud_of(kind, new), new["name"]))
    return targets


def target(ref: str) -> Target | None:
    """Whom a reference names; None for one in a form of its own (carried)."""
    try:
        return document.target(ref)
    except ValueError:
        return None
