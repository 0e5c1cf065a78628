"""The forms in which references stand in exports, and the one by name in which they are stored.

/api/pool/?name=p&tenant=t            as this product writes them
https://HOST/api/pool/pool-1#p        as the appliance answers
/api/pool/pool-1, /api/tenant/admin   by uuid alone
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from avi_shell.configuration import document
from avi_shell.configuration.autofill import OWN_REFERENCES, one_form
from avi_shell.configuration.document import ADMIN, DEFAULT_CLOUD, Document, Target
from avi_shell.configuration.store import Store
from avi_shell.errors import InvalidObject
from grammar import relations, schema


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
        self._names = {
            new["uuid"]: new["name"]
            for kind in ("tenant", "cloud")
            for new in known.get(kind, ())
            if isinstance(new.get("uuid"), str) and isinstance(new.get("name"), str)
        }
        self._objects: dict[Target, None] = {}
        self._by_uuid: dict[tuple[str, str], Target] = {}
        self._places: dict[int, Target] = {}  # by the identity of the raw object
        for segment, objects in known.items():
            for new in objects:
                if isinstance(new.get("name"), str):
                    self._enter(self._place(segment, new), new)

    def _enter(self, place: Target, raw: Document) -> None:
        self._objects[place] = None
        self._places[id(raw)] = place
        if isinstance(raw.get("uuid"), str):
            self._by_uuid[place.kind, raw["uuid"]] = place

    def place(self, segment: str, raw: Document) -> Target:
        """The place of an object in the file."""
        return self._places.get(id(raw)) or self._place(segment, raw)

    def _place(self, segment: str, raw: Document) -> Target:
        return Target(segment, self.tenant(raw), self.cloud(segment, raw), str(raw.get("name")))

    def tenant(self, raw: Document) -> str:
        """The tenant of an object as it stands in the file; "admin" where it names none."""
        return self._owner("tenant", raw.get("tenant_ref"), ADMIN)

    def cloud(self, segment: str, raw: Document) -> str:
        """The cloud of an object as it stands in the file; "" for kinds that belong to none."""
        return self._owner("cloud", raw.get("cloud_ref"), DEFAULT_CLOUD) if segment in relations.OF_A_CLOUD else ""

    def _owner(self, segment: str, ref: object, nobody: str) -> str:
        said = form(ref) if isinstance(ref, str) else None
        if said is None:
            return nobody
        if not said.uuid:
            return said.name or nobody
        if said.uuid in self._names:
            return str(self._names[said.uuid])
        stored = self._store.by_uuid(said.uuid)
        return stored.name if stored is not None and stored.kind == segment else said.name or nobody

    def there(self, wanted: Target) -> bool:
        """Whether the file or the store has an object."""
        return wanted in self._objects or self._store.at_target(wanted) is not None

    def in_file(self, wanted: Target) -> bool:
        """Whether the file has an object."""
        return wanted in self._objects

    def by_name(self, field: schema.Field, ref: str, place: str, owner: Target) -> str:
        """A reference by name. place: where it stands; owner: the object that it stands in. One that says no cloud
        names what is in the owner's cloud, else what is in the default one. What is in none of the forms stays as it
        is. Raises InvalidObject for a uuid that nobody has."""
        if ref.startswith("/api/") and "/?name=" in ref and "#" not in ref:
            return one_form(self._within(ref, owner.cloud)) if field.described else self._within(ref, owner.cloud)
        said = form(ref)
        if said is None or said.segment not in schema.SEGMENTS:
            return ref
        if not said.uuid:
            return one_form(self._within(f"/api/{said.segment}/?{said.query}", owner.cloud))
        if (said.segment, said.uuid) in self._by_uuid:
            return self._by_uuid[said.segment, said.uuid].reference
        stored = self._store.by_uuid(said.uuid)
        if stored is not None and stored.kind == said.segment:
            return stored.target.reference
        if said.name:
            clouds = (owner.cloud or DEFAULT_CLOUD, DEFAULT_CLOUD) if said.segment in relations.OF_A_CLOUD else ("",)
            known = [Target(said.segment, t, c, said.name) for t in (owner.tenant, ADMIN) for c in clouds]
            return next((one for one in known if self.there(one)), known[-1]).reference
        if not field.described:
            return ref
        what = f"{place} names {said.segment} {said.uuid}, which is neither in the file nor stored"
        raise InvalidObject(what, path=place)

    def fill(self, kind: schema.Kind, new: Document) -> None:
        """Give an object what is filled in where it names none, and what stands in its own cloud in the file: it may
        stand later there."""
        cloud = document.cloud_of(kind, new)
        if cloud in ("", DEFAULT_CLOUD):
            return
        for name, (segment, called) in OWN_REFERENCES.items():
            own = Target(segment, ADMIN, cloud, called)
            if name in kind.root.fields and name not in new and own in self._objects:
                new[name] = own.reference

    def _within(self, ref: str, cloud: str) -> str:
        if cloud in ("", DEFAULT_CLOUD):
            return ref
        try:
            if document.names_cloud(ref):
                return ref
            own = document.target(ref)._replace(cloud=cloud)
        except ValueError:
            return ref
        return own.reference if self.there(own) else ref


def _parameter(query: str, wanted: str) -> str:
    parameters = dict(piece.partition("=")[::2] for piece in query.split("&"))
    return unquote(parameters.get(wanted, ""))
