"""Differences of documents as people read them: a row for each value, a word for an element that came or went. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from avi_shell.configuration.differences import Difference, Names, What
from avi_shell.configuration.document import SECRET, Document, token_text
from avi_shell.output.secret import is_secret
from avi_shell.output.table import value_text
from grammar import schema

Row = tuple[str, str, str]
"""Path, value before, value after; "" where there is none."""
Told = tuple[str, Any]
"""A value as people read it, "" where there is none; and as programs do: numbers and booleans are no text, null is
nothing."""
_NONE: Told = ("", None)
_Both = tuple[str, Told, Told]
"""Path, value before, value after."""


def rows(kind: schema.Kind, differences: Iterable[Difference]) -> list[Row]:
    """A row for every shown field that differs. A message that came or went whole: a row for each of its fields; an
    element of a list, one row with what is not its default."""
    return [(path, old[0], new[0]) for path, old, new in _both(kind, differences)]


def data(kind: schema.Kind, differences: Iterable[Difference]) -> list[dict[str, Any]]:
    """The same for programs."""
    return _documents(_both(kind, differences))


def whole(kind: schema.Kind, before: Document | None, after: Document | None) -> list[Row]:
    """A row for every shown field of an object that came (before None) or went (after None) but for what is at its
    default, its name and its uuid."""
    return [(path, old[0], new[0]) for path, old, new in _whole(kind, before, after)]


def whole_data(kind: schema.Kind, before: Document | None, after: Document | None) -> list[dict[str, Any]]:
    """The same for programs."""
    return _documents(_whole(kind, before, after))


def _documents(found: Iterable[_Both]) -> list[dict[str, Any]]:
    return [{"path": path, "old": old[1], "new": new[1]} for path, old, new in found]


def _both(kind: schema.Kind, differences: Iterable[Difference]) -> Iterator[_Both]:
    for difference in differences:
        yield from _rows(kind, difference)


def _whole(kind: schema.Kind, before: Document | None, after: Document | None) -> Iterator[_Both]:
    there = after if before is None else before
    assert there is not None
    document = {name: value for name, value in there.items() if name not in ("name", "uuid")}
    for path, told in _leaves(kind, kind.root, None, "", document, "", brief=True):
        yield (path, _NONE, told) if before is None else (path, told, _NONE)


def sentence(kind: schema.Kind, differences: Iterable[Difference], most: int = 5) -> str:
    """What was changed in one sentence, as far as `most` values: "servers[10.0.0.1:80] is gone"."""
    told = [
        f"{place} is gone" if not after else f"{place} is now {after}" if before else f"{place} is new: {after}"
        for place, before, after in rows(kind, differences)
    ]
    more = [f"{len(told) - most} more"] if len(told) > most else []
    return ", ".join([*told[:most], *more])


def _rows(kind: schema.Kind, difference: Difference) -> Iterator[_Both]:
    message: schema.Message | None = kind.root
    field, name = None, ""
    for step in difference.path:
        if step.is_element:
            continue
        name = step.name
        field = message.fields.get(name) if message is not None else None
        if field is not None and field.scope == "hidden":
            return
        message = kind.message(field) if field is not None else None
    place = _place(difference)
    if difference.what is What.MOVED:
        last = difference.path[-1]
        yield place, _told(f"position {(last.before or 0) + 1}"), _told(f"position {(last.after or 0) + 1}")
    elif difference.what is What.CHANGED:
        before, after = (_value_told(kind, field, name, one) for one in (difference.before, difference.after))
        yield place, before, after
    elif difference.path and difference.path[-1].is_element:
        yield place, *_sides(difference, _value_told(kind, field, name, _value(difference)))
    else:
        for path, told in _leaves(kind, message, field, name, _value(difference), place):
            yield path, *_sides(difference, told)


def _place(difference: Difference) -> str:
    """Its path as text. A secret that is an element of a list is not named, but its position."""
    path, name = [], ""
    for step in difference.path:
        if step.is_element and is_secret(name):
            at = step.before if step.after is None else step.after
            step = replace(step, name=str((at or 0) + 1))
        name = name if step.is_element else step.name
        path.append(step)
    return replace(difference, path=tuple(path)).place


def _value(difference: Difference) -> Any:
    return difference.after if difference.what is What.ADDED else difference.before


def _sides(difference: Difference, told: Told) -> tuple[Told, Told]:
    return (_NONE, told) if difference.what is What.ADDED else (told, _NONE)


def _told(text: str) -> Told:
    return text, text or None


def _value_told(kind: schema.Kind, field: schema.Field | None, name: str, value: Any) -> Told:
    text = _text(kind, field, name, value)
    return (text, value) if isinstance(value, bool | int | float) and text != SECRET else _told(text)


def _leaves(
    kind: schema.Kind,
    message: schema.Message | None,
    field: schema.Field | None,
    name: str,
    value: Any,
    place: str,
    *,
    brief: bool = False,
) -> Iterator[tuple[str, Told]]:
    """Path and value of everything in a value that came or went; elements of a list as a whole. brief: without what is
    at its default."""
    if isinstance(value, list) and value:
        names = Names(kind, field)
        for at, item in enumerate(value):
            element = str(at + 1) if is_secret(name) else names.of(item, at)
            yield f"{place}[{element}]", _value_told(kind, field, name, item)
    elif isinstance(value, dict) and value and not (message is not None and message.one_token):
        for held, key, item in _fields(message, value):
            if brief and held is not None and held.default is not None and item == held.default:
                continue
            below = kind.message(held) if held is not None else None
            yield from _leaves(kind, below, held, key, item, f"{place}.{key}" if place else key, brief=brief)
    else:
        yield place, _NONE if value in ({}, []) else _value_told(kind, field, name, value)


def _fields(message: schema.Message | None, value: dict[str, Any]) -> Iterator[tuple[schema.Field | None, str, Any]]:
    known = message.fields if message is not None else {}
    for key, item in value.items():
        held = known.get(key)
        if held is None or held.scope != "hidden":
            yield held, key, item


def _text(kind: schema.Kind, field: schema.Field | None, name: str, value: Any) -> str:
    """A value in one line: a scalar as tables show it, a message as the words that would be typed for it."""
    if isinstance(value, list):
        return " ".join(_text(kind, field, name, item) for item in value)
    if not isinstance(value, dict):
        hides = field is None and is_secret(name) and isinstance(value, str)
        return SECRET if hides else value_text(field, value) if field is not None else str(value)
    message = kind.message(field) if field is not None else None
    if message is not None and message.one_token:
        return token_text(message, value)
    words = [
        f"{key} {_text(kind, held, key, item)}".rstrip()
        for held, key, item in _fields(message, value)
        if held is None or held.default is None or item != held.default
    ]
    return " ".join(words) or "with its defaults"
