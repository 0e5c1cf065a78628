"""Checks of an object alone: required fields, types, ranges, numbers of elements, keys, addresses. Pure.

What the model carries without understanding it (scope `carried`, unknown fields) is not looked into.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from avi_shell.configuration.document import Document, address_text, reference_parts, token_text
from avi_shell.errors import InvalidObject
from grammar import relations, schema

_PYTHON: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int32": (int,),
    "uint32": (int,),
    "uint64": (int,),
    "float": (int, float),
    "double": (int, float),
    "string": (str,),
    "enum": (str,),
    "ref": (str,),
    "message": (dict,),
}


def check(kind: schema.Kind, document: Document) -> None:
    """Check a completed document. Raises InvalidObject for the first fault, in table order."""
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        raise InvalidObject(f"{kind.name}: it has no name", path="name")
    if not name.isprintable():
        raise InvalidObject(f"{kind.name} {name!r}: a name is one line of printable characters", path="name")
    _Checker(kind, f"{kind.name} {name}").message(kind.root, document, "")


def settle_union(kind: schema.Kind, document: Document, stored: Document | None) -> list[str]:
    """Drop the alternatives that a change of `type` left behind, in place. Returns the notices.

    An alternative that contradicts `type` and was not left behind (it is new, and nothing stands in its place) stays:
    `check` refuses it.
    """
    notices = []
    for place, message, value, before in _unions(kind, document, stored or {}):
        alternatives = relations.ALTERNATIVES[message.name]
        chosen = value.get("type")
        replaced = any(type_ == chosen and name in value for name, type_ in alternatives.items())
        for name, type_ in alternatives.items():
            left_behind = name in before and before.get("type") == type_
            if name in value and type_ != chosen and (replaced or left_behind):
                del value[name]
                notices.append(
                    f"{kind.name} {document.get('name')}: {place}{name} is dropped: {place}type is {chosen} now"
                )
    return notices


def _unions(
    kind: schema.Kind, document: Document, stored: Document
) -> list[tuple[str, schema.Message, Document, Document]]:
    found = [("", kind.root, document, stored)] if kind.name in relations.ALTERNATIVES else []
    for field in kind.root.fields.values():
        value = document.get(field.name)
        message = kind.message(field)
        if message is not None and message.name in relations.ALTERNATIVES and isinstance(value, dict):
            found.append((f"{field.name}.", message, value, stored.get(field.name) or {}))
    return found


class _Checker:
    """Walks one document; `subject` begins every refusal."""

    def __init__(self, kind: schema.Kind, subject: str) -> None:
        self._kind = kind
        self._subject = subject

    def message(self, message: schema.Message, document: Document, path: str) -> None:
        for field in message.fields.values():
            if field.scope != "l4":
                continue
            place = f"{path}{field.name}"
            if field.name in document:
                self._field(message, field, document[field.name], place)
            elif field.required:
                raise self._refusal(place, "is required", hint=f"set {field.name}")
        self._union(message, document, path)
        if message.name == "Service":
            self._ports(document, path)

    def _field(self, message: schema.Message, field: schema.Field, value: Any, place: str) -> None:
        if not field.repeated:
            self._value(field, value, place)
            return
        if not isinstance(value, list):
            raise self._refusal(place, "must be a list")
        if field.max_items is not None and len(value) > field.max_items:
            raise self._refusal(place, f"has {len(value)} elements, at most {field.max_items} are possible")
        if field.min_items is not None and len(value) < field.min_items:
            raise self._refusal(place, f"has {len(value)} elements, at least {field.min_items} are needed")
        for index, item in enumerate(value, 1):
            self._value(field, item, f"{place}[{index}]")
        self._keys(message, field, value, place)

    def _value(self, field: schema.Field, value: Any, place: str) -> None:
        if type(value) not in _PYTHON[field.type]:
            raise self._refusal(place, f"is {value!r}, not of type {field.type}")
        if field.type == "message":
            self._held(field, value, place)
        elif field.type == "enum":
            values = schema.enums().get(field.enum or "", ())
            if value not in values:
                raise self._refusal(place, f"is {value}, which it cannot be", hint=f"one of {', '.join(values)}")
        elif field.type == "ref":
            self._reference(field, value, place)
        elif not isinstance(value, (str, bool)) and value not in field.special:
            self._range(field, value, place)

    def _held(self, field: schema.Field, value: Document, place: str) -> None:
        message = self._kind.message(field)
        if message is None:
            return
        if message.one_token:
            self._token(message, value, place)
        else:
            self.message(message, value, f"{place}.")

    def _range(self, field: schema.Field, value: float, place: str) -> None:
        low, high = field.minimum, field.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            others = "".join(f", {number} = {meaning}" for number, meaning in field.special.items())
            raise self._refusal(place, f"is {value}, out of range", hint=f"<{low}-{high}>{others}")

    def _reference(self, field: schema.Field, value: str, place: str) -> None:
        try:
            segment, _, _ = reference_parts(value)
        except ValueError as exc:
            raise self._refusal(place, f"is {value!r}, not a reference", hint=str(exc)) from exc
        if schema.SEGMENTS.get(segment) != field.ref:
            raise self._refusal(place, f"refers to a {segment}, not to a {field.ref}")

    def _token(self, message: schema.Message, value: Document, place: str) -> None:
        inner = value.get("ip_addr") if "mask" in message.fields else value
        if not isinstance(inner, dict) or not isinstance(inner.get("addr"), str):
            raise self._refusal(place, f"is {value!r}, not an address")
        type_ = inner.get("type")
        if type_ not in schema.enums()["IPADDR_TYPE"]:
            raise self._refusal(place, f"has an address of type {type_!r}", hint="V4, V6 or DNS")
        if type_ != "DNS":
            try:
                right = ipaddress.ip_address(inner["addr"]).version == int(type_[1:])
            except ValueError:
                right = False
            if not right:
                raise self._refusal(place, f"is {inner['addr']!r}, not an address of type {type_}")
        if "mask" in message.fields:
            mask, widest = value.get("mask"), 32 if type_ == "V4" else 128
            if not isinstance(mask, int) or isinstance(mask, bool) or not 0 <= mask <= widest:
                raise self._refusal(place, f"has the prefix length {mask!r}", hint=f"<0-{widest}>")

    def _keys(self, message: schema.Message, field: schema.Field, items: list[Document], place: str) -> None:
        held = self._kind.message(field)
        if held is None or held.name not in relations.KEYS or held.name == "Service":
            return  # a service's port may stand twice, once a protocol: rules across objects tell
        names = relations.KEYS[held.name][0]
        seen: dict[tuple[Any, ...], int] = {}
        for index, item in enumerate(items, 1):
            key = tuple(_key_text(self._kind, held, name, item.get(name)) for name in names)
            if key[0] is None:
                continue
            if key in seen:
                shown = ", ".join(f"{n}={v}" for n, v in zip(names, key, strict=True) if v is not None)
                raise self._refusal(f"{place}[{index}]", f"is the same as {field.name}[{seen[key]}]: {shown}")
            seen[key] = index

    def _union(self, message: schema.Message, document: Document, path: str) -> None:
        chosen = document.get("type")
        for name, type_ in relations.ALTERNATIVES.get(message.name, {}).items():
            if name in document and type_ != chosen:
                raise self._refusal(
                    f"{path}type",
                    f"is {chosen}, but {path}{name} is entered, which belongs to {type_}",
                    hint=f"type {type_.lower()}, or no {name}",
                )

    def _ports(self, document: Document, path: str) -> None:
        port, end = document["port"], document.get("port_range_end")
        if end is not None and end < port:
            raise self._refusal(f"{path}port_range_end", f"is {end}, before the range's first port {port}")

    def _refusal(self, place: str, rule: str, *, hint: str = "") -> InvalidObject:
        return InvalidObject(f"{self._subject}: {place} {rule}", path=place, hint=hint)


def _key_text(kind: schema.Kind, message: schema.Message | None, name: str, value: Any) -> Any:
    if not isinstance(value, dict) or message is None:
        return value
    inner = kind.message(message.fields[name])
    return token_text(inner, value) if inner is not None else address_text(value)
