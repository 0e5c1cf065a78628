"""The forms in which references stand in exports, and the one by name in which they are stored.

/api/pool/?name=p&tenant=t            as this product writes them
https://HOST/api/pool/pool-1#p        as the appliance answers
/api/pool/pool-1, /api/tenant/admin   by uuid alone
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from avi_shell.configuration import document
from avi_shell.configuration.autofill import one_form
from avi_shell.configuration.document import ADMIN, Document
from avi_shell.configuration.store import Store
from avi_shell.errors import InvalidObject
from grammar import schema


@dataclass(frozen=True, slots=True)
class Form:
    """What a reference says."""

    segment: str  # the kind's
    uuid: str  # "" where it names none
    name: str  # "" where it has none
    query: str  # `name=p&tenant=t`, "" by uuid


@lru_cache(1 << 14)
def form(ref: str) -> Form | None:
    """The parts of a reference, with or without a host before it. None: it is none."""
    head, _, name = ref.partition("#")
    path, _, query = head.partition("?")
    pieces = path.rstrip("/").split("/")
    if "api" not in pieces:
        return None
    segment, *rest = pieces[pieces.index("api") + 1 :] or [""]
    if query and not rest:
        return Form(segment, "", _parameter(query, "name"), query)
    return Form(segment, rest[0], unquote(name), "") if len(rest) == 1 and not query else None


class Names:
    """What the references of one file name: objects of the file, and of the store."""

    def __init__(self, store: Store, known: Mapping[str, Sequence[Document]]) -> None:
        self._store = store
        self._tenants = {
            new["uuid"]: new["name"]
            for new in known.get("tenant", ())
            if isinstance(new.get("uuid"), str) and isinstance(new.get("name"), str)
        }
        self._by_uuid = dict(self._uuids(known))
        self._objects = {
            (segment, self.tenant(new), new["name"])
            for segment, objects in known.items()
            for new in objects
            if isinstance(new.get("name"), str)
        }

    def tenant(self, raw: Document) -> str:
        """The tenant of an object as it stands in the file; "admin" where it names none."""
        ref = raw.get("tenant_ref")
        said = form(ref) if isinstance(ref, str) else None
        if said is None:
            return ADMIN
        if not said.uuid:
            return said.name or ADMIN
        if said.uuid in self._tenants:
            return str(self._tenants[said.uuid])
        stored = self._store.by_uuid(said.uuid)
        return stored.name if stored is not None and stored.kind == "tenant" else said.name or ADMIN

    def there(self, segment: str, tenant: str, name: str) -> bool:
        """Whether the file or the store has an object."""
        return (segment, tenant, name) in self._objects or self._store.find(segment, tenant, name) is not None

    def in_file(self, segment: str, tenant: str, name: str) -> bool:
        """Whether the file has an object."""
        return (segment, tenant, name) in self._objects

    def by_name(self, field: schema.Field, ref: str, place: str, tenant: str) -> str:
        """A reference by name. place: where it stands; tenant: of the object that it stands in. What is in none of the
        forms stays as it is. Raises InvalidObject for a uuid that nobody has."""
        if ref.startswith("/api/") and "/?name=" in ref and "#" not in ref:
            return one_form(ref) if field.scope == "l4" else ref
        said = form(ref)
        if said is None or said.segment not in schema.SEGMENTS:
            return ref
        if not said.uuid:
            return one_form(f"/api/{said.segment}/?{said.query}")
        if (said.segment, said.uuid) in self._by_uuid:
            return self._by_uuid[said.segment, said.uuid]
        stored = self._store.by_uuid(said.uuid)
        if stored is not None and stored.kind == said.segment:
            return document.reference(said.segment, stored.name, stored.tenant)
        if said.name:
            own = tenant != ADMIN and self.there(said.segment, tenant, said.name)
            return document.reference(said.segment, said.name, tenant if own else ADMIN)
        if field.scope != "l4":
            return ref
        what = f"{place} names {said.segment} {said.uuid}, which is neither in the file nor stored"
        raise InvalidObject(what, path=place)

    def _uuids(self, known: Mapping[str, Sequence[Document]]) -> Iterator[tuple[tuple[str, str], str]]:
        """Kind and uuid of every object of a file → the reference by name."""
        for segment, objects in known.items():
            for new in objects:
                uuid, name = new.get("uuid"), new.get("name")
                if isinstance(uuid, str) and isinstance(name, str):
                    yield (segment, uuid), document.reference(segment, name, self.tenant(new))


def _parameter(query: str, wanted: str) -> str:
    parameters = dict(piece.partition("=")[::2] for piece in query.split("&"))
    return unquote(parameters.get(wanted, ""))
