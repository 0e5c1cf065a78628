"""Runs lines on a copy of the configuration. Every fault is told once, at its line; nothing else happens. What follows
from a fault is not told: fields of an object that could not be opened, references to an object that was refused."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from avi_shell.errors import InvalidFile, NotFound, RefusedLine, ShellError
from avi_shell.output import render
from avi_shell.session import firstwords, transaction
from avi_shell.session.openobject import OpenObject
from avi_shell.session.source import Source
from avi_shell.session.state import SessionState
from dataplane.wording import counted
from grammar import commands, schema
from grammar.errors import BadValue, LanguageError, LineError
from grammar.lexer import Word, pick
from grammar.nodes import Node

_PACE = 2.0
"""Seconds between two words of how far it is."""

Object = tuple[str, str]
"""An object's segment and name."""


class Rehearsal:
    """A run on a copy. session: over that copy."""

    def __init__(self, session: SessionState) -> None:
        session.rehearsing = True
        self.faults: list[RefusedLine] = []  # in the order of the lines
        self.places: dict[Object, str] = {}  # where objects were opened last, as FILE:LINE
        self.doubtful: set[Object] = set()  # objects of which a line was refused
        self.lines = 0  # that were run
        self._session = session
        self._refused: set[Object] = set()  # of the doubtful, those that are not there
        self._at = "", 0  # the line that is run: its file and number
        self._lost = False  # in the lines of an object that could not be opened
        self._told = time.monotonic()

    def run(self, sources: Iterable[Source]) -> None:
        """Run every line, up to an `exit` at the root prompt."""
        for source in sources:
            for number, line in source:
                self._at = source.name, number
                if self._line(line.rstrip("\r\n")):
                    self._end()
                    return
        self._end()

    def place(self, fault: ShellError) -> str:
        """The line that opened the object of a fault; the object, where no line did."""
        return self.places.get(fault.about) or fault.path

    def _line(self, text: str) -> bool:
        """Run a line. Returns whether it leaves the shell."""
        session, before = self._session, self._session.open
        words = [] if session.collecting else firstwords.words(text)
        if self._lost and not firstwords.verb(words):
            return False
        self._lost = False
        session.origin = place = "{}:{}".format(*self._at)
        result = session.run(text)
        self.lines += not result.blank
        if time.monotonic() - self._told >= _PACE:
            self._told = time.monotonic()
            session.progress(f"{place}: {counted(self.lines, 'line')}")
        opened = session.open
        if result.error is not None:
            self._fault(result.error, before, words)
        elif opened is not None and opened is not before:
            self.places[opened.kind.segment, opened.name] = place
        return result.ended

    def _fault(self, error: LanguageError | ShellError, before: OpenObject | None, words: Sequence[Word]) -> None:
        session = self._session
        if before is None:
            about = _named(words)
            follows = (about in self._refused and isinstance(error, NotFound)) or self._is_missing(error)
            self._lost = firstwords.verb(words) in firstwords.OPENERS
            if self._lost and about is not None:
                self._refused.add(about)
                self.doubtful.add(about)
        else:
            about = before.kind.segment, before.name
            follows = self._is_missing(error)
            if session.open is before and self._stores(words) and not isinstance(error, LineError):
                follows = about in self.doubtful  # it was told already
                session.open = session.text = None
                self._refused.add(about)
            self.doubtful.add(about)
        if not follows:
            self._tell(error)

    def _is_missing(self, error: LanguageError | ShellError) -> bool:
        """Whether an object is missing because it was refused."""
        return isinstance(error, BadValue) and any(
            error.what == f"there is no {segment} '{name}'" for segment, name in self._refused
        )

    def _stores(self, words: Sequence[Word]) -> bool:
        """Whether a line stores the open object."""
        opened = self._session.open
        if not words:
            return False
        try:
            chosen = commands.resolve(self._session.context(), words)
        except LineError:
            return False
        is_end = isinstance(chosen, Node) and chosen.action in ("save", "exit")
        return is_end and opened is not None and len(opened.modes) == 1

    def _tell(self, error: LanguageError | ShellError) -> None:
        several = isinstance(error, InvalidFile)
        for fault in error.faults if isinstance(error, InvalidFile) else [error]:
            inner = fault.path if several and isinstance(fault, ShellError) else ""
            self.faults.append(RefusedLine(render.message(fault), *self._at, inner))

    def _end(self) -> None:
        opened, lost = self._session.open, transaction.unfinished(self._session)
        if opened is not None:
            what = f"{opened.kind.segment} {opened.name} is still open: save or cancel is missing"
            self.faults.append(RefusedLine(what, *self._at))
        if lost:
            self.faults.append(RefusedLine(f"{lost}; commit session is missing", *self._at))


def _named(words: Sequence[Word]) -> Object | None:
    """The object that a command of the root prompt names."""
    if len(words) < 3 or not firstwords.verb(words):
        return None
    try:
        segment = pick(words[1], schema.SEGMENTS, "")
    except LineError:
        return None
    return "debugvirtualservice" if firstwords.verb(words) == "debug" else segment, words[2].text
