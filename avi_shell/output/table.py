"""Objects as rows of names and values. Pure: documents in, rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from avi_shell.configuration.document import SECRET, Document, reference_name, token_text
from avi_shell.output.secret import is_secret
from grammar import schema

Row = tuple[str, str]
Wanted = Callable[[Document, str], bool]
"""Message and name of a field → whether a brief table shows it though it equals its default."""


def nothing(_message: Document, _name: str) -> bool:
    """A brief table shows nothing that equals its default."""
    return False


def object_rows(kind: schema.Kind, document: Document, *, brief: Wanted | None = None) -> list[Row]:
    """Indented names and values of an object, in the model's row order. brief: without what equals its default, but
    for what this wants; None: everything."""
    return message_rows(kind, kind.root, document, brief=brief)


def message_rows(
    kind: schema.Kind, message: schema.Message, document: Document, *, brief: Wanted | None = None
) -> list[Row]:
    """The rows of one message of a kind, as `where` and `show` print them in its mode."""
    return list(_rows(kind, message, document, 0, brief))


def value_text(field: schema.Field, value: Any) -> str:
    """One scalar as shown: with its unit, references by name, secrets hidden."""
    if field.sensitive or (is_secret(field.name) and isinstance(value, str)):
        return SECRET
    if field.type == "ref":
        return reference_name(str(value))
    if field.unit and not isinstance(value, bool):
        return f"{value} {field.unit}"
    return str(value)


def _rows(
    kind: schema.Kind, message: schema.Message, document: Document, depth: int, brief: Wanted | None
) -> Iterator[Row]:
    for field in message.fields.values():
        if field.scope == "hidden" or field.name not in document:
            continue
        value = document[field.name]
        is_default = field.default is not None and value == field.default
        if brief is not None and is_default and not brief(document, field.name):
            continue
        if isinstance(value, list):
            for index, item in enumerate(value, 1):
                yield from _value_rows(kind, field, f"{field.name}[{index}]", item, depth, brief)
        else:
            yield from _value_rows(kind, field, field.name, value, depth, brief)


def _value_rows(
    kind: schema.Kind, field: schema.Field, label: str, value: Any, depth: int, brief: Wanted | None
) -> Iterator[Row]:
    name = "  " * depth + label
    message = kind.message(field)
    if not isinstance(value, dict):
        yield name, value_text(field, value)
    elif message is None:
        yield name, ""
        yield from _plain_rows(value, depth + 1)
    elif message.one_token:
        yield name, token_text(message, value)
    else:
        yield name, ""
        yield from _rows(kind, message, value, depth + 1, brief)


def _plain_rows(document: Document, depth: int) -> Iterator[Row]:
    """Rows of a message that the model does not describe: carried, in the order it came."""
    for name, value in document.items():
        items = (
            [(f"{name}[{i}]", item) for i, item in enumerate(value, 1)] if isinstance(value, list) else [(name, value)]
        )
        for label, item in items:
            shown = SECRET if is_secret(name) and isinstance(item, str) else str(item)
            yield "  " * depth + label, "" if isinstance(item, dict) else shown
            if isinstance(item, dict):
                yield from _plain_rows(item, depth + 1)
