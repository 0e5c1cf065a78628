"""What a line did, as data: the fronts turn it into text or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from avi_shell.errors import ShellError
from avi_shell.output.grep import Search
from grammar.errors import LanguageError


@dataclass(frozen=True, slots=True)
class Table:
    """A table to draw."""

    columns: tuple[str, ...]  # their headings
    rows: Sequence[Sequence[str]]  # a cell for each column


@dataclass(frozen=True, slots=True)
class Words:
    """Words and what they mean, as TAB TAB and `?` list them."""

    rows: Sequence[tuple[str, str]]  # word, help


class Prose(str):
    """A line for people alone, which may be broken between words where it is wider than the terminal; no command, which
    would have to be pasted whole."""

    __slots__ = ()


class Page(str):
    """A page of the manual, in Markdown. A terminal shows it formatted, others get it as it is."""

    __slots__ = ()


Part = str | Table | Words


class Repeat(NamedTuple):
    """A line is to be run again and again."""

    seconds: int  # between two runs
    times: int | None = None  # so many runs at most; None = until interrupted


@dataclass(frozen=True, slots=True)
class Pipe:
    """One stage after `|`."""

    action: str  # grep, except, begin, last, count, no-more, json, save or more
    argument: str = ""  # its word; "" = none
    search: Search | None = None  # what grep, except and begin look for


@dataclass(slots=True)
class Result:
    """The outcome of one line."""

    command: str  # the line without a pasted prompt
    offset: int = 0  # how many characters long that prompt was
    parts: list[Part] = field(default_factory=list)  # what to print, in order: text, tables, words
    asked: list[Part] = field(default_factory=list)  # what a person was shown before, and asked, with the answer
    data: Any = None  # the same for programs: the stored object, a list of them, …
    kind: str = ""  # the segment of what `show` showed or `save` stored, where `data` holds such objects
    foretold: str = ""  # what the commit does to forwarding, a paragraph before the parts
    impact: Any = None  # the same for programs
    error: LanguageError | ShellError | None = None  # why the line was refused; it then changed nothing
    mode: list[str] = field(default_factory=list)  # the open modes, outermost first
    pipes: tuple[Pipe, ...] = ()  # the stages after `|`
    ended: bool = False  # the shell is to be left
    blank: bool = False  # an empty line or a comment
    clear: bool = False  # the screen is to be cleared
    repeat: Repeat | None = None  # the line is to be run again and again
    sight: Any = None  # what a terminal then draws on its whole screen, in place of the parts
    committed: int | None = None  # the configuration's version, where the line stored something
    path: str = ""  # the path in the object that the error is about
    secret: bool = False  # the line holds a secret and belongs in no history

    live: list[dict[str, Any]] | None = None  # what a list shows of what engines report, by object
    silent: dict[str, str] = field(default_factory=dict)  # why engines that were asked did not answer

    warnings: list[str] = field(default_factory=list)  # what failed besides the command, for the shell's operator

    @property
    def ok(self) -> bool:
        """Whether the line was taken."""
        return self.error is None

    @property
    def notices(self) -> list[str]:
        """The lines of text among the parts."""
        return [part for part in self.parts if isinstance(part, str)]
