"""The running configuration: lines that, fed to an empty shell, recreate the configuration.

Only differences are written: from a new object's defaults, or from the default object of that name. Only names and
values are written: uuids are new each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from avi_shell.configuration import defaults, document
from avi_shell.configuration.autofill import filled
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import ADMIN, ALL, DEFAULT_CLOUD, Document, Target
from grammar import relations, schema
from grammar.lexer import quote

ORDER = (
    "tenant",
    "cloud",
    "vrfcontext",
    "serviceenginegroup",
    "healthmonitor",
    "networkprofile",
    "applicationprofile",
    "pool",
    "vsvip",
    "virtualservice",
    "serviceengine",
    "debugvirtualservice",
)
"""Kinds in an order in which what is referred to nearly always comes first; what does not is added at the end."""


def running_config(configuration: Configuration, tenant: str, *, secrets: bool = True) -> list[str]:
    """The lines for every object that a tenant sees; "*": of all tenants. They begin and end in tenant admin.

    secrets: False puts SECRET in their place, which the shell refuses to take for a value.
    """
    with configuration.snapshot():
        objects = [(schema.kind(segment), found) for segment in ORDER for found in configuration.all(segment, tenant)]
    objects.sort(
        key=lambda pair: (document.owner(*pair) != ADMIN, document.owner(*pair))
    )  # stable: admin's first, kinds in order
    if not secrets:
        objects = [(kind, document.without_secrets(kind, found)) for kind, found in objects]
    return list(_Writer(objects).lines())


class _Writer:
    """Writes objects one after the other, and knows which exist already by then."""

    def __init__(self, objects: list[tuple[schema.Kind, Document]]) -> None:
        self._objects = objects
        self._places: dict[tuple[str, str], list[Target]] = {}
        for kind, found in objects:
            self._places.setdefault((kind.segment, found["name"]), []).append(document.place(kind, found))
        self._missing = {
            document.place(kind, found).reference for kind, found in objects if _default(kind, found) is None
        }
        self._tenant, self._cloud = ADMIN, ALL

    def lines(self) -> Iterator[str]:
        """All lines."""
        late: list[tuple[schema.Kind, Document, Document]] = []
        for kind, found in self._objects:
            place, default = document.place(kind, found), _default(kind, found)
            before = self._before(kind, found) if default is None else _completed(kind, default, place.tenant)
            first = self._without_missing(kind, found, before)
            if first != found:
                late.append((kind, found, first))
            lines = list(_object(kind, self._explicit(kind, first), before, new=default is None))
            yield from [*self._switch(place), *lines] if lines else []
            self._missing.discard(place.reference)
        for kind, found, first in late:
            yield from self._switch(document.place(kind, found))
            yield from _object(kind, self._explicit(kind, found), self._explicit(kind, first), new=False)
        yield from self._switch(Target("", ADMIN, "", ""))

    def _switch(self, place: Target) -> Iterator[str]:
        """To an object's tenant, and to its cloud where another cloud has its name too."""
        if place.tenant != self._tenant:
            self._tenant = place.tenant
            yield f"switchto tenant {quote(place.tenant)}"
        cloud = place.cloud if self._is_twin(place) else ALL
        if cloud != self._cloud:
            self._cloud = cloud
            yield f"switchto cloud {quote(cloud)}"

    def _is_twin(self, place: Target) -> bool:
        return any(
            other.tenant == place.tenant and other.cloud != place.cloud
            for other in self._places.get((place.kind, place.name), ())
        )

    def _before(self, kind: schema.Kind, found: Document) -> Document:
        """What the shell would have of a new object without a line."""
        place = document.place(kind, found)
        opened: Document = {"name": place.name}
        if place.cloud not in ("", DEFAULT_CLOUD):
            opened["cloud_ref"] = document.reference("cloud", place.cloud)
        before = _completed(kind, opened, place.tenant, self._exists)
        if "cloud_ref" in opened and not self._is_twin(place) and kind.segment != "debugvirtualservice":
            before["cloud_ref"] = document.reference("cloud", DEFAULT_CLOUD)  # its own is typed
        return before

    def _exists(self, ref: str) -> bool:
        known = document.target(ref)
        return known in self._places.get((known.kind, known.name), ()) and ref not in self._missing

    def _explicit(self, kind: schema.Kind, found: Document) -> Document:
        """A copy with a mark at references whose name alone is not enough."""
        place = document.place(kind, found)

        def marked(_: schema.Field, ref: str) -> str:
            try:
                wanted = document.target(ref)
            except ValueError:
                return ref
            others = self._places.get((wanted.kind, wanted.name), ())
            if len(others) < 2 or (wanted.tenant, wanted.cloud or place.cloud) == (place.tenant, place.cloud):
                return ref
            return ref if wanted == next((o for o in _seen(place, wanted) if o in others), wanted) else ref + _MARK

        return document.map_references(kind, found, marked)

    def _without_missing(self, kind: schema.Kind, found: Document, before: Document) -> Document:
        """The object as it can be written now: fields that refer to later objects keep their values from before."""
        late = {
            path.partition(".")[0].partition("[")[0]
            for path, _, ref in document.references(kind, found)
            if ref in self._missing
        }
        kept = {name: value for name, value in found.items() if name not in late}
        return {**kept, **{name: before[name] for name in late if name in before}}


_MARK = "#"
"""The mark after a reference that must be typed whole."""


def _seen(place: Target, wanted: Target) -> Iterator[Target]:
    """Where the shell looks up a name in an object's reference, in order."""
    for tenant in (place.tenant, ADMIN):
        for cloud in (place.cloud, DEFAULT_CLOUD) if wanted.cloud else ("",):
            yield wanted._replace(tenant=tenant, cloud=cloud)


def _object(kind: schema.Kind, found: Document, before: Document, *, new: bool) -> Iterator[str]:
    lines = list(_message(kind, kind.root, found, before, apart=True))
    carried = sorted(_carried(kind, kind.root, found, before))
    if carried:
        what = f"{kind.segment} {found['name']!r}: not typed, kept by export and import: {', '.join(carried)}"
        yield f"# {what}"
    if not lines and not new:
        return
    verb = "debug virtualservice" if kind.verb == "debug" else f"configure {kind.segment}"
    yield f"{verb} {quote(found['name'])}"
    yield from lines
    yield "save"


def _message(
    kind: schema.Kind, message: schema.Message, found: Document, before: Document, *, apart: bool, entry: str = ""
) -> Iterator[str]:
    """A message's lines: its scalars on the line that enters it (apart: a line each), then its own messages."""
    words: list[str] = []
    inner: list[str] = []
    for field in message.typable():
        new, old = found.get(field.name), before.get(field.name)
        if new == old or (field.name == "name" and message is kind.root):
            continue
        held = kind.message(field)
        if held is None or held.one_token:
            words.extend(_scalars(field, held, new, old))
        else:
            inner.extend(_messages(kind, field, held, new, old))
    if apart:
        yield from [entry] if entry else []
        yield from words
    elif entry:
        yield " ".join([entry, *words])
    yield from inner


def _scalars(field: schema.Field, held: schema.Message | None, new: Any, old: Any) -> Iterator[str]:
    if new is None or new is False or (field.repeated and old):
        yield f"no {field.name}"
    if new is True:
        yield field.name
    elif new is not None and new is not False:
        for value in new if field.repeated else [new]:
            yield f"{field.name} {_word(field, held, value)}"


def _messages(kind: schema.Kind, field: schema.Field, held: schema.Message, new: Any, old: Any) -> Iterator[str]:
    if new is None or (field.repeated and old):
        yield f"no {field.name}"
    if new is None:
        return
    if not field.repeated:
        base = old if old is not None else _base(kind, held, new)
        yield from _message(kind, held, new, base, apart=False, entry=field.name)
        yield "exit"
        return
    for element in new:
        # A line that names the key of an element there is already would enter that one.
        twin = held.name == "Service" and [other.get("port") for other in new].count(element.get("port")) > 1
        yield from _message(kind, held, element, _base(kind, held, element), apart=twin, entry=field.name)
        yield "exit"


def _word(field: schema.Field, held: schema.Message | None, value: Any) -> str:
    if held is not None:
        return quote(document.token_text(held, value))
    if field.type == "ref":
        whole: str = value
        return quote(whole.removesuffix(_MARK) if whole.endswith(_MARK) else document.reference_name(whole))
    return str(value).lower() if field.type == "enum" else quote(str(value))


def _base(kind: schema.Kind, message: schema.Message, found: Document) -> Document:
    """What a new message of this kind gets without being typed."""
    base = document.message_with_defaults(kind, message, {})
    if message.name == "Server":
        base["hostname"] = document.address_text(found.get("ip", {}))
    elif message.name == "Service":
        base["port_range_end"] = found.get("port")
    alternatives = relations.ALTERNATIVES.get(message.name, {})
    if any(name in found and type_ == found.get("type") for name, type_ in alternatives.items()):
        base["type"] = found["type"]  # entering the alternative sets it
    return base


def _completed(
    kind: schema.Kind, opened: Document, owner: str, exists: Callable[[str], bool] = lambda _: False
) -> Document:
    return document.with_defaults(kind, filled(kind, opened, owner, None, exists))


def _default(kind: schema.Kind, found: Document) -> Document | None:
    """The default object of that name, None where there is none."""
    if document.owner(kind, found) != ADMIN or document.cloud_of(kind, found) not in ("", DEFAULT_CLOUD):
        return None
    objects = defaults.objects().get(kind.segment, ())
    return next((default for default in objects if default["name"] == found["name"]), None)


def _carried(kind: schema.Kind, message: schema.Message, found: Document, before: Any) -> set[str]:
    """Names of what cannot be typed and is not there without being typed."""
    names = set()
    known = before if isinstance(before, dict) else {}
    for name, value in found.items():
        field = message.fields.get(name)
        if field is None or field.scope == "carried":
            names |= {name} if value != known.get(name) else set()
        elif (held := kind.message(field)) is not None and field.described:
            for item in value if isinstance(value, list) else [value]:
                names |= _carried(kind, held, item, known.get(name))
    return names
