"""The shape of documents from outside: a message where the model has one, a list where it has one, text that is text.

Whoever looks into a document after this may rely on it; types and ranges of single values are `validation`'s. Pure.
"""

from __future__ import annotations

from typing import Any

from avi_shell.configuration.document import SECRET, Document
from avi_shell.errors import InvalidObject
from grammar import schema


def check(kind: schema.Kind, document: Document) -> None:
    """Check the shape of a whole document, what is only carried too. Raises InvalidObject with the path."""
    name = document.get("name")
    subject = f"{kind.name} {name}" if isinstance(name, str) and name.isprintable() else kind.name
    _message(kind, kind.root, document, "", subject)


def _message(kind: schema.Kind, message: schema.Message, document: Document, path: str, subject: str) -> None:
    for name, value in document.items():
        place = f"{path}{name}"
        field = message.fields.get(name)
        if field is None or (value is None and field.scope != "l4"):
            _secrets(value, place, subject)
        elif field.repeated:
            if not isinstance(value, list):
                raise _refusal(subject, place, value, "a list")
            for index, item in enumerate(value, 1):
                _value(kind, field, item, f"{place}[{index}]", subject)
        else:
            _value(kind, field, value, place, subject)


def _value(kind: schema.Kind, field: schema.Field, value: Any, place: str, subject: str) -> None:
    if field.type == "message":
        if not isinstance(value, dict):
            raise _refusal(subject, place, value, "a message")
        inner = kind.message(field)
        if inner is None:
            _secrets(value, place, subject)
        else:
            _message(kind, inner, value, f"{place}.", subject)
    elif isinstance(value, dict | list):
        raise _refusal(subject, place, value, "one value")
    elif field.type == "ref" and not isinstance(value, str):
        raise _refusal(subject, place, value, "a reference")
    else:
        _secrets(value, place, subject)


def _secrets(value: Any, place: str, subject: str) -> None:
    """Refuse what stands for a secret that was not shown: it would take the secret's place."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _secrets(inner, f"{place}.{name}", subject)
    elif isinstance(value, list):
        for index, inner in enumerate(value, 1):
            _secrets(inner, f"{place}[{index}]", subject)
    elif value == SECRET:
        what = f"{subject}: {place} is {SECRET}, which stands for a secret that was not shown"
        raise InvalidObject(what, path=place, hint="the secret itself, or leave the field out")


def _refusal(subject: str, place: str, value: Any, expected: str) -> InvalidObject:
    shown = ascii(value)
    shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
    fault = f"must be {expected}, not {shown}" if expected == "a list" else f"is {shown}, not {expected}"
    return InvalidObject(f"{subject}: {place} {fault}", path=place)
