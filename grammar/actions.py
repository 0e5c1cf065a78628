"""Actions: the changes that a line of fields makes to the open object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grammar import schema
from grammar.lexer import Word


@dataclass(slots=True)
class Action:
    """What a line asks of the open object.

    Not frozen: a frozen dataclass takes three times as long to make, and a line of eight words makes eight. Actions are
    plain subclasses of four shapes, because every dataclass costs a millisecond when the shell starts.
    """

    field: schema.Field  # the field's name in the mode that is current then
    word: Word  # where a caret would point


@dataclass(slots=True)
class Valued(Action):
    """An action with a value."""

    value: Any  # as stored; a reference's is the name as typed


@dataclass(slots=True)
class Keyed(Action):
    """An action on a list element that is named by its key fields."""

    key: Mapping[str, Any]  # key field → value; None = not set


@dataclass(slots=True)
class Numbered(Action):
    """An action on a list element that is named by its number."""

    index: int  # from 1


class Set(Valued):
    """Give a field its value."""

    __slots__ = ()


class Append(Valued):
    """Append a value to a repeated scalar."""

    __slots__ = ()


class Discard(Valued):
    """`no field value`: remove one value of a repeated scalar."""

    __slots__ = ()


class Clear(Action):
    """`no field`: false, or the default, or nothing."""

    __slots__ = ()


class Enter(Action):
    """Enter a message's mode; what follows happens in it."""

    __slots__ = ()


class Element(Keyed):
    """Enter the list element with this key, or a new one that gets it; an empty key is always new."""

    __slots__ = ()


class ElementAt(Numbered):
    """Enter the list element with this number."""

    __slots__ = ()


class Remove(Keyed):
    """Remove the list element with these values in its key fields. Key fields that were not typed are left out."""

    __slots__ = ()


class RemoveAt(Numbered):
    """Remove the list element with this number."""

    __slots__ = ()


class Lines(Action):
    """`field --`: the text follows on lines of its own, up to END."""

    __slots__ = ()


class FromFile(Valued):
    """`field file:PATH`: the text is in the file that the value names."""

    __slots__ = ()
