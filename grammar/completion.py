"""Finds what may be typed next: from the words so far and the prompt's context, candidates with help, and a value's
form.

Pure, and built on the parser's own walk and tree: TAB, `?` and the parser cannot disagree.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import NamedTuple

from grammar import commands, schema, tree, values
from grammar.errors import BadQuoting, LineError
from grammar.fields import INDEX, NO, is_mode, one_token, typable
from grammar.lexer import Word, cut, quote, split
from grammar.nodes import Node, Slot
from grammar.parser import State, Walk


class Known(NamedTuple):
    """Names of objects that begin alike."""

    names: Sequence[str]  # sorted; if there are many, the first ones and the very last
    more: bool = False  # there are others between the last two
    help: Mapping[str, str] = {}  # help for some of them


Names = Callable[[str, str], Known]
"""The existing objects' names of a kind (segment) that begin with a text; for "commit" the numbers of commits, for
FILE the paths of files, those of folders with a slash behind them."""

FILE = "file"

WIDTH = 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word that may stand here."""

    word: str  # as it would be typed
    help: str = ""  # what it means


@dataclass(frozen=True, slots=True)
class Offer:
    """What may stand at the cursor."""

    partial: str  # the word begun there
    column: int  # where that word begins
    candidates: tuple[Candidate, ...] = ()  # words that continue it
    form: str = ""  # the form of a value that may stand here; "" = none may
    help: str = ""  # help for the value
    required: bool = False  # the object needs the value
    more: bool = False  # there are others between the last two

    def replacement(self) -> str:
        """What TAB puts in place of the partial word: the only candidate and a blank, or what all candidates begin
        with. A folder gets no blank, since the word goes on."""
        words = [candidate.word for candidate in self.candidates]
        if len(words) == 1:
            return words[0] if words[0].endswith("/") else words[0] + " "
        if self.form and not self.partial:
            return ""  # a value may stand here, too
        return commonprefix(words) if words and all(word.startswith(self.partial) for word in words) else self.partial

    def listing(self, width: int | None = None) -> list[str]:
        """The lines that TAB TAB and `?` print. width: of the terminal; None: lines of any length."""
        note = ", ".join(text for text in (self.help, "required" if self.required else "") if text)
        rows = [(self.form, note)] if self.form else []
        lines = listing([*rows, *((c.word, c.help) for c in self.candidates)], width)
        if self.more:
            lines.insert(-1, "...")
        return lines


def listing(rows: Iterable[tuple[str, str]], width: int | None = None) -> list[str]:
    """Words padded to 20 columns, then their help, broken between words; a longer word has it on the next line."""
    lines = []
    margin = " " * (WIDTH + 1)
    for word, about in rows:
        told = [about] if about else []
        if width:
            room = max(width - len(margin), WIDTH)
            told = textwrap.wrap(about, room, break_long_words=False, break_on_hyphens=False)
        if len(word) <= WIDTH:
            lines.append(f"{word:<{WIDTH}} {told.pop(0) if told else ''}".rstrip())
        else:
            lines.append(word)
        lines += [margin + line for line in told]
    return lines


def complete(text: str, context: commands.Context, names: Names) -> Offer:
    """What may follow a line's beginning, up to the cursor. If an earlier word is wrong, the offer is empty."""
    at, stage = _stage(text, context)
    done, partial = _begun(text[at:])
    typed = text[at + partial.column :]
    partial = partial._replace(column=at + partial.column)
    try:
        if stage is not None:
            return _of_nodes(stage, done, 0, partial, typed, names, inside=False)
        return _offer(done, partial, typed, context, names)
    except LineError:
        return Offer(typed, partial.column)


def _begun(text: str) -> tuple[list[Word], Word]:
    """The words before the cursor, and the one that it stands in or would begin."""
    try:
        words = split(text)
    except BadQuoting as exc:
        words = split(text[: exc.column]) + [Word(text[exc.column + 1 :], exc.column, True)]
        return words[:-1], words[-1]
    begun = bool(words) and not text[-1].isspace() if text else False
    return (words[:-1], words[-1]) if begun else (words, Word("", len(text)))


def _stage(text: str, context: commands.Context) -> tuple[int, Node | None]:
    """Where the last stage after `|` begins, and what may stand there; 0 and None if the line has no pipe."""
    head, stages = cut(text)
    try:
        chosen = commands.resolve(context, split(head)) if stages and head.strip() else None
    except LineError:
        chosen = None
    if chosen is None or isinstance(chosen, commands.Place) or chosen.word not in tree.PIPED:
        return 0, None
    return stages[-1][0], Node("|", next=tree.PIPES)


def _offer(done: list[Word], partial: Word, typed: str, context: commands.Context, names: Names) -> Offer:
    inside = context.mode is not None
    if not done:
        vocabulary = context.vocabulary()
        shorter = {n for n in vocabulary if n.startswith(typed)} - tree.UNABBREVIATED if typed else set()
        shown = {n: what for n, what in vocabulary.items() if not (shorter and n in tree.UNABBREVIATED)}
        return _made(partial, typed, ((name, _help(context, name, what)) for name, what in shown.items()))
    if len(done) == 1 and done[0].text == NO and context.modes():
        return _after_no(context, partial, typed)
    chosen = commands.resolve(context, done)
    if isinstance(chosen, commands.Place):
        return _of_fields(chosen.kind, chosen.message, done, partial, typed, names)
    return _of_nodes(chosen, done, 1, partial, typed, names, inside)


def _after_no(context: commands.Context, partial: Word, typed: str) -> Offer:
    fields: dict[str, schema.Field] = {}
    homes: dict[str, commands.Place] = {}
    for mode in context.modes():
        for name, field in typable(mode.kind.segment, mode.message.name).items():
            fields.setdefault(name, field)
            homes.setdefault(name, mode)
    return _made(partial, typed, ((n, field_help(homes[n].kind, f)) for n, f in fields.items()))


def _of_nodes(
    node: Node, words: Sequence[Word], start: int, partial: Word, typed: str, names: Names, inside: bool
) -> Offer:
    """Walk the tree of commands along the words, then offer what its node has next."""
    for position in range(start, len(words)):
        rest = next((n for n in node.next if n.slot is Slot.FIELDS), None)
        if rest is not None:
            kind = schema.kind(rest.kind)
            return _of_fields(kind, kind.root, words[position:], partial, typed, names)
        nested = next((n for n in node.next if n.slot is Slot.COMMAND), None)
        if nested is not None and not commands.is_option(node, words[position]):
            node = Node(words[position - 1].text, next=nested.next)
        node = commands.step(node, words[position])
    candidates: list[tuple[str, str]] = []
    form = help_ = ""
    more = False
    for n in node.next:
        if n.slot is None:
            candidates.append((n.word, tree.about(n)))
        elif n.slot is Slot.COMMAND:
            candidates += [(inner.word, inner.help) for inner in n.next]
        elif n.slot is Slot.FIELDS:
            kind = schema.kind(n.kind)
            return _of_fields(kind, kind.root, (), partial, typed, names)
        elif n.slot is Slot.VERB:
            candidates += tree.topics(inside=inside).items()
        else:
            form, help_ = n.word, n.help
            kind_ = FILE if n.slot is Slot.PATH else n.kind
            if n.slot in (Slot.OBJECT, Slot.PATH) or (n.slot is Slot.NUMBER and kind_):
                known = names(kind_, partial.text)
                candidates += [(quote(name), known.help.get(name, "")) for name in known.names]
                more = known.more
    return _made(partial, typed, candidates, form, help_, bool(form) and not node.action, more)


def _of_fields(
    kind: schema.Kind, message: schema.Message, words: Sequence[Word], partial: Word, typed: str, names: Names
) -> Offer:
    walk = Walk(kind, message)
    for word in words:
        walk.feed(word)
    candidates = [(n, _word_help(kind, n, f)) for n, f in walk.vocabulary().items()]
    field = walk.value()
    if field is None:
        return _made(partial, typed, candidates)
    form = values.form(field, one_token(kind, field))
    more = False
    if field.type == "enum":
        choices = schema.enums()[field.enum or ""]
        candidates += [(choice.lower(), "the default" if choice == field.default else "") for choice in choices]
        form = "<word>"
    elif field.type == "bool":
        candidates += [("true", ""), ("false", "")]
        form = ""
    elif field.type == "ref" and field.ref is not None:
        known = names(field.ref, partial.text)
        candidates += [(quote(name), "") for name in known.names]
        more = known.more
    return _made(partial, typed, candidates, form, field.help, _required(walk, field), more)


def _required(walk: Walk, field: schema.Field) -> bool:
    """Whether the object needs the field; for a number after `index`, whether the line needs it."""
    return field.required if walk.state is State.VALUE else walk.must()


def _made(
    partial: Word,
    typed: str,
    candidates: Iterable[tuple[str, str]],
    form: str = "",
    help_: str = "",
    must: bool = False,
    more: bool = False,
) -> Offer:
    fitting = {word: text for word, text in candidates if word.startswith(typed) or word.startswith(f'"{partial.text}')}
    fields = tuple(Candidate(word, text) for word, text in fitting.items())
    return Offer(typed, partial.column, fields, form, help_, must, more)


def _help(context: commands.Context, name: str, what: Node | schema.Field | None) -> str:
    if isinstance(what, Node):
        return what.help
    if what is None:
        return _NO_HELP
    for mode in context.modes():
        if typable(mode.kind.segment, mode.message.name).get(name) is what:
            return field_help(mode.kind, what)
    return ""


_NO_HELP = "switch a field off, return it to its default, or remove an element"


def _word_help(kind: schema.Kind, name: str, field: schema.Field | None) -> str:
    if field is not None:
        return field_help(kind, field)
    return {NO: _NO_HELP, "index": INDEX.help}.get(name, "")


def field_help(kind: schema.Kind, field: schema.Field) -> str:
    """One line on a field: what it is, the form of its value, its default, whether it is required."""
    facts = [field.help]
    if is_mode(kind, field):
        facts.append("a list: adds an element" if field.repeated else "enters its mode")
    elif field.type == "enum":
        facts.append(f"one of {len(schema.enums()[field.enum or ''])} words")
    elif field.type != "bool":
        facts.append(values.form(field, one_token(kind, field)))
    if field.default is not None:
        facts.append(f"default {str(field.default).lower() if field.type in ('bool', 'enum') else field.default}")
    if field.required:
        facts.append("required")
    return "; ".join(fact for fact in facts if fact)
