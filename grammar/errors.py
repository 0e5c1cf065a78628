"""Errors of the language: what was wrong with a line, a word, a value or the object model.

    LanguageError
    ├── ModelError            the object model's data is not what the loader accepts
    └── LineError             a line cannot be taken; carries word, column, what was expected, nearest match
        ├── UnknownWord       the word is none of those possible here
        ├── AmbiguousWord     the word abbreviates several
        ├── IncompleteLine    a word or a value is missing at the end of the line
        │   └── Usage         the name of an object is missing; the error is the sentence that shows the usage
        ├── BadValue          the value does not fit the field's type or range
        └── BadQuoting        a double quote is not closed

An error carries facts, never formatted text: the front decides how they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass


class LanguageError(Exception):
    """Anything this package refuses."""


class ModelError(LanguageError):
    """The object model's data is wrong: names file, message, field and fault."""


@dataclass
class LineError(LanguageError):
    """A line that was refused."""

    what: str  # the fault, as a sentence
    word: str = ""  # the offending word as typed; "" when one is missing
    column: int = 0  # of its first character, from 0, in the line as given
    expected: tuple[str, ...] = ()  # what would be accepted
    nearest: tuple[str, ...] = ()  # the closest accepted words, best first
    path: str = ""  # the field's path where one is known ("servers[2].port")

    def __str__(self) -> str:
        return self.what


class UnknownWord(LineError):
    """The word is none of those possible at its place."""


class AmbiguousWord(LineError):
    """The word abbreviates more than one word; `expected` holds the candidates."""


class IncompleteLine(LineError):
    """The line ends where a word or a value must follow."""


class Usage(IncompleteLine):
    """The name that a command is about is missing; `what` is the whole sentence to print."""


class BadValue(LineError):
    """The value is of the wrong type, out of range, or names nothing that exists."""


class BadQuoting(LineError):
    """A double quote that opens and does not close."""
