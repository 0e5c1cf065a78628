"""Fields as a line names them: which ones a mode offers, how each is typed, and a word as a field's value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from grammar import schema, values
from grammar.errors import BadValue
from grammar.lexer import Word

INDEX = schema.Field("index", "uint32", "l4", 0, help="the element's number, from 1", minimum=1, maximum=2**32 - 1)
"""The word between a list's name and an element's number."""

NO = "no"


@cache
def typable(kind: str, name: str) -> Mapping[str, schema.Field]:
    """The fields that the shell offers of a message of a kind, by name, in table order."""
    return MappingProxyType({field.name: field for field in schema.kind(kind).messages[name].typable()})


def one_token(kind: schema.Kind, field: schema.Field) -> schema.Message | None:
    """A field's message where it is typed as one word (an address, a prefix); None for every other field."""
    message = kind.message(field)
    return message if message is not None and message.one_token else None


def is_mode(kind: schema.Kind, field: schema.Field) -> bool:
    """Whether a field's name enters a mode."""
    return field.type == "message" and one_token(kind, field) is None


def value_of(kind: schema.Kind, field: schema.Field, word: Word) -> Any:
    """A word as a field's value. Raises BadValue or AmbiguousWord with the field's name as path."""
    try:
        return (values.known(field) or values.reader(field, one_token(kind, field)))(word)
    except BadValue as exc:
        exc.path = exc.path or field.name
        raise


def home_of(segment: str, name: str) -> tuple[str, ...]:
    """The paths of a kind's messages that offer a field of this name, shortest first."""
    kind = schema.kind(segment)
    found: list[str] = []
    queue: list[tuple[str, schema.Message, tuple[str, ...]]] = [(segment, kind.root, (kind.root.name,))]
    for path, message, seen in queue:
        for field in message.typable():
            inner = kind.message(field)
            if field.name == name:
                found.append(path)
            if inner is not None and not inner.one_token and inner.name not in seen:
                queue.append((f"{path} {field.name}", inner, (*seen, inner.name)))
    return tuple(found)
