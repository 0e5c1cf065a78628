"""Finds out what a line means at a prompt: a command of the tree, or fields of a mode.

`resolve` decides which of the two; the fields may be those of the current mode, or of one that `save` just closed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from grammar import schema
from grammar.errors import BadValue, IncompleteLine, LineError, UnknownWord, Usage
from grammar.fields import NO, typable
from grammar.habits import HABITS
from grammar.lacking import LACKING, LACKING_AFTER, LACKING_KINDS
from grammar.lexer import Word, pick
from grammar.nodes import Node, Slot
from grammar.parser import parse
from grammar.tree import UNABBREVIATED, root, topics

_ABBREVIATED = 3
"""Letters that say which command is meant, at the prompt that does not have it."""


@dataclass(slots=True)
class Command:
    """A line understood as a command."""

    action: str  # what to do
    kind: str = ""  # the segment of the kind that it is about
    arguments: dict[str, Word] = field(default_factory=dict)  # words in slots, by the node's `argument`
    fields: list[Word] = field(default_factory=list)  # words for the fields of `kind`

    def text(self, name: str) -> str:
        """An argument's text, "" when it was not typed."""
        word = self.arguments.get(name)
        return word.text if word is not None else ""


@dataclass(frozen=True, slots=True)
class Place:
    """A mode in which fields may be typed, as the grammar sees it."""

    kind: schema.Kind  # of the open object
    message: schema.Message  # whose fields they are
    where: str  # the mode's name in messages


@dataclass(frozen=True, slots=True)
class Context:
    """The commands and modes that a line may use."""

    commands: tuple[Node, ...]  # those of the prompt
    mode: Place | None = None  # the current one; None at root
    closed: tuple[Place, ...] = ()  # modes that `save` just closed, innermost first
    elsewhere: tuple[Node, ...] = ()  # commands of the other prompt, so that an error can say where they belong

    def modes(self) -> tuple[Place, ...]:
        """The current mode, then the closed ones."""
        return ((self.mode,) if self.mode is not None else ()) + self.closed

    def vocabulary(self) -> dict[str, Node | schema.Field | None]:
        """All possible first words: commands, then fields of the modes, then `no`. An earlier meaning hides a later
        one."""
        words: dict[str, Node | schema.Field | None] = {node.word: node for node in self.commands}
        for mode in self.modes():
            for name, member in typable(mode.kind.segment, mode.message.name).items():
                words.setdefault(name, member)
        if self.modes():
            words.setdefault(NO, None)
        return words


def resolve(context: Context, words: Sequence[Word]) -> Node | Place:
    """Find what the first words choose: a command's node, or the mode to which the line's fields belong.

    Raises UnknownWord, AmbiguousWord, IncompleteLine (a lonely `no`).
    """
    first = words[0]
    commands = {node.word: node for node in context.commands}
    if first.text in commands:
        return commands[first.text]
    modes = context.modes()
    if not modes:
        return commands[_pick(context, first, commands, "a command")]
    if first.text == NO:
        return _mode_of(context, words, NO)
    mode = _owner(modes, first.text)
    if mode is not None:
        return mode
    if context.mode is not None and any(node.word == first.text for node in context.elsewhere):
        # `delete pool p1` must not become an abbreviated delete_server_on_dns_refresh of the pool that is open.
        raise _explained(context, UnknownWord("", first.text, first.column), first)
    where = context.mode.where if context.mode is not None else ""
    name = _pick(context, first, context.vocabulary(), f"a command or a field of {where}" if where else "a command")
    return commands[name] if name in commands else _mode_of(context, words, name)


def _mode_of(context: Context, words: Sequence[Word], name: str) -> Place:
    """The mode to which a field's name belongs; for `no`, the mode of the word after it."""
    modes = context.modes()
    if name == NO:
        if len(words) < 2:
            return modes[0]  # its parser says what is missing
        names = {n: None for mode in modes for n in typable(mode.kind.segment, mode.message.name)}
        if words[1].text in names:
            name = words[1].text
        else:
            matches = [n for n in names if n.startswith(words[1].text)]
            if not matches or (len(matches) > 1 and not context.closed):
                return modes[0]  # its parser names the fault
            name = pick(words[1], names, "a field")
    mode = _owner(modes, name)
    assert mode is not None
    return mode


def _owner(modes: Sequence[Place], name: str) -> Place | None:
    for mode in modes:
        if name in typable(mode.kind.segment, mode.message.name):
            return mode
    return None


def _pick(context: Context, word: Word, vocabulary: Collection[str], what: str) -> str:
    try:
        return pick(word, [name for name in vocabulary if name not in UNABBREVIATED], what)
    except UnknownWord as exc:
        exc.nearest = (*(name for name in UNABBREVIATED if name.startswith(word.text)), *exc.nearest)
        if word.text in LACKING:
            lacking = f"'{word.text}' is a command of the appliance that avi-shell does not have"
            raise UnknownWord(lacking, word.text, word.column) from None
        raise _explained(context, exc, word) from None


def _of_other_prompt(context: Context, word: Word) -> str:
    """The command of the other prompt that a word is, or abbreviates with three letters or more; "" for none."""
    here = {node.word for node in context.commands}
    names = [n.word for n in context.elsewhere if n.word.startswith(word.text) and n.word not in here]
    if word.text in names:
        return word.text
    return names[0] if len(names) == 1 and len(word.text) >= _ABBREVIATED else ""


def _explained(context: Context, exc: UnknownWord, word: Word) -> UnknownWord:
    habit = HABITS.get(word.text)
    meant = (habit.root if context.mode is None else habit.mode) if habit is not None else ()
    if context.mode is None and word.text in schema.SEGMENTS:
        meant = (f"configure {word.text}", f"show {word.text}")
    if name := _of_other_prompt(context, word):
        exc.what = (
            f"'{name}' is a command of the root prompt; an object is open: save or cancel it first"
            if context.mode is not None
            else f"'{name}' has a meaning only while an object is open; configure opens one"
        )
        exc.nearest = exc.expected = ()
    elif meant:
        exc.nearest, exc.expected = meant, ()
    elif context.mode is not None:
        mode = context.mode
        fields = typable(mode.kind.segment, mode.message.name)
        exc.expected = tuple(dict.fromkeys([*fields, *exc.expected]))
        try:
            parse(mode.kind, mode.message, [word], mode.where)
        except UnknownWord as better:
            if better.what != f"'{word.text}' is not a field of {mode.where}":
                exc.what, exc.nearest, exc.expected = better.what, better.nearest, better.expected
        except LineError:
            pass
    return exc


def match(node: Node, words: Sequence[Word], start: int = 1) -> Command:
    """The command of a line whose words before `start` led to `node`.

    Raises IncompleteLine with the usage, UnknownWord, AmbiguousWord or BadValue.
    """
    command = Command(node.action, node.kind)
    for position in range(start, len(words)):
        word = words[position]
        rest = next((n for n in node.next if n.slot is Slot.FIELDS), None)
        if rest is not None:
            command.fields = list(words[position:])
            break
        nested = next((n for n in node.next if n.slot is Slot.COMMAND), None)
        if nested is not None and not is_option(node, word):
            chosen = {n.word: n for n in nested.next}
            outer = nested.argument or words[position - 1].text
            inner = match(chosen[_inner(outer, word, chosen)], words, position + 1)
            mine = {**command.arguments, nested.argument: word} if nested.argument else command.arguments
            inner.arguments = mine | inner.arguments
            return inner
        node = step(node, word, words[position - 1].text if node.slot else node.word)
        if node.slot is not None:
            command.arguments[node.argument or node.word] = word
        elif node.argument:
            command.arguments[node.argument] = Word(node.word, word.column)
        command.kind = node.kind or command.kind
        command.action = node.action
    if not node.action:
        end = words[-1].column + len(words[-1].text) + 1
        if node.usage:
            raise Usage(node.usage, "", end)
        missing = f"the line ends after '{words[-1].text if node.slot else node.word}', where more must follow"
        following = (inner for n in node.next for inner in (n.next if n.slot is Slot.COMMAND else (n,)))
        raise IncompleteLine(missing, "", end, tuple(n.word for n in following))
    return command


def is_option(node: Node, word: Word) -> bool:
    """Whether a word after `watch` or `do` is one of their options, and not the beginning of the command."""
    return any(
        (n.slot is Slot.NUMBER and word.text[:1].isdecimal())
        or (n.slot is None and bool(word.text) and n.word.startswith(word.text))
        for n in node.next
    )


def _inner(outer: str, word: Word, chosen: Collection[str]) -> str:
    """The command that a word after another command (`do`, `watch`) is or abbreviates. Raises LineError."""
    try:
        return pick(word, chosen, f"a command after '{outer}'")
    except UnknownWord as exc:
        if any(node.word == word.text for node in root()):
            open_ = ": an object is open, save or cancel it first" if outer == "do" else ""
            exc.what = f"'{outer}' runs {', '.join(chosen)}; not '{word.text}'{open_}"
            exc.nearest = exc.expected = ()
        raise


def step(node: Node, word: Word, behind: str = "") -> Node:
    """The node that a word leads to. behind: the word in front of it, as messages quote it.

    Raises UnknownWord, AmbiguousWord, BadValue.
    """
    behind = behind or node.word
    keywords = {n.word: n for n in node.next if n.slot is None}
    slot = next((n for n in node.next if n.slot is not None), None)
    if slot is None or (not word.quoted and word.text in keywords):
        after = " (a text of several words stands in double quotes)" if node.slot is Slot.TEXT else ""
        if not keywords:
            raise UnknownWord(f"nothing is expected after '{behind}'{after}", word.text, word.column)
        if f"{node.word} {word.text}" in LACKING_AFTER:
            what = f"'{node.word} {word.text}' is a command of the appliance that avi-shell does not have"
            raise UnknownWord(what, word.text, word.column)
        if word.text in LACKING_KINDS and word.text not in keywords:
            what = f"'{word.text}' is a kind of object of the appliance that avi-shell does not have"
            raise UnknownWord(what, word.text, word.column)
        return keywords[pick(word, keywords, f"possible after '{behind}'{after}")]
    if keywords and not word.quoted:
        matches = [n for w, n in keywords.items() if w.startswith(word.text)]
        if len(matches) == 1:
            return matches[0]
    if slot.slot is Slot.NUMBER and not (word.text.isascii() and word.text.isdecimal() and len(word.text) < 10):
        raise BadValue(f"'{word.text}' is not a number", word.text, word.column, (slot.word,))
    if slot.slot is Slot.VERB:
        with suppress(UnknownWord):  # the code that shows pages knows which pages mention the word
            pick(word, topics(), "a command or a page of the manual")
    if not word.text:
        raise BadValue(f"an empty word is no {slot.word}", "", word.column, (slot.word,))
    return slot
