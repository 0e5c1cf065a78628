"""The running configuration: lines that, fed to an empty shell, recreate the configuration.

An object is written as what differs from what a shell would have without the lines: a new object's defaults, or the
default object of that name. Only names and values are written: uuids are new each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from avi_shell.configuration import defaults, document
from avi_shell.configuration.autofill import filled
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.document import ADMIN, Document
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
        self._missing = {
            document.reference(kind.segment, found["name"], document.owner(kind, found))
            for kind, found in objects
            if _default(kind, found) is None
        }

    def lines(self) -> Iterator[str]:
        """All lines."""
        tenant = ADMIN
        late: list[tuple[schema.Kind, Document, Document]] = []
        for kind, found in self._objects:
            owner = document.owner(kind, found)
            if owner != tenant:
                yield f"switchto tenant {quote(owner)}"
                tenant = owner
            default = _default(kind, found)
            before = _completed(kind, {"name": found["name"]} if default is None else default, owner)
            first = self._without_missing(kind, found, before)
            if first != found:
                late.append((kind, found, first))
            yield from _object(kind, first, before, new=default is None)
            self._missing.discard(document.reference(kind.segment, found["name"], owner))
        for kind, found, first in late:
            if document.owner(kind, found) != tenant:
                tenant = document.owner(kind, found)
                yield f"switchto tenant {quote(tenant)}"
            yield from _object(kind, found, first, new=False)
        if tenant != ADMIN:
            yield f"switchto tenant {ADMIN}"

    def _without_missing(self, kind: schema.Kind, found: Document, before: Document) -> Document:
        """The object as it can be written now: fields that refer to later objects are as they were before."""
        late = {
            path.partition(".")[0].partition("[")[0]
            for path, _, ref in document.references(kind, found)
            if ref in self._missing
        }
        kept = {name: value for name, value in found.items() if name not in late}
        return {**kept, **{name: before[name] for name in late if name in before}}


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
        return quote(document.reference_name(value))
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


def _completed(kind: schema.Kind, opened: Document, owner: str) -> Document:
    return document.with_defaults(kind, filled(kind, opened, owner))


def _default(kind: schema.Kind, found: Document) -> Document | None:
    """The default object of that name, None where there is none."""
    if document.owner(kind, found) != ADMIN:
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
        elif (held := kind.message(field)) is not None and field.scope == "l4":
            for item in value if isinstance(value, list) else [value]:
                names |= _carried(kind, held, item, known.get(name))
    return names
