"""Imports an export: all objects of a file in one commit or none. All faults of the file are reported at once."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from avi_shell.configuration import document, incoming
from avi_shell.configuration.commit import Change
from avi_shell.configuration.configuration import NOBODY, Configuration
from avi_shell.configuration.document import ADMIN, ALL, HIDDEN_STATE, Document, Target
from avi_shell.configuration.entry import Entry
from avi_shell.configuration.record import Author
from avi_shell.configuration.referenceforms import Names
from avi_shell.configuration.store import Store
from avi_shell.errors import InvalidFile, InvalidObject, Refused, ShellError
from grammar import schema
from grammar.lexer import nearest

META = "META"
"""The key under which an export tells of itself."""

_SHARED = ("tenant_ref", "cloud_ref", "vrf_context_ref")
"""The fields that a VsVip gets from the virtual service for which it is made."""

_PACE = 2.0
"""Seconds between two progress messages of a long import."""


@dataclass(slots=True)
class Imported:
    """What an import did."""

    created: Counter[str] = field(default_factory=Counter)  # new objects, by the kind's message name
    changed: Counter[str] = field(default_factory=Counter)  # objects that replaced a stored one
    same: Counter[str] = field(default_factory=Counter)  # objects that were stored already and did not change
    kept: Counter[str] = field(default_factory=Counter)  # objects of kinds that the model does not have
    without_effect: Counter[str] = field(default_factory=Counter)  # fields, as "Pool.description" → objects
    notices: list[str] = field(default_factory=list)  # what the operator should know, all of it
    of_file: list[str] = field(default_factory=list)  # of these, what is about the file and not about its objects
    version: int = 0  # of the commit


@dataclass(slots=True, eq=False)
class _Object:
    """An object of the file."""

    kind: schema.Kind
    place: str  # in the file: "Pool[3]"
    document: Document
    target: Target | None = None  # by which it is found; None: it has no name
    unknown: Mapping[str, Collection[str]] = field(default_factory=dict)  # fields: `incoming.Read.unknown`
    refused: bool = False  # it has a fault of its own


def import_(
    configuration: Configuration,
    data: Any,
    *,
    keep_uuid: bool = False,
    by: Author = NOBODY,
    tenant: str = ALL,
    dry_run: bool = False,
    progress: Callable[[str], None] = lambda _text: None,
) -> Imported:
    """Put every object of an export, in one commit or not at all.

    An object replaces the stored one of its kind, tenant and name. keep_uuid: with the export's uuids, which also find
    objects that have another name here; without, stored objects keep theirs and new ones get new ones.
    tenant: whose objects are taken; an object that names no tenant is its, one of another is refused. dry_run: nothing
    is stored. progress: told how far it is, now and then.
    Raises InvalidObject naming the object that is refused, InvalidFile for several, Refused.
    """
    known, foreign = _sorted(data)
    if tenant != ALL and foreign:
        raise Refused(f"kinds that are kept without effect belong to tenant {ADMIN}: {', '.join(sorted(foreign))}")
    done = Imported()
    collected = gc.isenabled()
    gc.disable()  # documents have no circles: to look for some among thousands costs a tenth of the time
    try:
        with configuration.bulk("import", by, dry_run=dry_run) as (store, made):
            _Import(store, made, known, done, keep_uuid, tenant, progress).run()
            for name, body in foreign.items():
                store.set_foreign(name, body)
                done.kept[name] = len(body) if isinstance(body, list) else 1
            done.version = made.version
    finally:
        if collected:
            gc.enable()
    if foreign:
        kept = [f"{name} ({len(body)})" if isinstance(body, list) else name for name, body in foreign.items()]
        done.of_file.append(f"kinds without effect here, kept for export: {', '.join(kept)}")
    done.notices += done.of_file
    return done


class _Import:
    """One import in the open transaction."""

    def __init__(
        self,
        store: Store,
        made: Change,
        known: dict[str, list[Document]],
        done: Imported,
        keep_uuid: bool,
        tenant: str,
        progress: Callable[[str], None],
    ) -> None:
        self._store, self._made, self._done = store, made, done
        self._keep_uuid, self._tenant, self._progress = keep_uuid, tenant, progress
        made.gather()
        self._faults: list[ShellError] = []
        self._unknown: dict[tuple[str, str], tuple[Any, Collection[str]]] = {}  # by kind and field, of changed objects
        self._names = Names(store, known)
        self._places = store.indexes.places()  # what was stored before
        self._moved = False  # some of it has another place by now
        self._objects = list(self._read(known))

    def run(self) -> None:
        """Put all. Raises InvalidObject, InvalidFile, Refused."""
        self._refuse_twins()
        told, total = time.monotonic(), len(self._objects)
        for number, one in enumerate(self._objects):
            if not number % 100 and time.monotonic() - told >= _PACE:
                told = time.monotonic()
                self._progress(f"{number:,} of {total:,} objects")
            if not one.refused:
                self._put(one)
            if one.refused:
                self._made.pass_over(one.kind, one.document)
        notices, _ = self._made.finish()
        self._collect()
        if len(self._faults) == 1:
            raise self._faults[0]
        if self._faults:
            raise InvalidFile(self._faults)
        self._done.notices += notices
        self._done.of_file += self._not_known()
        self._done.without_effect = self._made.without_effect

    def _not_known(self) -> Iterator[str]:
        """Each field that the model does not know, with the last changed object that has it: a later release's, or a
        typing error."""
        for (kind, path), (name, known) in self._unknown.items():
            if path != "url" and not path.startswith("_"):  # every object of the appliance's own has these
                meant = nearest(path.rpartition(".")[2], known)
                hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
                yield f"{kind} {name}: no field {path} is known, so it is kept without effect{hint}"

    def _read(self, known: dict[str, list[Document]]) -> Iterator[_Object]:
        for segment, name in schema.SEGMENTS.items():
            kind = schema.kind(segment)
            for index, raw in enumerate(known.get(segment, ()), 1):
                place = f"{name}[{index}]"
                owner = self._names.place(segment, raw)
                if self._tenant != ALL and "tenant_ref" not in raw:
                    owner = owner._replace(tenant=self._tenant)
                found = incoming.read(kind, raw, partial(self._names.by_name, owner=owner))
                one = _Object(kind, place, found.document, unknown=found.unknown)
                self._done.of_file += found.numbered
                if found.faults:
                    self._fault(one, *found.faults)
                else:
                    self._names.fill(kind, one.document)
                    if "vip" in one.document and segment == "virtualservice":
                        yield from self._vips_apart(one)
                    try:
                        self._own(one)
                    except Refused as exc:
                        self._fault(one, exc)
                yield one

    def _owner(self, new: Document) -> str:
        """The tenant of an object of the file; one that names none is of the tenant that imports."""
        return self._names.tenant(new) if "tenant_ref" in new or self._tenant == ALL else self._tenant

    def _vips_apart(self, one: _Object) -> Iterator[_Object]:
        """Move VIPs that stand in a virtual service (releases before 17.1, converters) to a new VsVip."""
        service = one.document
        if not service.get("vip") or "vsvip_ref" in service:
            return
        owner, cloud = self._owner(service), document.reference_name(str(service.get("cloud_ref", "Default-Cloud")))
        name = f"vsvip-{service.get('name')}-{cloud}"
        while self._names.in_file(Target("vsvip", owner, cloud, name)):
            name += "-1"
        shared: Document = {
            key: service[key] for key in ("tenant_ref", "cloud_ref", "vrf_context_ref") if key in service
        }
        vsvip = _Object(
            schema.kind("vsvip"), one.place, {"name": name, **document.copy(shared), "vip": service.pop("vip")}
        )
        service["vsvip_ref"] = document.reference("vsvip", name, owner, cloud)
        self._own(vsvip)
        yield vsvip

    def _own(self, one: _Object) -> None:
        """Check that an object belongs to the tenant. An object that names no tenant gets it. Raises Refused."""
        if self._tenant == ALL:
            return
        kind, new = one.kind, one.document
        if kind.segment != "tenant" and "tenant_ref" in kind.root.fields:
            new.setdefault("tenant_ref", document.reference("tenant", self._tenant))
        owner = document.owner(kind, new)
        if owner != self._tenant:
            what = f"{kind.name} {new.get('name')} belongs to tenant {owner}, this is tenant {self._tenant}"
            raise Refused(what, hint=f"switchto tenant {ADMIN} to import for others")

    def _refuse_twins(self) -> None:
        """Refuse two objects of one identity, since nobody knows which one is meant."""
        names: dict[Target, _Object] = {}
        uuids: dict[tuple[str, str], _Object] = {}
        for one in self._objects:
            new, segment = one.document, one.kind.segment
            if not isinstance(new.get("name"), str):
                continue
            where = one.target = document.place(one.kind, new)
            other = names.setdefault(where, one)
            if other is not one:
                there = f"tenant {where.tenant}{document.in_cloud(where.cloud)}"
                what = f"{one.kind.name} {new.get('name')} of {there} stands twice"
                places = f"{other.place} and {one.place}"
                self._fault(one, InvalidObject(f"{what}: {places}", path="name", hint="each object once"))
            uuid = new.get("uuid")
            if not self._keep_uuid or not isinstance(uuid, str):
                continue
            if segment == "debugvirtualservice":  # the appliance gives it that of its virtual service
                uuid = new["uuid"] = f"debug{uuid}" if uuid.startswith("virtualservice-") else uuid
            same = uuids.setdefault((segment, uuid), one)
            if same not in (one, other):
                what = f"{one.kind.name} {new.get('name')}: uuid {uuid} stands twice: {same.place} and {one.place}"
                self._fault(one, InvalidObject(what, path="uuid", hint="each uuid once, or no keep_uuid"))

    def _put(self, one: _Object) -> None:
        kind, new, name = one.kind, one.document, one.kind.name
        try:
            stored = self._stored(one)
            new.pop(HIDDEN_STATE, None)
            if not self._keep_uuid:
                new.pop("uuid", None)
            if not isinstance(new.get("uuid", ""), str):
                raise InvalidObject(f"{name} {new.get('name')}: uuid is {new['uuid']!r}, not text", path="uuid")
            put = self._made.put(kind, new, one.target.tenant if one.target else ADMIN, stored, own=True)
            self._moved |= stored is not None and stored.target != put.entry.target
        except InvalidObject as exc:
            self._fault(one, exc, *exc.others)
        except Refused as exc:
            self._fault(one, exc)
        else:
            if put.created or put.changed:
                self._unknown.update({(name, path): (new.get("name"), known) for path, known in one.unknown.items()})
            (self._done.created if put.created else self._done.changed if put.changed else self._done.same)[name] += 1

    def _stored(self, one: _Object) -> Entry | None:
        """The object that one of the file replaces. Raises Refused."""
        kind, uuid = one.kind, one.document.get("uuid")
        if self._keep_uuid and isinstance(uuid, str) and (uuid in self._places or self._moved):
            stored = self._store.by_uuid(uuid)
            if stored is not None and stored.kind == kind.segment:
                if self._tenant not in (ALL, stored.tenant):
                    what = f"{kind.name} {one.document.get('name')}: its uuid belongs to tenant {stored.tenant}"
                    raise Refused(what, hint="no keep_uuid")
                return stored
        if one.target is None or not (one.target in self._places or self._moved):
            return None
        return self._store.at_target(one.target)

    def _fault(self, one: _Object, *faults: ShellError) -> None:
        for fault in faults:
            one.refused = True
            fault.path = f"{one.place}.{fault.path}" if fault.path else one.place
            self._faults.append(fault)

    def _collect(self) -> None:
        """The faults between objects, each at its place in the file where it is about an object that stands there."""
        places: dict[tuple[str, str], list[_Object]] = {}
        for one in self._objects:
            places.setdefault((one.kind.segment, str(one.document.get("name"))), []).append(one)
        for segment, name, fault in self._made.faults:
            there = places.get((segment, name), [])
            if len(there) == 1:
                self._fault(there[0], fault)
            else:
                self._faults.append(fault)


def _sorted(data: Any) -> tuple[dict[str, list[Document]], dict[str, Any]]:
    """An export's objects by segment, and what is of no kind of the model. The names of kinds may be written in any
    case: what is meant must not be taken for a kind without effect. Raises Refused for another shape."""
    if not isinstance(data, dict):
        raise Refused("not an export", hint="a JSON object: {kind: [objects]}")
    names: dict[str, str] = {}
    for name in data:
        if name.lower() in schema.SEGMENTS and names.setdefault(name.lower(), name) != name:
            raise Refused(
                f"not an export: {names[name.lower()]} and {name} are one kind", hint="all of a kind in one list"
            )
    known: dict[str, list[Document]] = {}
    for segment in schema.SEGMENTS:
        objects = data.get(names.get(segment, ""), [])
        if not isinstance(objects, list) or not all(isinstance(new, dict) for new in objects):
            raise Refused(f"not an export: {names[segment]} is not a list of objects")
        known[segment] = objects
    if not names and META not in data and not all(isinstance(body, list) for body in data.values()):
        raise Refused("not an export: it holds no kind of objects", hint="export configuration file F writes one")
    return known, {name: body for name, body in data.items() if name != META and name.lower() not in names}
