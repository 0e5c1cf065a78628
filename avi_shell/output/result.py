"""What a line did, as data: the fronts turn it into text or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from avi_shell.errors import ShellError
from grammar.errors import LanguageError


@dataclass(frozen=True, slots=True)
class Table:
    """A table to draw."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Words:
    """Words and what they mean, as TAB TAB and `?` list them."""

    rows: Sequence[tuple[str, str]]


class Prose(str):
    """A line for people alone, which may be broken between words where it is wider than the terminal; no command, which
    would have to be pasted whole."""

    __slots__ = ()


Part = str | Table | Words


@dataclass(frozen=True, slots=True)
class Pipe:
    """One stage after `|`: grep, except, count, json, save or more, and its argument."""

    action: str
    argument: str = ""


@dataclass(slots=True)
class Result:
    """The outcome of one line.

    command: the line without a pasted prompt, which was `offset` characters long; parts: what to print, in order:
    text, tables, words; data: the same for programs (the stored object, a list of them, …); error: why the line
    was refused (it then changed nothing); path: the path in the object that the error is about; mode: the open modes,
    outermost first; ended: the shell is to be left; blank: an empty line or a comment; repeat: run the line again and
    again until interrupted; committed: the configuration's version, where the line stored something; secret: the line
    holds a secret and belongs in no history.
    """

    command: str
    offset: int = 0
    parts: list[Part] = field(default_factory=list)
    data: Any = None
    error: LanguageError | ShellError | None = None
    mode: list[str] = field(default_factory=list)
    pipes: tuple[Pipe, ...] = ()
    ended: bool = False
    blank: bool = False
    clear: bool = False
    repeat: bool = False
    committed: int | None = None
    path: str = ""
    secret: bool = False

    @property
    def ok(self) -> bool:
        """Whether the line was taken."""
        return self.error is None

    @property
    def notices(self) -> list[str]:
        """The lines of text among the parts."""
        return [part for part in self.parts if isinstance(part, str)]
