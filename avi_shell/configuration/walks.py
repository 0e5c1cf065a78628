"""Walks over documents: their defaults, copies, and references. Pure.

What a walk looks for is prepared once for every message of the model: an import walks through thousands of documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from grammar import relations, schema

Document = dict[str, Any]


def copy(value: Any) -> Any:
    """A deep copy of a document, or of a value in one."""
    if type(value) is dict:
        return {name: copy(item) if type(item) in _HOLDERS else item for name, item in value.items()}
    if type(value) is list:
        return [copy(item) if type(item) in _HOLDERS else item for item in value]
    return value


_HOLDERS = (dict, list)


def with_defaults(kind: schema.Kind, document: Document) -> Document:
    """A new document with every default at every present message, fields in table order, unknown fields after them.

    A union's missing `type` follows the one alternative that is present. Carried fields are kept, never added.
    """
    return message_with_defaults(kind, kind.root, document)


def message_with_defaults(kind: schema.Kind, message: schema.Message, document: Document) -> Document:
    """The same for one message of a kind."""
    shape = _shape(kind.segment, message.name, tuple(document))
    made = shape.template.copy()
    for name, inner in shape.present:
        value = document[name]
        if type(value) not in _HOLDERS:
            made[name] = value
        elif inner is None:
            made[name] = copy(value)
        elif type(value) is dict:
            made[name] = message_with_defaults(kind, inner, value)
        else:
            made[name] = [message_with_defaults(kind, inner, item) if type(item) is dict else item for item in value]
    return made


class _Shape(NamedTuple):
    """How to complete a document that has certain fields."""

    template: Document  # defaults, and None in the places of what is there, in order
    present: tuple[tuple[str, schema.Message | None], ...]  # what is there, and the message in which defaults are added


@lru_cache(4096)
def _shape(segment: str, name: str, there: tuple[str, ...]) -> _Shape:
    kind = schema.kind(segment)
    message = kind.messages[name]
    template: Document = {}
    for field in message.fields.values():
        if field.name in there:
            template[field.name] = None
        elif field.described:
            value = _union_type(message, there) if field.name == "type" else None
            value = field.default if value is None else value
            if value is not None:
                template[field.name] = value
    template.update((unknown, None) for unknown in there if unknown not in message.fields)
    return _Shape(template, tuple((held, _completed(kind, message, held)) for held in there))


def _completed(kind: schema.Kind, message: schema.Message, name: str) -> schema.Message | None:
    field = message.fields.get(name)
    return kind.message(field) if field is not None and field.described else None


def _union_type(message: schema.Message, there: tuple[str, ...]) -> str | None:
    alternatives = relations.ALTERNATIVES.get(message.name, {})
    present = [type_ for name, type_ in alternatives.items() if name in there]
    return present[0] if len(present) == 1 else None


def map_references(kind: schema.Kind, document: Document, change: Callable[[schema.Field, str], str]) -> Document:
    """A copy with every reference field's text changed, those inside messages too; a list names nobody twice."""
    return _map_references(kind, kind.root, document, change)


def _map_references(
    kind: schema.Kind, message: schema.Message, document: Document, change: Callable[[schema.Field, str], str]
) -> Document:
    paths = _paths(kind.segment, message.name)
    made: Document = {}
    for name, value in document.items():
        known = paths.get(name)
        if known is None:
            made[name] = copy(value) if type(value) in _HOLDERS else value
        elif isinstance(value, list):
            items = [_mapped(kind, known, item, change) for item in value]
            texts = known.inner is None and all(isinstance(item, str) for item in items)
            made[name] = list(dict.fromkeys(items)) if texts else items
        else:
            made[name] = _mapped(kind, known, value, change)
    return made


def _mapped(kind: schema.Kind, known: _Path, value: Any, change: Callable[[schema.Field, str], str]) -> Any:
    if known.inner is None:
        return change(known.field, value) if isinstance(value, str) else copy(value)
    return _map_references(kind, known.inner, value, change) if isinstance(value, dict) else copy(value)


Reference = tuple[str, schema.Field, str]
"""A reference in a document: the field's path, the field, the text."""


def references(kind: schema.Kind, document: Document) -> list[Reference]:
    """Every reference in a document to a kind of the model."""
    found: list[Reference] = []
    _references(kind, kind.root, document, "", found)
    return found


def _references(
    kind: schema.Kind, message: schema.Message, document: Document, path: str, found: list[Reference]
) -> None:
    for name, field, inner in _paths_in(kind.segment, message.name, tuple(document)):
        value, place = document[name], f"{path}{name}"
        if inner is None and type(value) is str:
            found.append((place, field, value))
            continue
        items = enumerate(value, 1) if type(value) is list else ((0, value),)
        for index, item in items:
            there = f"{place}[{index}]" if index else place
            if inner is None and isinstance(item, str):
                found.append((there, field, item))
            elif inner is not None and isinstance(item, dict):
                _references(kind, inner, item, f"{there}.", found)


class _Path(NamedTuple):
    """A field that is a reference, or whose message holds some."""

    field: schema.Field
    inner: schema.Message | None  # None: it is a reference itself


@cache
def _paths(segment: str, name: str) -> Mapping[str, _Path]:
    """The fields of a message that lead to references, in table order."""
    return _leading(schema.kind(segment), schema.kind(segment).messages[name], frozenset())


@lru_cache(4096)
def _paths_in(segment: str, name: str, there: tuple[str, ...]) -> list[tuple[str, schema.Field, schema.Message | None]]:
    """The same, of a message with certain fields: those that lead to kinds of the model."""
    paths = [(name, *path) for name, path in _paths(segment, name).items() if name in there]
    return [(name, field, inner) for name, field, inner in paths if inner is not None or field.ref in _KINDS]


def _leading(kind: schema.Kind, message: schema.Message, above: frozenset[str]) -> dict[str, _Path]:
    found = {}
    for field in message.fields.values():
        inner = kind.message(field)
        if field.type == "ref":
            found[field.name] = _Path(field, None)
        elif inner is not None and inner.name not in above and _leading(kind, inner, above | {message.name}):
            found[field.name] = _Path(field, inner)
    return found


_KINDS = frozenset(schema.SEGMENTS.values())
