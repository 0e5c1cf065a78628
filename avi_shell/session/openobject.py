"""An open object: its content, the stack of modes over it, and how a line's actions change both. Every change is
recorded with its opposite: so `cancel` can drop what was entered in a mode, and a refused line leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avi_shell.configuration.document import Document, address_text, copy, prefix_text
from avi_shell.errors import ShellError
from grammar import relations, schema
from grammar.actions import Action, Append, Clear, Discard, Element, ElementAt, Enter, Remove, RemoveAt, Set
from grammar.commands import Place
from grammar.errors import BadValue, LanguageError

Resolver = Callable[[schema.Field, Action, str], str]
"""Field, action and name → reference. Raises BadValue for a name that does not exist."""

NEW_ELEMENT = "New object being created"
OVERWRITTEN = "Overwriting the previously entered value for {}"
TEXT_WANTED = "Please input the value for field {} (Enter END to terminate input):"


@dataclass(slots=True, eq=False)
class Mode:
    """One mode: a message of the open object."""

    message: schema.Message  # whose fields are typed there
    value: Document  # what the object holds there
    field: schema.Field | None  # whose name entered it; None: the object itself
    label: str  # its element of the field's path: "profile", "servers[2]"
    mark: int  # the journal's length when it was entered
    typed: bool = False  # something was typed in it since
    typed_before: bool = False  # the same of its parent when it was entered, for `cancel`

    @property
    def single(self) -> bool:
        """Whether it is a sub-mode that is no list element."""
        return self.field is not None and not self.field.repeated


@dataclass(slots=True)
class OpenObject:
    """The object being edited."""

    kind: schema.Kind  # of the object
    name: str  # under which it was opened
    document: Document  # the object as it is so far
    stored: bool  # it existed when it was opened
    opened_by: str = ""  # the line that opened it
    origin: str = ""  # where that line comes from
    comment: str = ""  # what a `save` in a sub-mode said of the commit to come
    confirm: float = 0.0  # seconds that a `save` in a sub-mode gave the commit to come to be confirmed
    base: Document = field(default_factory=dict)  # the object as it was when it was opened
    sent_to_by: str | None = None  # who sends packets directly to a pool's servers, "" for nobody; None: not known yet
    refused: list[str] = field(default_factory=list)  # its lines that were refused in the paste that goes on
    modes: list[Mode] = field(default_factory=list)  # outermost first; the object itself is the first
    _journal: list[Callable[[], None]] = field(default_factory=list)  # each change's opposite, oldest first
    _types: set[int] = field(default_factory=set)  # messages whose `type` was typed, by identity
    _filled: set[int] = field(default_factory=set)  # messages without a type until an alternative was entered
    _changed: set[tuple[int, str]] = field(default_factory=set)  # fields that were typed: message, by identity; name

    def __post_init__(self) -> None:
        self.base = copy(self.document)
        self.modes = [Mode(self.kind.root, self.document, None, self.kind.segment, 0)]

    @property
    def mode(self) -> Mode:
        """The current mode."""
        return self.modes[-1]

    @property
    def path(self) -> str:
        """The current mode's path in the object: "" at the object, "profile.tcp_fast_path_profile", "servers[2]"."""
        return ".".join(mode.label for mode in self.modes[1:])

    def segments(self) -> list[str]:
        """The modes' names, outermost first."""
        return [self.kind.segment, *(mode.field.name for mode in self.modes[1:] if mode.field is not None)]

    def place(self, depth: int | None = None) -> Place:
        """The mode at a depth as the grammar knows it; without a depth the current one."""
        depth = len(self.modes) if depth is None else depth
        return Place(self.kind, self.modes[depth - 1].message, " ".join(self.segments()[:depth]))

    def apply(self, actions: Sequence[Action], resolve: Resolver) -> list[str]:
        """Carry out a line's actions, all of them or none. Returns what to print.

        Raises BadValue for names, numbers and keys that do not exist.
        """
        mark, modes = len(self._journal), list(self.modes)
        flags = [mode.typed for mode in modes]
        notices: list[str] = []
        try:
            for action in actions:
                notices += self._apply(action, resolve)
        except (LanguageError, ShellError):
            self._undo(mark)
            self.modes = modes
            for mode, typed in zip(modes, flags, strict=True):
                mode.typed = typed
            raise
        return notices

    def typed(self, message: Document, name: str) -> bool:
        """Whether a field of a message of this object was typed."""
        return (id(message), name) in self._changed

    def typed_of(self, stored: Document) -> set[tuple[int, str]]:
        """The fields that were typed, of the object as it was stored. Each is a message (by identity) and a name."""
        return set(self._typed_of(self.document, stored))

    def _typed_of(self, mine: Any, stored: Any) -> Iterator[tuple[int, str]]:
        if isinstance(mine, list) and isinstance(stored, list):
            for item, other in zip(mine, stored, strict=False):
                yield from self._typed_of(item, other)
        elif isinstance(mine, dict) and isinstance(stored, dict):
            for name, value in stored.items():
                if self.typed(mine, name):
                    yield id(stored), name
                yield from self._typed_of(mine.get(name), value)

    def enter(self, name: str) -> None:
        """Enter a single-valued sub-mode, as its name alone does."""
        self._enter(self.mode.message.fields[name])

    def close(self) -> Mode:
        """Leave one sub-mode and keep what was entered in it."""
        return self.modes.pop()

    def leave_by_save(self) -> list[list[str]]:
        """`save`: leave the current sub-mode and the enclosing single-valued ones in which nothing was typed.

        Returns the paths (field names) of the single-valued modes closed, innermost first.
        """
        closed = [self._chain()]
        self.close()
        while self.mode.single and not self.mode.typed:
            closed.append(self._chain())
            self.close()
        return [chain for chain in closed if chain]

    def leave_by_exit(self) -> None:
        """Leave exactly one sub-mode. In its parent that counts as something typed."""
        self.close()
        self.mode.typed = True

    def leave_by_cancel(self) -> None:
        """Drop what was entered in the current sub-mode, and leave it."""
        mode = self.close()
        self._undo(mode.mark)
        self.mode.typed = mode.typed_before

    def set_text(self, target: schema.Field, text: str) -> list[str]:
        """Give a field of the current mode a text that was typed on several lines or read from a file."""
        return self._set(target, text)

    def _chain(self) -> list[str]:
        """The current mode's path as field names; empty where a list element is on it."""
        if all(mode.single for mode in self.modes[1:]):
            return [mode.field.name for mode in self.modes[1:] if mode.field is not None]
        return []

    def _apply(self, action: Action, resolve: Resolver) -> list[str]:
        target = action.field
        match action:
            case Set():
                return self._set(target, self._value(action, action.value, resolve))
            case Append():
                return self._append(action, self._value(action, action.value, resolve))
            case Clear():
                return self._clear(target)
            case Discard():
                return self._discard(action, self._value(action, action.value, resolve))
            case Enter():
                self._enter(target)
                return []
            case Element():
                return self._element(action)
            case ElementAt():
                self._push(target, self._at(action, action.index), action.index)
                return []
            case Remove():
                return self._remove(action, self._found(action), action.key)
            case RemoveAt():
                self._at(action, action.index)
                return self._remove(action, action.index - 1, {"index": action.index})
        raise AssertionError(action)  # Lines and FromFile end a line and are the session's

    def _value(self, action: Action, value: Any, resolve: Resolver) -> Any:
        return resolve(action.field, action, value) if action.field.type == "ref" else value

    def _set(self, target: schema.Field, value: Any) -> list[str]:
        mode = self.mode
        filled = target.name == "type" and id(mode.value) in self._filled
        notices = [OVERWRITTEN.format(target.name)] if target.name in mode.value and not filled else []
        self._put(mode.value, target.name, value)
        if target.name == "type":
            self._filled.discard(id(mode.value))
            self._types.add(id(mode.value))
            self._journal.append(lambda: self._types.discard(id(mode.value)))
        mode.typed = True
        return notices

    def _append(self, action: Append, value: Any) -> list[str]:
        name, items = action.field.name, list(self.mode.value.get(action.field.name, []))
        if value in items and action.field.type == "ref":  # naming an object twice adds nothing to naming it once
            self.mode.typed = True
            return []
        self._check_room(action, len(items))
        self._put(self.mode.value, name, [*items, value])
        self.mode.typed = True
        return []

    def _clear(self, target: schema.Field) -> list[str]:
        if target.type == "bool" and not target.repeated:
            return self._set(target, False)
        gone = self.mode.value.get(target.name, []) if target.repeated and self.kind.message(target) else []
        self._drop(self.mode.value, target.name)
        self.mode.typed = True
        return [f"Removed all {len(gone)} {target.name}"] if len(gone) > 1 else []

    def _discard(self, action: Discard, value: Any) -> list[str]:
        items = list(self.mode.value.get(action.field.name, []))
        if value not in items:
            what = f"'{action.word.text}' is not among the values of {action.field.name}"
            raise BadValue(what, action.word.text, action.word.column)
        items.remove(value)
        self._put_list(action.field.name, items)
        return []

    def _enter(self, target: schema.Field) -> None:
        mode, mark = self.mode, len(self._journal)
        wanted = relations.ALTERNATIVES.get(mode.message.name, {}).get(target.name)
        if wanted is not None and mode.value.get("type") != wanted and id(mode.value) not in self._types:
            if "type" not in mode.value:
                self._filled.add(id(mode.value))
            self._put(mode.value, "type", wanted)
        if target.name not in mode.value:
            self._put(mode.value, target.name, {})
        self._push(target, mode.value[target.name], None, mark)

    def _push(self, target: schema.Field, value: Document, index: int | None, mark: int | None = None) -> None:
        message = self.kind.message(target)
        assert message is not None
        label = target.name if index is None else f"{target.name}[{index}]"
        mark = len(self._journal) if mark is None else mark
        parent = self.mode
        self.modes.append(Mode(message, value, target, label, mark, typed_before=parent.typed))
        if index is not None:
            parent.typed = True

    def _element(self, action: Element) -> list[str]:
        name, key = action.field.name, action.key
        items = self.mode.value.get(name, [])
        if key:
            first, *rest = key.items()
            for index, item in enumerate(items, 1):  # a pool of thousands of servers is searched for each of them
                if item.get(first[0]) == first[1] and all(item.get(part) == value for part, value in rest):
                    self._push(action.field, item, index)
                    return []
        self._check_room(action, len(items))
        mark = len(self._journal)
        element = {part: value for part, value in key.items() if value is not None}
        self._put(self.mode.value, name, [*items, element])
        self._push(action.field, element, len(items) + 1, mark)
        return [NEW_ELEMENT]

    def _check_room(self, action: Action, count: int) -> None:
        most = action.field.max_items
        if most is not None and count >= most:
            what = f"{action.field.name} holds at most {most} elements"
            raise BadValue(what, action.word.text, action.word.column)

    def _at(self, action: Action, index: int) -> Document:
        items = self.mode.value.get(action.field.name, [])
        if not 1 <= index <= len(items):
            what = f"{action.field.name} has no element {index}: there are {len(items)}"
            expected = (f"<1-{len(items)}>",) if items else ()
            raise BadValue(what, action.word.text, action.word.column, expected)
        element: Document = items[index - 1]
        return element

    def _found(self, action: Remove) -> int:
        """The position of the one element with the key typed."""
        items = self.mode.value.get(action.field.name, [])
        matches = [i for i, item in enumerate(items) if all(item.get(k) == v for k, v in action.key.items())]
        if len(matches) > 1:
            message = self.kind.message(action.field)
            names = next((k for k in relations.KEYS[message.name if message else ""] if k[0] in action.key), ())
            matches = [i for i in matches if all(items[i].get(k) == action.key.get(k) for k in names)] or matches
        if len(matches) == 1:
            return matches[0]
        how_many = f"{len(matches)} elements" if matches else "no element"
        what = f"{action.field.name} has {how_many} with {_key_text(action.key)}"
        raise BadValue(what, action.word.text, action.word.column)

    def _remove(self, action: Action, position: int, typed: Mapping[str, Any]) -> list[str]:
        items = list(self.mode.value[action.field.name])
        del items[position]
        self._put_list(action.field.name, items)
        return [f"Removed {action.field.name} with {_key_text(typed)}"]

    def _put_list(self, name: str, items: list[Any]) -> None:
        if items:
            self._put(self.mode.value, name, items)
        else:
            self._drop(self.mode.value, name)
        self.mode.typed = True

    def _put(self, holder: Document, name: str, value: Any) -> None:
        self._mark(holder, name)
        if name in holder:
            old = holder[name]
            self._journal.append(lambda: holder.__setitem__(name, old))
        else:
            self._journal.append(lambda: holder.__delitem__(name))
        holder[name] = value

    def _drop(self, holder: Document, name: str) -> None:
        self._mark(holder, name)
        if name in holder:
            old = holder.pop(name)
            self._journal.append(lambda: holder.__setitem__(name, old))

    def _mark(self, holder: Document, name: str) -> None:
        """A field is typed; undone with the change."""
        key = (id(holder), name)
        if key not in self._changed:
            self._changed.add(key)
            self._journal.append(lambda: self._changed.discard(key))

    def _undo(self, mark: int) -> None:
        while len(self._journal) > mark:
            self._journal.pop()()


def _key_text(key: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_token(value)}" for name, value in key.items())


def _token(value: Any) -> str:
    if isinstance(value, dict):
        return prefix_text(value) if "mask" in value else address_text(value)
    return str(value)
