"""Finds the differences of two documents of a kind, and applies them. Pure.

Elements of a list are identified by their key, not by their position: a server by address and port, a VIP by its id. So
a removed element is one difference, however many follow it.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from avi_shell.configuration.document import Document, copy, reference_name, token_text
from grammar import relations, schema


class What(StrEnum):
    """What became of a value."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"  # an element of a list stands elsewhere among the others


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: into a field of a message, or into an element of a list."""

    name: str  # the field's; of an element its key as text, or its position from 1 where it has none
    before: int | None = None  # an element's position, from 0, in the list as it was; None = it was not there
    after: int | None = None  # in the list as it is

    @property
    def is_element(self) -> bool:
        """Whether it leads into an element of a list."""
        return self.before is not None or self.after is not None


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs."""

    path: tuple[Step, ...]  # from the document; () = the document itself
    what: What
    before: Any = None  # the value as it was; None where it was added
    after: Any = None  # the value as it is; None where it was removed

    @property
    def place(self) -> str:
        """The path as text: `servers[10.0.0.1:80].ratio`."""
        text = ""
        for step in self.path:
            text += f"[{step.name}]" if step.is_element else f".{step.name}" if text else step.name
        return text


def compare(kind: schema.Kind, before: Document | None, after: Document | None) -> list[Difference]:
    """What differs between two documents, in table order. None: the object is not there."""
    if before is None or after is None:
        return [] if before is after else [_whole((), before, after, before is None)]
    return list(_messages(kind, kind.root, before, after, ()))


def apply(document: Document, differences: Iterable[Difference], *, backward: bool = False) -> Document:
    """The document that has the differences: `after` out of `before`; backward: `before` out of `after`.

    Only for differences that say whole objects where one is created or deleted; the object as it was otherwise.
    """
    changed: Document = copy(document)
    lists: dict[tuple[Step, ...], list[Difference]] = {}
    for difference in differences:
        *above, last = difference.path
        if last.is_element:
            lists.setdefault(tuple(above), []).append(difference)
            continue
        holder = _at(changed, above, backward)
        gone = What.ADDED if backward else What.REMOVED
        if difference.what is gone:
            del holder[last.name]
        else:
            holder[last.name] = copy(difference.before if backward else difference.after)
    for path in sorted(lists, key=len, reverse=True):  # inner lists first: the positions on their paths still hold
        _rearrange(_at(changed, path, backward), lists[path], backward)
    return changed


def _at(document: Any, path: Sequence[Step], backward: bool) -> Any:
    for step in path:
        document = document[(step.after if backward else step.before) if step.is_element else step.name]
    return document


def _rearrange(items: list[Any], differences: Iterable[Difference], backward: bool) -> None:
    leaving: dict[int, Any] = {}
    arriving: list[tuple[int, Any]] = []
    for difference in differences:
        step = difference.path[-1]
        source, target = (step.after, step.before) if backward else (step.before, step.after)
        if source is not None:
            leaving[source] = items[source]
        if target is not None:
            new = difference.before if backward else difference.after
            arriving.append((target, leaving[source] if source is not None else copy(new)))
    items[:] = [item for at, item in enumerate(items) if at not in leaving]
    for at, item in sorted(arriving, key=lambda pair: pair[0]):
        items.insert(at, item)


def _messages(
    kind: schema.Kind, message: schema.Message | None, before: Document, after: Document, path: tuple[Step, ...]
) -> Iterator[Difference]:
    fields = message.fields if message is not None else {}
    there = {**before, **after}
    for name in [*(name for name in fields if name in there), *(name for name in there if name not in fields)]:
        old, new = before.get(name), after.get(name)
        if type(old) in _SCALARS and type(new) is type(old) and new == old:
            continue  # as most are
        place = (*path, Step(name))
        if name not in before or name not in after:
            yield _whole(place, old, new, name not in before)
            continue
        field = fields.get(name)
        inner = kind.message(field) if field is not None else None
        yield from _values(kind, field, inner, old, new, place)


_SCALARS = frozenset((str, int, float, bool))


def _values(
    kind: schema.Kind,
    field: schema.Field | None,
    inner: schema.Message | None,
    old: Any,
    new: Any,
    place: tuple[Step, ...],
) -> Iterator[Difference]:
    one_token = inner is not None and inner.one_token
    if isinstance(old, dict) and isinstance(new, dict) and not one_token:
        yield from _messages(kind, inner, old, new, place)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(kind, field, inner, old, new, place)
    elif not same(old, new):
        yield Difference(place, What.CHANGED, old, new)


def _lists(
    kind: schema.Kind,
    field: schema.Field | None,
    inner: schema.Message | None,
    old: list[Any],
    new: list[Any],
    path: tuple[Step, ...],
) -> Iterator[Difference]:
    if same(old, new):
        return
    pairs = paired(kind, inner, old, new)
    moved = _moved(pairs)
    names = Names(kind, field)

    def step(item: Any, before: int | None, after: int | None) -> Step:
        return Step(names.of(item, before if before is not None else after or 0), before, after)

    for at, item in enumerate(old):
        other = pairs.get(at)
        if other is None:
            yield Difference((*path, step(item, at, None)), What.REMOVED, item)
            continue
        place = (*path, step(item, at, other))
        if isinstance(item, dict):
            yield from _messages(kind, inner, item, new[other], place)
        if at in moved:
            yield Difference(place, What.MOVED, item, new[other])
    known = set(pairs.values())
    for at, item in enumerate(new):
        if at not in known:
            yield Difference((*path, step(item, None, at)), What.ADDED, None, item)


def paired(kind: schema.Kind, inner: schema.Message | None, old: list[Any], new: list[Any]) -> dict[int, int]:
    """Match elements: position before → position after. Equal ones first, then those with the same key, then with the
    same first field of a key; last, messages without a key, in order."""
    pairs: dict[int, int] = {}
    left, right = list(range(len(old))), list(range(len(new)))

    def match(identity: Callable[[Any], Any]) -> None:
        nonlocal left, right
        waiting: dict[Any, list[int]] = {}
        for at in reversed(right):
            if (key := identity(new[at])) is not None:
                waiting.setdefault(key, []).append(at)
        for at in left:
            if found := waiting.get(identity(old[at])):
                pairs[at] = found.pop()
        left = [at for at in left if at not in pairs]
        taken = set(pairs.values())
        right = [at for at in right if at not in taken]

    match(_contents)
    if left and right and not (inner is not None and inner.one_token):
        match(lambda item: _key(inner, item))
        match(lambda item: (_key(inner, item) or (None,))[0])
        match(lambda item: True if isinstance(item, dict) and _key(inner, item) is None else None)
    return pairs


def _moved(pairs: dict[int, int]) -> set[int]:
    """The positions before of remaining elements that moved: all but a longest sequence that kept its order."""
    ordered = sorted(pairs.items())
    ends: list[int] = []  # the smallest last position of a row, by its length
    last: list[int] = []  # whose position that is
    previous: dict[int, int | None] = {}
    for at, other in ordered:
        length = bisect_left(ends, other)
        previous[at] = last[length - 1] if length else None
        ends[length : length + 1], last[length : length + 1] = [other], [at]
    kept: set[int] = set()
    walk: int | None = last[-1] if last else None
    while walk is not None:
        kept.add(walk)
        walk = previous[walk]
    return pairs.keys() - kept


def _contents(item: Any) -> str:
    return json.dumps(item, sort_keys=True)


def _key(message: schema.Message | None, item: Any) -> tuple[str, ...] | None:
    """The values that tell an element from the others of its list; None where nothing does."""
    if not isinstance(item, dict):
        return None
    names = relations.COMPARED.get(message.name if message is not None else "") or next(
        ((name,) for name in relations.NAMING if isinstance(item.get(name), str)), ()
    )
    if not names or names[0] not in item:
        return None
    return tuple(_contents(item.get(name)) for name in names)


class Names:
    """Names for the elements of one list, each once: `10.0.0.1:80`, `53`, `53#2`; the position where nothing names it.

    field: the list's; None where the model does not describe it.
    """

    def __init__(self, kind: schema.Kind, field: schema.Field | None) -> None:
        self._kind, self._field = kind, field
        self._message = kind.message(field) if field is not None else None
        self._taken: dict[str, int] = {}

    def of(self, item: Any, position: int) -> str:
        """The name of an element. position: from 0."""
        name = self._label(item) or str(position + 1)
        self._taken[name] = count = self._taken.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"

    def _label(self, item: Any) -> str:
        message = self._message
        if not isinstance(item, dict):
            return "" if isinstance(item, list) else _scalar(self._field, item)
        if message is not None and message.one_token:
            return token_text(message, item)
        if _key(message, item) is None:
            return ""
        title = message.name if message is not None else ""
        if title in relations.BY_POSITION:
            return ""
        names = relations.COMPARED.get(title, ())[: relations.SHOWN_IN_KEYS.get(title)]
        if message is None or not names:
            return str(next(item[name] for name in relations.NAMING if isinstance(item.get(name), str)))
        return ":".join(self._part(message, name, item[name]) for name in names if item.get(name) is not None)

    def _part(self, message: schema.Message, name: str, value: Any) -> str:
        field = message.fields.get(name)
        inner = self._kind.message(field) if field is not None else None
        if isinstance(value, dict):
            return token_text(inner, value) if inner is not None and inner.one_token else _contents(value)
        return _scalar(field, value)


def _scalar(field: schema.Field | None, value: Any) -> str:
    if field is not None and field.type == "ref" and isinstance(value, str):
        return reference_name(value)
    return str(value)


def _whole(path: tuple[Step, ...], before: Any, after: Any, added: bool) -> Difference:
    return Difference(path, What.ADDED if added else What.REMOVED, before, after)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: true is not 1, nor is 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
