"""The batch front: lines from the command line, files or standard input; results out, errors to standard error.

It never prompts, pages, colours or asks. With `--transcript` it prints what a terminal would show.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from avi_shell.configuration.configuration import Configuration
from avi_shell.fronts import appliance
from avi_shell.output import render
from avi_shell.output.result import Result
from avi_shell.session import transaction
from avi_shell.session.session import Session
from avi_shell.session.source import Source
from dataplane.foreign.text import visible

DONE, REFUSED, USAGE, NOT_APPLIED, NO_STORE, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit statuses."""

_SHOWN = 5
"""How many places of refused lines are named."""


@dataclass(slots=True)
class Batch:
    """A run over sources."""

    session: Session  # which runs the lines
    keep_going: bool = False  # go on after a refused line
    as_json: bool = False  # print an object for each command
    bare: bool = False  # print only objects that are shown or saved, as JSON
    transcript: bool = False  # print what a terminal would show
    out: TextIO = field(default_factory=lambda: sys.stdout)  # where output goes
    err: TextIO = field(default_factory=lambda: sys.stderr)  # where errors go
    committed: bool = False  # a line stored something
    refused: list[str] = field(default_factory=list)  # where the lines stand that were refused

    def run(self, sources: Iterable[Source]) -> int:
        """Run every line. Returns the exit status."""
        status, where, commands = DONE, ("", 0), 0
        for source in sources:
            for number, line in source:
                where = (source.name, number)
                result = self._line(line.rstrip("\r\n"), *where)
                commands += not result.blank
                if not result.ok:
                    status = max(status, REFUSED)
                    self.refused.append(f"{source.name}:{number}")
                if result.ended or not (result.ok or self.keep_going):
                    return self._end(status, where, commands, told=not result.ok)
        return self._end(status, where, commands)

    def _line(self, line: str, file: str, number: int) -> Result:
        prompt = self.session.prompt
        self.session.origin = f"{file}:{number}"
        result = self.session.run(line)
        self._show(result, prompt, line, file, number)
        if result.repeat is not None:
            from avi_shell.fronts import watching  # late: few lines are watched

            later = watching.runs(self.session, line, result, _sleep)
            next(later)  # the run that was shown
            for result in later:
                self._show(result, prompt, line, file, number)
        self.committed = self.committed or result.committed is not None
        return result

    def _show(self, result: Result, prompt: str, line: str, file: str, number: int) -> None:
        if result.foretold and not (self.transcript or self.as_json):
            print(f"avi-shell: impact: {visible(result.foretold)}", file=self.err, flush=True)
        if self.transcript:
            for shown in render.transcript(result, prompt, self.session.settings.width or None):
                print(shown, file=self.out)
        elif self.bare:
            if (text := appliance.bare(self.session.configuration, result)) is not None:
                print(text, file=self.out)
            result.warnings += result.silent.values()
        elif self.as_json:
            if not result.blank:
                print(render.as_json(result, file, number), file=self.out)
        else:
            for shown in render.text_lines(result.parts, self.session.settings.width or None, self._columns()):
                print(shown, file=self.out)
        self.out.flush()
        for warning in result.warnings:
            print(f"avi-shell: warning: {warning}", file=self.err, flush=True)
        if result.error is not None and not self.transcript:
            self._complain(render.message(result.error), file, number)
            pointer = render.caret(result.error)
            if pointer is not None and not result.secret:
                print(visible(line), pointer, sep="\n", file=self.err, flush=True)
            for told in render.faults(result.error):
                print(visible(told), file=self.err, flush=True)

    def _columns(self) -> int | None:
        """The columns of the terminal that is printed to; None where it is none, or does not tell."""
        return os.get_terminal_size(self.out.fileno()).columns or None if self.out.isatty() else None

    def _complain(self, text: str, file: str, number: int) -> None:
        print(visible(f"{file}:{number}: error: {text}"), file=self.err, flush=True)

    def _end(self, status: int, where: tuple[str, int], commands: int, told: bool = False) -> int:
        """Say that open objects are not committed, and how many lines were refused. Ends a transcript with the
        prompt."""
        opened, lost = self.session.open, transaction.unfinished(self.session)
        if opened is not None or lost:
            status = max(status, REFUSED)
        if self.transcript:
            print(self.session.prompt, end="", file=self.out, flush=True)
        if opened is not None and not told:
            what = f"{opened.kind.segment} {opened.name} is still open: it is not committed; save or cancel is missing"
            if self.session.collecting:
                what = f"{opened.kind.segment} {opened.name} still waits for END of a text: it is not committed"
            self._complain(what, *where)
        if lost and not told:
            self._complain(f"{lost}; commit session is missing", *where)
        if self.keep_going and self.refused:
            print(visible(f"avi-shell: {refusals(self.refused, commands)}"), file=self.err, flush=True)
        return status


def _sleep(until: float) -> bool:
    """Wait between two runs of a line that is watched; only a signal leaves."""
    time.sleep(max(0.0, until - time.monotonic()))
    return False


def refusals(places: Sequence[str], commands: int) -> str:
    """How many commands were refused, and where the first ones stand."""
    shown = ", ".join(places[:_SHOWN]) + (", …" if len(places) > _SHOWN else "")
    return f"{len(places):,} of {commands:,} commands {'was' if len(places) == 1 else 'were'} refused: {shown}"


def applied(configuration: Configuration, directory: Path, seconds: float) -> bool:
    """Whether every running engine, and at least one, applies all that is planned within some seconds."""
    from dataplane import client
    from dataplane.errors import DataplaneError

    with configuration.snapshot() as store:
        version = max(0, store.newest_planned())  # a commit that plans nothing new has no version there
        identity, epoch = store.identity()
    try:
        return client.wait_applied(directory, version, seconds, identity, epoch)
    except DataplaneError:
        return False
