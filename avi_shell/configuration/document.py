"""Documents: the objects of the configuration as plain dictionaries, in the appliance's JSON form.

Field names of the object model, references as `/api/pool/?name=p1&tenant=admin`, addresses as
`{"addr": "10.1.1.1", "type": "V4"}`, prefixes as `{"ip_addr": {…}, "mask": 24}`, enumerations in upper case. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

from grammar import relations, schema

Document = dict[str, Any]

ADMIN = "admin"
"""The tenant that owns what every other tenant may use."""

DEFAULT_CLOUD = "Default-Cloud"
"""The cloud of what names none."""

ALL = "*"
"""In a tenant's place: the objects of every tenant."""

SECRET = "<sensitive>"
"""What is shown in a secret's place."""

HIDDEN_STATE = "_last_modified"
"""The hidden field that tells whether an open document is still the stored one."""

_SAFE = " !$'()*,/:;@~[]{}|^`<>\"\\"  # what stands for itself in a reference; only & = + # % and ? would mislead


def reference(segment: str, name: str, tenant: str = ADMIN) -> str:
    """The reference to an object. Tenants stand outside tenants: `/api/tenant/?name=admin`."""
    owner = "" if segment == "tenant" else f"&tenant={quote(tenant, safe=_SAFE)}"
    return f"/api/{segment}/?name={quote(name, safe=_SAFE)}{owner}"


def reference_parts(ref: str) -> tuple[str, str, str]:
    """Segment, name and tenant of a reference, in whichever order its parameters stand. Raises ValueError."""
    path, _, query = ref.partition("?")
    pieces = path.strip("/").split("/")
    parameters = dict(piece.partition("=")[::2] for piece in query.split("&"))
    if len(pieces) != 2 or pieces[0] != "api" or not parameters.get("name"):
        raise ValueError(f"{ref!r} is not a reference of the form /api/KIND/?name=NAME&tenant=TENANT")
    return pieces[1], unquote(parameters["name"]), unquote(parameters.get("tenant", "")) or ADMIN


def reference_name(ref: str) -> str:
    """The name in a reference; the text itself where it is none (carried references of other forms)."""
    try:
        return reference_parts(ref)[1]
    except ValueError:
        return ref.rpartition("#")[2]


def tenant_of(document: Document) -> str:
    """The tenant that a stored document belongs to."""
    ref = document.get("tenant_ref")
    return reference_name(ref) if isinstance(ref, str) else ADMIN


def owner(kind: schema.Kind, document: Document) -> str:
    """The tenant that an object of a kind belongs to; tenants are admin's."""
    return ADMIN if kind.segment == "tenant" else tenant_of(document)


def cloud_of(kind: schema.Kind, document: Document) -> str:
    """The cloud that an object belongs to; "" for kinds that belong to none."""
    if "cloud_ref" not in kind.root.fields:
        return ""
    ref = document.get("cloud_ref")
    return reference_name(ref) if isinstance(ref, str) else DEFAULT_CLOUD


def owned_name(name: str, tenant: str) -> str:
    """A name that is told apart from the same one of another tenant: those of others than admin carry theirs."""
    return name if tenant == ADMIN else f"{tenant}/{name}"


def address_text(value: Document) -> str:
    """An address as typed and shown."""
    return str(value.get("addr", ""))


def prefix_text(value: Document) -> str:
    """A prefix as typed and shown."""
    return f"{address_text(value.get('ip_addr', {}))}/{value.get('mask', '')}"


def token_text(message: schema.Message, value: Document) -> str:
    """The one word for a message that is typed and shown as one: an address or a prefix."""
    return prefix_text(value) if "mask" in message.fields else address_text(value)


def with_defaults(kind: schema.Kind, document: Document) -> Document:
    """A new document with every default at every present message, fields in table order, unknown fields after them.

    A union's missing `type` follows the one alternative that is present. Carried fields are kept, never added.
    """
    return _complete(kind, kind.root, document)


def message_with_defaults(kind: schema.Kind, message: schema.Message, document: Document) -> Document:
    """The same for one message of a kind."""
    return _complete(kind, message, document)


def _complete(kind: schema.Kind, message: schema.Message, document: Document) -> Document:
    complete: Document = {}
    for field in message.fields.values():
        if field.name in document:
            complete[field.name] = _completed_value(kind, field, document[field.name])
        elif field.scope == "l4":
            value = _union_type(message, document) if field.name == "type" else None
            value = field.default if value is None else value
            if value is not None:
                complete[field.name] = value
    complete.update((name, _copy(value)) for name, value in document.items() if name not in message.fields)
    return complete


def _completed_value(kind: schema.Kind, field: schema.Field, value: Any) -> Any:
    message = kind.message(field)
    if message is None or field.scope != "l4":
        return _copy(value)
    if isinstance(value, list):
        return [_complete(kind, message, item) if isinstance(item, dict) else item for item in value]
    return _complete(kind, message, value) if isinstance(value, dict) else value


def _union_type(message: schema.Message, document: Document) -> str | None:
    alternatives = relations.ALTERNATIVES.get(message.name, {})
    present = [type_ for name, type_ in alternatives.items() if name in document]
    return present[0] if len(present) == 1 else None


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


copy: Callable[[Document], Document] = _copy
"""A deep copy of a document."""


def map_references(kind: schema.Kind, document: Document, change: Callable[[schema.Field, str], str]) -> Document:
    """A copy with every reference field's text changed, those inside messages too; a list names nobody twice."""
    return _map_references(kind, kind.root, document, change)


def _map_references(
    kind: schema.Kind, message: schema.Message, document: Document, change: Callable[[schema.Field, str], str]
) -> Document:
    def changed(field: schema.Field, value: Any) -> Any:
        if isinstance(value, list):
            items = [changed(field, item) for item in value]
            return (
                list(dict.fromkeys(items)) if field.type == "ref" and all(isinstance(i, str) for i in items) else items
            )
        if field.type == "ref" and isinstance(value, str):
            return change(field, value)
        inner = kind.message(field)
        if inner is not None and isinstance(value, dict):
            return _map_references(kind, inner, value, change)
        return _copy(value)

    fields = message.fields
    return {name: changed(fields[name], item) if name in fields else _copy(item) for name, item in document.items()}


def without_secrets(kind: schema.Kind, document: Document) -> Document:
    """A copy with SECRET in the place of every secret of the model."""

    def changed(message: schema.Message, held: Document) -> Document:
        return {name: value(message.fields.get(name), item) for name, item in held.items()}

    def value(field: schema.Field | None, item: Any) -> Any:
        if isinstance(item, list):
            return [value(field, one) for one in item]
        if field is not None and field.sensitive:
            return SECRET
        inner = kind.message(field) if field is not None else None
        return changed(inner, item) if inner is not None and isinstance(item, dict) else item

    return changed(kind.root, document)


def references(kind: schema.Kind, document: Document) -> Iterator[tuple[str, schema.Field, str]]:
    """Every reference in a document to a kind of the model: the field's path, the field, the reference."""
    return _references(kind, kind.root, document, "")


def _references(
    kind: schema.Kind, message: schema.Message, document: Document, path: str
) -> Iterator[tuple[str, schema.Field, str]]:
    for name, value in document.items():
        field = message.fields.get(name)
        if field is None or field.type not in ("ref", "message"):
            continue
        for place, item in _items(f"{path}{name}", value):
            if field.type == "ref" and isinstance(item, str) and field.ref in _KINDS:
                yield place, field, item
            elif isinstance(item, dict) and (inner := kind.message(field)) is not None:
                yield from _references(kind, inner, item, f"{place}.")


def _items(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(value, 1))
    else:
        yield path, value


_KINDS = frozenset(schema.SEGMENTS.values())
