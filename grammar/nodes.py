"""The nodes of the tree of commands, and those that several commands have: plain data."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Slot(enum.Enum):
    """The kinds of words that are not keywords."""

    OBJECT = enum.auto()  # the name of an object of the node's kind
    NUMBER = enum.auto()  # of the node's kind, if it has one: "commit" = a number of the history
    PATH = enum.auto()
    TEXT = enum.auto()
    VERB = enum.auto()  # the name of a command, or of a page of the manual
    FIELDS = enum.auto()  # the rest of the line: fields of the kind
    COMMAND = enum.auto()  # the rest of the line: a command out of `next`


@dataclass(frozen=True, slots=True)
class Node:
    """A keyword, or a slot with `word` as its form (`<name>`)."""

    word: str  # a keyword, or a slot's form
    help: str = ""  # "" for a kind: the model's
    action: str = ""  # what is done if the line ends here; "" = it cannot end
    next: tuple[Node, ...] = ()  # what may follow
    slot: Slot | None = None  # None = a keyword
    argument: str = ""  # the argument's name in the Command
    kind: str = ""  # the segment of an OBJECT or FIELDS slot
    usage: str = ""  # what to say when the line ends here and cannot


def number(argument: str, action: str, form: str, *after: Node, kind: str = "", help_: str = "") -> Node:
    """A number. form: how it looks, "<0-9999>"; kind: "commit" for those of the history."""
    return Node(form, help_, action, after, Slot.NUMBER, argument, kind)


def commit_number(argument: str, action: str, *after: Node, help_: str) -> Node:
    """The number of a commit of the history. action: what is done if the line ends there."""
    return number(argument, action, "<commit>", *after, kind="commit", help_=help_)


def comment(action: str, *after: Node) -> Node:
    """`comment <text>`, of a command that makes a commit. action: the command's."""
    text = Node("<text>", "several words in double quotes", action, after, Slot.TEXT, "comment")
    return Node("comment", "why, for the history", next=(text,))


def _confirm(action: str, *after: Node) -> Node:
    minutes = Node("<1-1440>", "minutes", action, after, Slot.NUMBER, "confirm")
    return Node("confirm", "undo it in some minutes unless confirm follows", next=(minutes,))


def commit_options(action: str) -> tuple[Node, ...]:
    """`confirm <minutes>` and `comment <text>`, in any order, of a command that makes a commit."""
    return _confirm(action, comment(action)), comment(action, _confirm(action))


def any_of(action: str, options: Sequence[tuple[str, str, str]]) -> tuple[Node, ...]:
    """Words that may follow in any order, each once."""
    return tuple(
        Node(word, help, action, any_of(action, [o for o in options if o[0] != word]), argument=argument)
        for word, help, argument in options
    )
