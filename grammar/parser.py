"""Parses a line of fields in a mode: words → actions.

`Walk` takes one word after the other; at every point it knows what may follow, so the parser and completion cannot
disagree. The schema knows the keywords (one dictionary step a word), `values` the values.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

from grammar import relations, schema, values
from grammar.actions import (
    Action,
    Append,
    Clear,
    Discard,
    Element,
    ElementAt,
    Enter,
    FromFile,
    Lines,
    Remove,
    RemoveAt,
    Set,
)
from grammar.errors import BadValue, IncompleteLine, LineError, UnknownWord
from grammar.fields import INDEX, NO, home_of, is_mode, one_token, typable, value_of
from grammar.lexer import Word, pick


class State(enum.Enum):
    """What may follow in a walk."""

    FIELD = enum.auto()  # a field of the current message, or `no`
    TRUTH = enum.auto()  # after a boolean field: also true or false
    VALUE = enum.auto()  # the value of `field`
    ENTERED = enum.auto()  # after a message's field: its fields, or its obvious value
    ELEMENT = enum.auto()  # after a repeated message's field: also `index`
    INDEX = enum.auto()  # a number after `index`
    NO = enum.auto()  # a field after `no`
    NO_VALUE = enum.auto()  # after `no` and a repeated scalar: nothing, or the value to remove
    NO_ELEMENT = enum.auto()  # after `no` and a repeated message: nothing, `index`, or key fields
    NO_KEY = enum.auto()  # the value of a key field there
    NO_INDEX = enum.auto()  # a number there


def parse(kind: schema.Kind, message: schema.Message, words: Sequence[Word], where: str = "") -> list[Action]:
    """The actions of a line's words in a mode of a kind. where: the mode's name for messages.

    Raises grammar.errors.LineError; a line is taken whole or not at all.
    """
    walk = Walk(kind, message, where)
    try:
        for word in words:
            _STEPS[walk.state](walk, word)
        return walk.finish(words[-1].column + len(words[-1].text) + 1 if words else 0)
    except LineError as exc:
        exc.path = ".".join([*walk.entered(), exc.path] if exc.path else walk.entered())
        raise


class Walk:
    """A line, word by word. state, message, field: what may follow (`State`); actions: what was said so far."""

    __slots__ = ("actions", "field", "key", "kind", "message", "state", "where", "word")

    def __init__(self, kind: schema.Kind, message: schema.Message, where: str = "") -> None:
        self.kind = kind
        self.message = message
        self.where = where or kind.segment
        self.state = State.FIELD
        self.field: schema.Field | None = None
        self.word = Word("", 0)
        self.key: dict[str, Any] = {}
        self.actions: list[Action] = []

    def vocabulary(self) -> Mapping[str, schema.Field | None]:
        """The words that may follow, apart from a value: field names with their fields, `no`, `index`, true and
        false."""
        state = self.state
        if state in (State.VALUE, State.INDEX, State.NO_VALUE, State.NO_KEY, State.NO_INDEX):
            return {}
        if state is State.NO_ELEMENT:
            return {"index": None, **{name: field for name, field in self._fields().items() if name in self._keys()}}
        fields: dict[str, schema.Field | None] = dict(self._fields())
        if state is State.NO:
            return fields
        if state is State.TRUTH:
            fields |= {"true": None, "false": None}
        if state is State.ELEMENT:
            fields.setdefault("index", None)
        fields[NO] = None
        return fields

    def value(self) -> schema.Field | None:
        """The field whose value may stand next: one that must follow, or a message's obvious value."""
        if self.state in (State.VALUE, State.NO_VALUE, State.NO_KEY):
            return self.field
        if self.state in (State.INDEX, State.NO_INDEX):
            return INDEX
        if self.state in (State.ENTERED, State.ELEMENT):
            return self._obvious(self.message)
        if self.state is State.NO_ELEMENT and not self.key:
            return self._obvious(self.element())
        return None

    def must(self) -> bool:
        """Whether the line cannot end here."""
        return self.state in (State.VALUE, State.INDEX, State.NO, State.NO_KEY, State.NO_INDEX)

    def feed(self, word: Word) -> None:
        """Take one word. Raises LineError; the walk cannot be used after that."""
        _STEPS[self.state](self, word)

    def finish(self, column: int) -> list[Action]:
        """The actions. column: where a missing word would stand. Raises IncompleteLine."""
        if self.must():
            raise self._missing(column)
        if self.state in (State.NO_VALUE, State.NO_ELEMENT):
            self._end_removal()
        for position, action in enumerate(self.actions):
            if isinstance(action, Element):
                return _with_keys(self.kind, self.actions, position)
        return self.actions

    def _missing(self, column: int) -> IncompleteLine:
        field = self.value()
        if field is None:
            return IncompleteLine("a field is missing after 'no'", "", column, tuple(self.vocabulary()))
        form = values.form(field, one_token(self.kind, field))
        return IncompleteLine(f"a value for {field.name} is missing", "", column, (form,), path=field.name)

    def _fields(self) -> Mapping[str, schema.Field]:
        message = self.element() if self.state is State.NO_ELEMENT else self.message
        return typable(self.kind.segment, message.name)

    def element(self) -> schema.Message:
        """The message of the list whose name was typed last."""
        assert self.field is not None
        message = self.kind.message(self.field)
        assert message is not None
        return message

    def _keys(self) -> frozenset[str]:
        """The key fields of the element."""
        return frozenset(name for key in relations.KEYS.get(self.element().name, ()) for name in key)

    def _obvious(self, message: schema.Message) -> schema.Field | None:
        name = relations.OBVIOUS.get(message.name)
        if name is None or (self.state is State.NO_ELEMENT and name not in self._keys()):
            return None
        return message.fields[name]

    def _field_step(self, word: Word) -> None:
        fields = typable(self.kind.segment, self.message.name)
        field = fields.get(word.text)
        if field is None:
            if word.text == NO:
                self.state, self.word = State.NO, word
                return
            name = self._pick(word, self.vocabulary())
            if name == NO:
                self.state, self.word = State.NO, word
                return
            if name == "index" and name not in fields:
                self.state = State.INDEX
                return
            if name in ("true", "false"):
                self._truth(name == "true", word)
                return
            field = fields[name]
        self._begin(field, word)

    def _begin(self, field: schema.Field, word: Word) -> None:
        """Take a field's name."""
        self.field, self.word = field, word
        message = self.kind.message(field)
        if message is not None and not message.one_token:
            self.message = message
            self.actions.append(Element(field, word, {}) if field.repeated else Enter(field, word))
            self.state = State.ELEMENT if field.repeated else State.ENTERED
        elif field.type == "bool" and not field.repeated:
            self.actions.append(Set(field, word, True))
            self.state = State.TRUTH
        else:
            self.state = State.VALUE

    def _truth_step(self, word: Word) -> None:
        if values.is_truth(word):
            self._truth(values.is_true(word), word)
        else:
            self._field_step(word)

    def _truth(self, value: bool, word: Word) -> None:
        assert self.field is not None
        self.actions[-1] = Set(self.field, word, value)
        self.state = State.FIELD

    def _value_step(self, word: Word) -> None:
        field = self.field
        assert field is not None
        self.state = State.FIELD
        if field.type == "string" and not word.quoted and not field.repeated:
            if word.text == "--":
                self.actions.append(Lines(field, word))
                return
            if word.text.startswith("file:"):
                self.actions.append(FromFile(field, word, word.text[5:]))
                return
        value = self._value(field, word)
        self.actions.append(Append(field, word, value) if field.repeated else Set(field, word, value))

    def _value(self, field: schema.Field, word: Word) -> Any:
        """Take a word as a field's value. If it is a range and the field holds one number, the error shows how to type
        both ends."""
        try:
            return value_of(self.kind, field, word)
        except BadValue as exc:
            first, _, last = word.text.partition("-")
            ends = [end for end in (f"{field.name}_end", f"{field.name}_range_end") if end in self.message.fields]
            if ends and first.isdecimal() and last.isdecimal():
                exc.what = f"'{word.text}' is a range; type: {field.name} {first} {ends[0]} {last}"
                exc.nearest = exc.expected = ()
            raise

    def _message_step(self, word: Word) -> None:
        """Take the first word after a message's name: one of its fields, `no`, `index`, or its obvious value."""
        obvious = self._obvious(self.message)
        if self._is_bare_value(word, obvious):
            assert obvious is not None
            self.actions.append(Set(obvious, word, self._value(obvious, word)))
            self.state = State.FIELD
        elif word.text == "index" and self.state is State.ELEMENT and self.vocabulary()["index"] is None:
            self.state = State.INDEX
        else:
            self._field_step(word)

    def _is_bare_value(self, word: Word, obvious: schema.Field | None) -> bool:
        if obvious is None or word.text in typable(self.kind.segment, self.message.name):
            return False
        if word.quoted:
            return True
        if any(name.startswith(word.text) for name in self.vocabulary()):
            return False
        try:
            value_of(self.kind, obvious, word)
        except BadValue:
            return word.text[:1].isdigit()  # probably a mistyped address, not a field's name
        return True

    def _index_step(self, word: Word) -> None:
        action = self.actions[-1]
        self.actions[-1] = ElementAt(action.field, word, int(value_of(self.kind, INDEX, word)))
        self.state = State.FIELD

    def _no_step(self, word: Word) -> None:
        fields = typable(self.kind.segment, self.message.name)
        field = fields.get(word.text) or fields[self._pick(word, fields)]
        self.field, self.word, self.key = field, word, {}
        if not field.repeated:
            self.actions.append(Clear(field, word))
            self.state = State.FIELD
        elif is_mode(self.kind, field):
            self.state = State.NO_ELEMENT
        else:
            self.state = State.NO_VALUE

    def _no_value_step(self, word: Word) -> None:
        assert self.field is not None
        self.actions.append(Discard(self.field, word, value_of(self.kind, self.field, word)))
        self.state = State.FIELD

    def _no_element_step(self, word: Word) -> None:
        vocabulary = self.vocabulary()
        obvious = self.value()
        if self.key and word.text not in vocabulary:
            self._end_removal()
            self._field_step(word)
        elif self._is_bare_value(word, obvious):
            assert obvious is not None
            self.key[obvious.name] = value_of(self.kind, obvious, word)
        else:
            name = pick(word, vocabulary, f"a key of {self.field.name}" if self.field else "a key")
            if name == "index" and vocabulary[name] is None:
                self.state = State.NO_INDEX
                return
            self.word = word
            self.state = State.NO_KEY
            self.key[name] = None

    def _no_key_step(self, word: Word) -> None:
        name = next(reversed(self.key))
        self.key[name] = value_of(self.kind, self.element().fields[name], word)
        self.word = word
        self.state = State.NO_ELEMENT

    def _no_index_step(self, word: Word) -> None:
        assert self.field is not None
        self.actions.append(RemoveAt(self.field, word, int(value_of(self.kind, INDEX, word))))
        self.state = State.FIELD

    def _end_removal(self) -> None:
        assert self.field is not None
        self.actions.append(Remove(self.field, self.word, dict(self.key)) if self.key else Clear(self.field, self.word))
        self.key = {}
        self.state = State.FIELD

    def _pick(self, word: Word, vocabulary: Mapping[str, Any]) -> str:
        if word.text in self.message.fields:  # a name that cannot be typed is no abbreviation of another
            raise self._explained(UnknownWord("", word.text, word.column), word)
        try:
            return pick(word, vocabulary, f"a field of {self._place()}")
        except UnknownWord as exc:
            raise self._explained(exc, word) from None

    def entered(self) -> list[str]:
        """The fields whose modes the line has entered so far."""
        return [action.field.name for action in self.actions if isinstance(action, Enter | Element | ElementAt)]

    def _place(self) -> str:
        return " ".join([self.where, *self.entered()])

    def _explained(self, exc: UnknownWord, word: Word) -> UnknownWord:
        """Why a word that exists elsewhere in the model is no field here."""
        field = self.message.fields.get(word.text)
        if field is not None:
            why = "is read-only" if field.read_only else "is kept through import and export, but is not typed"
            exc.what = f"'{word.text}' {why}"
            exc.expected = ()
            return exc
        homes = home_of(self.kind.segment, word.text)
        if homes:
            exc.what += f"; it is a field of {' and of '.join(homes[:2])}"
            exc.nearest = exc.expected = ()
        return exc


_STEPS = {
    State.FIELD: Walk._field_step,
    State.TRUTH: Walk._truth_step,
    State.VALUE: Walk._value_step,
    State.ENTERED: Walk._message_step,
    State.ELEMENT: Walk._message_step,
    State.INDEX: Walk._index_step,
    State.NO: Walk._no_step,
    State.NO_VALUE: Walk._no_value_step,
    State.NO_ELEMENT: Walk._no_element_step,
    State.NO_KEY: Walk._no_key_step,
    State.NO_INDEX: Walk._no_index_step,
}


def _with_keys(kind: schema.Kind, actions: list[Action], position: int) -> list[Action]:
    """The actions from `position` on, with the values that name a list element moved into its `Element`."""
    result = actions[:position]
    while position < len(actions):
        action = actions[position]
        if not isinstance(action, Element):
            result.append(action)
            position += 1
            continue
        end = position + 1
        while end < len(actions) and not isinstance(actions[end], Enter | Element | ElementAt):
            end += 1
        result += _keyed(kind, action, actions[position + 1 : end])
        position = end
    return result


def _keyed(kind: schema.Kind, element: Element, rest: list[Action]) -> list[Action]:
    message = kind.message(element.field)
    assert message is not None
    typed = {action.field.name: action.value for action in rest if isinstance(action, Set)}
    for names in relations.KEYS.get(message.name, ()):
        if names[0] in typed:
            key = {name: typed.get(name) for name in names}
            others = [action for action in rest if not (isinstance(action, Set) and action.field.name in key)]
            return [Element(element.field, element.word, key), *others]
    return [element, *rest]
