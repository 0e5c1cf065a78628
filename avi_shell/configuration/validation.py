"""Checks of an object alone: required fields, types, ranges, numbers of elements, keys, addresses. Pure.

What the model carries without understanding it (scope `carried`, unknown fields) is not looked into.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Container, Mapping, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from avi_shell.configuration import captureorder
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
    """Check a completed document. Raises InvalidObject for the first fault, in table order; its `others` has the
    rest."""
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        raise InvalidObject(f"{kind.name}: it has no name", path="name")
    if not name.isprintable():
        raise InvalidObject(f"{kind.name} {name!r}: a name is one line of printable characters", path="name")
    checker = _Checker(kind, f"{kind.name} {name}")
    checker.message(kind.root, document, "")
    if kind.segment == "debugvirtualservice" and not checker.faults:
        checker.faults += captureorder.faults(document)
    if checker.faults:
        first, *others = checker.faults
        first.others = others
        raise first


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
    for name, message in _held_unions(kind.segment):
        value = document.get(name)
        if isinstance(value, dict):
            found.append((f"{name}.", message, value, stored.get(name) or {}))
    return found


@cache
def _held_unions(segment: str) -> list[tuple[str, schema.Message]]:
    """The fields of a kind that hold a message with alternatives."""
    kind = schema.kind(segment)
    held = [(field.name, kind.message(field)) for field in kind.root.fields.values()]
    return [(name, message) for name, message in held if message and message.name in relations.ALTERNATIVES]


class _Checker:
    """Walks one document; `subject` begins every refusal."""

    def __init__(self, kind: schema.Kind, subject: str) -> None:
        self._kind = kind
        self._subject = subject
        self.faults: list[InvalidObject] = []

    def message(self, message: schema.Message, document: Document, path: str) -> None:
        rows = _rows(self._kind.segment, message.name)
        if not rows.required <= document.keys():
            self._in_table_order(message, document, path)
        else:
            self._present(_split(self._kind.segment, message.name, tuple(document)), document, path)
        if rows.alternatives:
            self._union(rows.alternatives, document, path)
        if message.name == "Service":
            self._ports(document, path)

    def _present(self, split: _Split, document: Document, path: str) -> None:
        values = split.plain(document)
        key = values, tuple(map(type, values))
        try:
            known = key in split.good
        except TypeError:  # a list or a message, where one value belongs
            known = False
        before = len(self.faults)
        for name, row in split.others if known else split.every:
            value = document[name]
            if type(value) is row.type and (value in row.allowed if row.allowed is not None else row.any):
                continue
            self._field(row.field, value, f"{path}{name}")
        if not known and len(self.faults) == before and len(split.good) < _REMEMBERED:
            split.good.add(key)

    def _in_table_order(self, message: schema.Message, document: Document, path: str) -> None:
        for field in message.fields.values():
            if not field.described:
                continue
            if field.name in document:
                self._field(field, document[field.name], f"{path}{field.name}")
            elif field.required:
                self._refuse(f"{path}{field.name}", "is required", hint=f"set {field.name}")

    def _field(self, field: schema.Field, value: Any, place: str) -> None:
        if not field.repeated:
            self._value(field, value, place)
            return
        if not isinstance(value, list):
            self._refuse(place, "must be a list")
            return
        if field.max_items is not None and len(value) > field.max_items:
            self._refuse(place, f"has {len(value)} elements, at most {field.max_items} are possible")
        if field.min_items is not None and len(value) < field.min_items:
            self._refuse(place, f"has {len(value)} elements, at least {field.min_items} are needed")
        inner = self._kind.message(field)
        for index, item in enumerate(value, 1):
            if inner is not None and not inner.one_token and type(item) is dict:
                self.message(inner, item, f"{place}[{index}].")
            else:
                self._value(field, item, f"{place}[{index}]")
        self._keys(field, value, place)

    def _value(self, field: schema.Field, value: Any, place: str) -> None:
        if type(value) not in _PYTHON[field.type]:
            self._refuse(place, f"is {value!r}, not of type {field.type}")
        elif field.type == "message":
            self._held(field, value, place)
        elif field.type == "enum":
            values = schema.enums().get(field.enum or "", ())
            if value not in values:
                self._refuse(place, f"is {value}, which it cannot be", hint=f"one of {', '.join(values)}")
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
            self._refuse(place, f"is {value}, out of range", hint=f"<{low}-{high}>{others}")

    def _reference(self, field: schema.Field, value: str, place: str) -> None:
        try:
            segment = reference_parts(value)[0]
        except ValueError as exc:
            self._refuse(place, f"is {value!r}, not a reference", hint=str(exc))
            return
        if schema.SEGMENTS.get(segment) != field.ref:
            self._refuse(place, f"refers to a {segment}, not to a {field.ref}")

    def _token(self, message: schema.Message, value: Document, place: str) -> None:
        inner = value.get("ip_addr") if "mask" in message.fields else value
        if not isinstance(inner, dict) or not isinstance(inner.get("addr"), str):
            self._refuse(place, f"is {value!r}, not an address")
            return
        type_ = inner.get("type")
        if type_ not in schema.enums()["IPADDR_TYPE"]:
            self._refuse(place, f"has an address of type {type_!r}", hint="V4, V6 or DNS")
        elif type_ != "DNS" and not _is_address(inner["addr"], type_):
            self._refuse(place, f"is {inner['addr']!r}, not an address of type {type_}")
        if "mask" in message.fields:
            mask, widest = value.get("mask"), 32 if type_ == "V4" else 128
            if not isinstance(mask, int) or isinstance(mask, bool) or not 0 <= mask <= widest:
                self._refuse(place, f"has the prefix length {mask!r}", hint=f"<0-{widest}>")

    def _keys(self, field: schema.Field, items: list[Any], place: str) -> None:
        if len(items) < 2:
            return
        keys = _keyed(self._kind.segment, field.message or "")
        if not keys:
            return
        seen: dict[tuple[Any, ...], int] = {}
        for index, item in enumerate(items, 1):
            if not isinstance(item, dict):
                continue
            key = tuple([_key_text(inner, item.get(name)) for name, inner in keys])
            if key[0] is None:
                continue
            if key in seen:
                shown = ", ".join(f"{n}={v}" for (n, _), v in zip(keys, key, strict=True) if v is not None)
                self._refuse(f"{place}[{index}]", f"is the same as {field.name}[{seen[key]}]: {shown}")
            seen[key] = index

    def _union(self, alternatives: Mapping[str, str], document: Document, path: str) -> None:
        chosen = document.get("type")
        for name, type_ in alternatives.items():
            if name in document and type_ != chosen:
                self._refuse(
                    f"{path}type",
                    f"is {chosen}, but {path}{name} is entered, which belongs to {type_}",
                    hint=f"type {type_.lower()}, or no {name}",
                )

    def _ports(self, document: Document, path: str) -> None:
        port, end = document.get("port"), document.get("port_range_end")
        if isinstance(port, int) and isinstance(end, int) and end < port:
            self._refuse(f"{path}port_range_end", f"is {end}, before the range's first port {port}")

    def _refuse(self, place: str, rule: str, *, hint: str = "") -> None:
        self.faults.append(InvalidObject(f"{self._subject}: {place} {rule}", path=place, hint=hint))


@cache
def _keyed(segment: str, name: str) -> list[tuple[str, schema.Message | None]]:
    """The fields that are the key of a message in a list, and the messages that they hold; of a service's none: its
    port may stand twice, once a protocol, rules across objects tell."""
    kind = schema.kind(segment)
    if name not in kind.messages or name not in relations.KEYS or name == "Service":
        return []
    fields = kind.messages[name].fields
    return [(key, kind.message(fields[key])) for key in relations.KEYS[name][0]]


def _key_text(inner: schema.Message | None, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return token_text(inner, value) if inner is not None else address_text(value)


def _is_address(text: str, type_: str) -> bool:
    if type_ == "V4" and _V4.fullmatch(text):
        return True
    try:
        return ipaddress.ip_address(text).version == int(type_[1:])
    except ValueError:
        return False


_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")


class _References:
    """References of the right form to a kind."""

    def __init__(self, kind: str | None) -> None:
        self._segments = frozenset(segment for segment, name in schema.SEGMENTS.items() if name == kind)

    @lru_cache(1 << 14)  # noqa: B019  # one of these for each field of the model, for ever
    def __contains__(self, value: str) -> bool:
        try:
            return reference_parts(value)[0] in self._segments
        except ValueError:
            return False


class _V4Addresses:
    """Messages that are an IPv4 address."""

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, dict) or value.get("type") != "V4":
            return False
        address = value.get("addr")
        return isinstance(address, str) and _V4.fullmatch(address) is not None


_V4_ADDRESSES = _V4Addresses()


class _Row(NamedTuple):
    """The quick check of a field: a value of the right type that is allowed needs no closer look."""

    field: schema.Field
    type: type | None  # None = every value needs one
    any: bool  # every value of the type is allowed
    allowed: Container[Any] | None = None  # None = as `any` says


class _Rows(NamedTuple):
    """What is checked of a message."""

    required: frozenset[str]
    quick: Mapping[str, _Row]
    alternatives: Mapping[str, str]


class _Split(NamedTuple):
    """The checks of a message with certain fields. Combinations of numbers, booleans and enumerations that were good
    before are not checked again, since an import repeats a few."""

    plain: Callable[[Document], tuple[Any, ...]]  # their values
    good: set[tuple[tuple[Any, ...], tuple[type, ...]]]  # such values, with their types: 1 is not True
    others: Sequence[tuple[str, _Row]]  # what else there is
    every: Sequence[tuple[str, _Row]]  # all that there is


_REMEMBERED = 64
"""The most combinations that are remembered for a message with certain fields."""


@lru_cache(4096)
def _split(segment: str, name: str, there: tuple[str, ...]) -> _Split:
    quick = _rows(segment, name).quick
    every = [(known, quick[known]) for known in there if known in quick]
    plain = [known for known, row in every if row.field.type not in _APART and not row.field.repeated]
    if len(plain) < 2:  # of one name, itemgetter gives no tuple
        return _Split(lambda _document: (), {((), ())}, every, every)
    return _Split(itemgetter(*plain), set(), [pair for pair in every if pair[0] not in plain], every)


_APART = ("string", "ref", "message")
"""Types whose values are hardly ever the same twice."""


@cache
def _rows(segment: str, name: str) -> _Rows:
    message = schema.kind(segment).messages[name]
    fields = [field for field in message.fields.values() if field.described]
    return _Rows(
        frozenset(field.name for field in fields if field.required),
        {field.name: _row(field) for field in fields},
        relations.ALTERNATIVES.get(name, {}),
    )


def _row(field: schema.Field) -> _Row:
    if field.repeated or field.type in ("float", "double"):
        return _Row(field, None, any=False)
    if field.type == "ref":
        return _Row(field, str, any=False, allowed=_References(field.ref))
    if field.type == "message":
        return _Row(field, dict if field.message == "IpAddr" else None, any=False, allowed=_V4_ADDRESSES)
    if field.type in ("bool", "string"):
        return _Row(field, _PYTHON[field.type][0], any=True)
    if field.type == "enum":
        return _Row(field, str, any=False, allowed=frozenset(schema.enums().get(field.enum or "", ())))
    assert isinstance(field.minimum, int)
    assert isinstance(field.maximum, int)
    return _Row(field, int, any=False, allowed=range(field.minimum, field.maximum + 1))
