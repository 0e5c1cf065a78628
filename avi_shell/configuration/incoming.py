"""Reads documents from outside, in any form that protobuf's JSON mapping allows, into the model's form. Pure.

https://protobuf.dev/programming-guides/json: numbers and booleans may be text, null is a field that is not there, an
enumeration's value may be its number. After this, every message and every list of the model has its shape, and other
code may rely on it. Types and ranges of single values are `validation`'s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from avi_shell.configuration.document import SECRET, Document, copy
from avi_shell.errors import InvalidObject
from grammar import schema

Resolve = Callable[[schema.Field, str, str], str]
"""Field, reference as it was written, place → the reference with a name. Raises InvalidObject."""


@dataclass(slots=True)
class Read:
    """A document that was read."""

    document: Document = field(default_factory=dict)  # in the form of the model, as far as there were no faults
    faults: list[InvalidObject] = field(default_factory=list)  # in its order
    numbered: list[str] = field(default_factory=list)  # enumerations by number: "lb_algorithm 3 = …"
    unknown: dict[str, Collection[str]] = field(default_factory=dict)  # "servers.ratoi" → the known fields there


def read(kind: schema.Kind, document: Document, resolve: Resolve = lambda _field, ref, _place: ref) -> Read:
    """A copy of a document in the form of the model, what is only carried too."""
    name = document.get("name")
    found = Read()
    reader = _Reader(kind, f"{kind.name} {name}" if isinstance(name, str) and name.isprintable() else kind.name, found)
    reader.resolve = resolve
    found.document = reader.message(kind.root, document, "")
    return found


def check(kind: schema.Kind, document: Document) -> None:
    """Raises InvalidObject for the first fault in the shape of a document."""
    for fault in read(kind, document).faults:
        raise fault


class _Reader:
    """Walks one document; `subject` begins every refusal."""

    resolve: Resolve

    def __init__(self, kind: schema.Kind, subject: str, found: Read) -> None:
        self._kind, self._subject, self._found = kind, subject, found

    def message(self, message: schema.Message, document: Document, path: str) -> Document:
        made: Document = {}
        rows = _rows(self._kind.segment, message.name)
        for name, value in document.items():
            known, plain, words = rows.get(name, _UNKNOWN)
            if type(value) is plain and (value in words if words else value != SECRET):
                made[name] = value
            elif known is None:
                self._secrets(value, f"{path}{name}")
                made[name] = copy(value)
                self._found.unknown[_INDEX.sub("", f"{path}{name}")] = rows.keys()
            elif value is None:
                continue
            elif known.repeated:
                made[name] = self._list(known, value, f"{path}{name}")
            else:
                made[name] = self._value(known, value, path, name)
        return made

    def _list(self, known: schema.Field, value: Any, place: str) -> Any:
        if not isinstance(value, list):
            return self._refuse(place, value, "a list")
        items = [self._value(known, item, place, f"[{at}]") for at, item in enumerate(value, 1)]
        if known.type == "ref" and all(isinstance(item, str) for item in items):
            return list(dict.fromkeys(items))  # a list names nobody twice
        return items

    def _value(self, known: schema.Field, value: Any, path: str, name: str) -> Any:
        type_ = known.type
        if type_ == "message":
            if not isinstance(value, dict):
                return self._refuse(f"{path}{name}", value, "a message")
            inner = self._kind.messages.get(known.message or "")
            if inner is not None:
                return self.message(inner, value, f"{path}{name}.")
            self._secrets(value, f"{path}{name}")
            return copy(value)
        if isinstance(value, dict | list):
            return self._refuse(f"{path}{name}", value, "one value")
        if type_ == "ref":
            if not isinstance(value, str):
                return self._refuse(f"{path}{name}", value, "a reference")
            try:
                return self.resolve(known, value, f"{path}{name}")
            except InvalidObject as fault:
                self._found.faults.append(InvalidObject(f"{self._subject}: {fault.what}", path=fault.path))
                return value
        if value == SECRET:
            self._secrets(value, f"{path}{name}")
        if type_ == "enum":
            return self._enumeration(known, value, f"{path}{name}")
        return value if type(value) is _PLAIN[type_] else _CONVERTED[type_](value)

    def _enumeration(self, known: schema.Field, value: Any, place: str) -> Any:
        values = schema.enums().get(known.enum or "", ())
        if value in values:
            return value
        if type(value) is int and 0 <= value < len(values):
            self._found.numbered.append(f"{self._subject}: {place} {value} = {values[value]}")
            return values[value]
        return value.upper() if isinstance(value, str) and value.upper() in values else value

    def _secrets(self, value: Any, place: str) -> None:
        """Refuse the mask of a hidden secret, which would replace the secret."""
        if isinstance(value, dict):
            for name, inner in value.items():
                self._secrets(inner, f"{place}.{name}")
        elif isinstance(value, list):
            for index, inner in enumerate(value, 1):
                self._secrets(inner, f"{place}[{index}]")
        elif value == SECRET:
            what = f"{self._subject}: {place} is {SECRET}, which stands for a secret that was not shown"
            hint = "the secret itself, or leave the field out"
            self._found.faults.append(InvalidObject(what, path=place, hint=hint))

    def _refuse(self, place: str, value: Any, expected: str) -> Any:
        shown = ascii(value)
        if value and isinstance(value, dict | list):  # what it holds may be a secret
            shown = "an object" if isinstance(value, dict) else "a list"
        shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
        fault = f"must be {expected}, not {shown}" if expected == "a list" else f"is {shown}, not {expected}"
        self._found.faults.append(InvalidObject(f"{self._subject}: {place} {fault}", path=place))
        return value


class _Row(NamedTuple):
    """A field, and which of its values need no check."""

    field: schema.Field | None = None  # None: the model does not know it
    plain: type | None = None  # the type of such values; None: there are none
    words: Collection[str] = ()  # an enumeration's; others: every value


_UNKNOWN = _Row()
_INDEX = re.compile(r"\[[0-9]+\]")


@cache
def _rows(segment: str, name: str) -> Mapping[str, _Row]:
    """The fields of a message."""
    fields = schema.kind(segment).messages[name].fields
    return {name: _row(field) for name, field in fields.items()}


def _row(field: schema.Field) -> _Row:
    if field.repeated:
        return _Row(field)
    words = frozenset(schema.enums().get(field.enum or "", ())) if field.type == "enum" else ()
    return _Row(field, str if words else _PLAIN.get(field.type), words)


_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")

_PLAIN: Mapping[str, type] = {
    "bool": bool,
    "float": float,
    "double": float,
    "string": str,
    **dict.fromkeys(schema.INTEGERS, int),
}
"""The Python types of values that need no change, by the model's type."""


def _boolean(value: Any) -> Any:
    """What is none stays as it is, here and below: the checks name it."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _integer(value: Any) -> Any:
    number = _number(value)
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**64:
        return int(number)
    return number if isinstance(number, int) else value


def _number(value: Any) -> Any:
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        return value
    number = float(value)
    whole = value.removeprefix("-").isdecimal()
    return int(value) if whole else number if math.isfinite(number) else value


def _string(value: Any) -> Any:
    return str(value) if type(value) is int else value


_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    "bool": _boolean,
    "float": _number,
    "double": _number,
    "string": _string,
    **dict.fromkeys(schema.INTEGERS, _integer),
}
