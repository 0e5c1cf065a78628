"""Export and import as JSON, the running configuration as lines, and a plan compiled from an export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avi_shell import VERSION
from avi_shell.configuration import document, shape
from avi_shell.configuration.commit import Change
from avi_shell.configuration.configuration import NOBODY, Configuration
from avi_shell.configuration.document import ADMIN, ALL, HIDDEN_STATE, Document
from avi_shell.configuration.record import Author
from avi_shell.configuration.runningconfig import running_config
from avi_shell.configuration.store import Store
from avi_shell.errors import InvalidObject, Refused
from dataplane.foreign import files, jsontext
from dataplane.plan import file
from grammar import schema

META = "META"

__all__ = ["compile_file", "dumps", "export", "import_", "running_config"]


def export(configuration: Configuration, tenant: str = ALL) -> dict[str, Any]:
    """Every object of a tenant, by the kinds' message names; of all tenants with the kinds that were imported unknown,
    which stand last. A tenant's export holds nothing of admin's: what it may use is not its own, and has secrets."""
    data: dict[str, Any] = {META: {"product": "avi-shell", "version": VERSION, "object_model": "30.2.1"}}
    with configuration.snapshot() as store:
        for segment, name in schema.SEGMENTS.items():
            owners = None if tenant == ALL else {tenant}
            objects = [_without_state(found.document) for found in store.entries(segment, owners)]
            if objects:
                data[name] = objects
        if tenant == ALL:
            data.update(store.foreign())
    return data


def dumps(data: dict[str, Any]) -> str:
    """An export's text: the same bytes for the same data."""
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def import_(
    configuration: Configuration,
    data: dict[str, Any],
    *,
    keep_uuid: bool = False,
    by: Author = NOBODY,
    tenant: str = ALL,
) -> list[str]:
    """Put every object of an export, in one commit or not at all. Returns the notices.

    An object replaces the stored one of its kind, tenant and name. keep_uuid: with the export's uuids, which also find
    objects that have another name here; without, stored objects keep theirs and new ones get new ones.
    tenant: whose objects are taken; an object that names no tenant is its, one of another is refused.
    Raises InvalidObject naming the object that is refused, Refused.
    """
    known, foreign = _sorted(data)
    if tenant != ALL and foreign:
        raise Refused(f"kinds that are kept without effect belong to tenant {ADMIN}: {', '.join(sorted(foreign))}")
    for segment, objects in known.items():
        for new in objects:
            shape.check(schema.kind(segment), new)
            if tenant != ALL:
                _own(schema.kind(segment), new, tenant)
    with configuration.bulk("import", by) as (store, made):
        by_uuid = _references_by_uuid(store, known)
        for segment, objects in known.items():
            kind = schema.kind(segment)
            for new in objects:
                imported = document.map_references(kind, new, by_uuid)
                _put(store, made, kind, imported, keep_uuid=keep_uuid, tenant=tenant)
        notices, _ = made.finish()
        for name, body in foreign.items():
            store.set_foreign(name, body)
    kept = [f"{name} ({len(body)})" if isinstance(body, list) else name for name, body in foreign.items()]
    if kept:
        notices.append(f"kinds without effect here, kept for export: {', '.join(kept)}")
    return notices


def compile_file(source: Path, target: Path) -> list[str]:
    """What a commit of an export would have published, written as a plan to one file. Returns the notices.

    Raises Refused where a file cannot be read or written, InvalidObject for what a commit would refuse.
    """
    try:
        data = jsontext.loads(files.read(source))
    except OSError as exc:
        raise Refused(f"{source}: {exc.strerror}") from exc
    except ValueError as exc:
        raise Refused(f"{source} is not an export: {exc}") from exc
    configuration = Configuration.in_memory()
    notices = import_(configuration, data, keep_uuid=True)
    with configuration.snapshot() as store:
        compiled = store.whole_plan()
    try:
        file.save(compiled, target)
    except OSError as exc:
        raise Refused(f"{target}: {exc.strerror}") from exc
    if not compiled.services:
        notices.append("the plan is empty: no virtual service of this export is forwarded by direct server return")
    return notices


def _without_state(found: Document) -> Document:
    return {name: value for name, value in found.items() if name != HIDDEN_STATE}


def _sorted(data: Any) -> tuple[dict[str, list[Document]], dict[str, Any]]:
    """An export's objects by segment, and what is of no kind of the model. Raises Refused for another shape."""
    if not isinstance(data, dict):
        raise Refused("not an export", hint="a JSON object: {kind: [objects]}")
    known: dict[str, list[Document]] = {}
    for segment, name in schema.SEGMENTS.items():
        objects = data.get(name, [])
        if not isinstance(objects, list) or not all(isinstance(new, dict) for new in objects):
            raise Refused(f"not an export: {name} is not a list of objects")
        known[segment] = objects
    names = {META, *schema.SEGMENTS.values()}
    if not names & data.keys() and not all(isinstance(body, list) for body in data.values()):
        raise Refused("not an export: it holds no kind of objects", hint="export configuration file F writes one")
    return known, {name: body for name, body in data.items() if name not in names}


def _own(kind: schema.Kind, new: Document, tenant: str) -> None:
    """See that an object is of a tenant; one that names none becomes its. Raises Refused."""
    if kind.segment != "tenant" and "tenant_ref" in kind.root.fields:
        new.setdefault("tenant_ref", document.reference("tenant", tenant))
    owner = document.owner(kind, new)
    if owner != tenant:
        what = f"{kind.name} {new.get('name')} belongs to tenant {owner}, this is tenant {tenant}"
        raise Refused(what, hint=f"switchto tenant {ADMIN} to import for others")


def _put(store: Store, made: Change, kind: schema.Kind, new: Document, *, keep_uuid: bool, tenant: str) -> None:
    owner = document.owner(kind, new)
    stored = store.by_uuid(str(new.get("uuid"))) if keep_uuid else None
    if stored is None or stored.kind != kind.segment:
        stored = store.find(kind.segment, owner, str(new.get("name")))
    elif tenant not in (ALL, stored.tenant):
        raise Refused(f"{kind.name} {new.get('name')}: its uuid belongs to tenant {stored.tenant}", hint="no keep_uuid")
    new.pop(HIDDEN_STATE, None)
    if not keep_uuid:
        new.pop("uuid", None)
    if not isinstance(new.get("uuid", ""), str):
        raise InvalidObject(f"{kind.name} {new.get('name')}: uuid is {new['uuid']!r}, not text", path="uuid")
    made.put(kind, new, owner, stored)


def _references_by_uuid(store: Store, known: dict[str, list[Document]]) -> Callable[[schema.Field, str], str]:
    """Turns references of the form `/api/pool/UUID` or `…#NAME`, as the appliance also writes them, into those by
    name."""
    names = {}
    for segment, objects in known.items():
        for new in objects:
            if isinstance(new.get("uuid"), str) and isinstance(new.get("name"), str):
                names[new["uuid"]] = document.reference(segment, new["name"], document.tenant_of(new))

    def by_name(_: schema.Field, ref: str) -> str:
        head, name = ref.partition("#")[::2]
        pieces = head.rstrip("/").split("/")
        if "?" in head or len(pieces) < 3 or pieces[-3] != "api" or pieces[-2] not in schema.SEGMENTS:
            return ref
        if pieces[-1] in names:
            return names[pieces[-1]]
        stored = store.by_uuid(pieces[-1])
        if stored is not None:
            return document.reference(stored.kind, stored.name, stored.tenant)
        return document.reference(pieces[-2], name) if name else ref

    return by_name
