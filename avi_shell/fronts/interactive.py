"""The common part of a terminal's two fronts, the one with line editing and the plain one: show, ask, watch, leave."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from avi_shell.fronts import watching
from avi_shell.fronts.batch import DONE, REFUSED, refusals
from avi_shell.fronts.keyboard import Keyboard
from avi_shell.fronts.screen import LEAVE
from avi_shell.output import render
from avi_shell.output.result import Part, Prose, Result
from avi_shell.session import confirming, together, transaction
from avi_shell.session.session import Session
from avi_shell.session.source import Pasted
from avi_shell.session.state import QUESTION
from dataplane.foreign.text import visible
from dataplane.wording import counted
from grammar.lexer import is_comment, prompt_end

PAUSE = 0.1
"""Seconds without input after which a paste counts as finished."""
LOOK_EVERY = 0.5
"""Seconds between two looks at the time while a line is typed."""


class Interactive(ABC):
    """A session at a terminal. keyboard: what is typed there."""

    def __init__(self, session: Session, keyboard: Keyboard) -> None:
        self._session = session
        self._keyboard = keyboard
        session.progress = self._tell
        session.ask = self._ask
        self._warned = False  # Ctrl-D was pressed once with an object open
        self._copy = Pasted()
        self._pasted = 0  # commands that came at once, so far
        self._refused: list[str] = []  # those of them that were refused
        self._last: tuple[str, Result] | None = None  # the last one, where it was refused
        self._left_out: int | None = None  # how many of them were not run; None: none is left out

    def run(self) -> int | None:
        """Read and run lines until the operator leaves. Returns the exit status; None where the terminal is to be a
        plain one from now on, and this front is none."""
        while not self._is_over():
            try:
                text = self._read()
            except KeyboardInterrupt:
                self._session.drop_text()
                continue
            except EOFError:
                if self._may_leave():
                    return self._left()
                continue
            self._warned = False
            try:
                if self._run(text):
                    return self._left()
            except KeyboardInterrupt:
                self._keyboard.drop()
                print()  # a command was interrupted: what it had not committed is not done
            self._count()
        return None

    @abstractmethod
    def _read(self) -> str:
        """Read the line after the prompt. Raises EOFError, and KeyboardInterrupt if the line is dropped."""

    @abstractmethod
    def _answer(self, question: str) -> str:
        """Read the answer to a question. Raises EOFError."""

    @abstractmethod
    def _page(self, text: str) -> None:
        """Show a long text."""

    @abstractmethod
    def _clear(self) -> None:
        """Clear the screen."""

    def _is_over(self) -> bool:
        """Whether another front is to take over."""
        return False

    def _run(self, line: str) -> bool:
        """Run a line. Returns whether the shell is to be left. What a pasted session shows as output is left out."""
        prompt = self._session.prompt
        if self._printed(line):
            return False
        if self._left_out is not None:
            self._left_out += bool(line.strip()) and not is_comment(line)
            return False
        result = self._carried_out(line)
        self._pasted += not result.blank
        self._last = None if result.ok else (line, result)
        if not result.ok:
            self._refused.append(together.short(line, result))
            if together.note(self._session, line, result):
                self._left_out = 0
        if result.repeat is not None:
            self._watch(line, prompt, result)
        else:
            self._show(result, prompt)
        return result.ended

    def _printed(self, line: str) -> bool:
        """Whether a line is output of a session that is pasted with its prompts. A command without one ends that."""
        text = self._session.collecting
        if self._copy.shows(line, text=text):
            if self._last is not None and line.startswith(render.REFUSALS):
                together.forgive(self._session, *self._last)
                self._left_out = None
            return True
        if not text and line.strip() and not prompt_end(line):
            self._copy = Pasted()
        return False

    def _count(self) -> None:
        """At the end of a paste, say how many of its commands were refused, since the errors may have left the
        screen."""
        if self._keyboard.waits(PAUSE if self._refused else 0):
            return
        if self._refused and self._pasted > 1:
            self._print(self._prose([visible(refusals(self._refused, self._pasted))]))
        if self._left_out and (opened := self._session.open) is not None:
            lines = counted(self._left_out, "line was", "lines were")
            what = f"{lines} not run behind {self._refused[-1]}: {opened.kind.segment} {opened.name} was still open"
            self._print(self._prose([visible(f"{what}. Save or cancel it, then paste again from that line on.")]))
        self._pasted, self._refused, self._last, self._left_out = 0, [], None, None
        together.settle(self._session)

    def _carried_out(self, line: str) -> Result:
        """The result of a line."""
        return self._session.run(line)

    def _show(self, result: Result, prompt: str) -> None:
        if result.clear:
            self._clear()
        lines = render.text_lines([*render.foretold(result), *result.parts], self._width())
        if any(pipe.action == "more" for pipe in result.pipes) and self._session.settings.length != 0:
            self._page("\n".join(lines))
        else:
            self._print(lines)
        self._warn(result.warnings)
        if result.error is not None:
            pointer = render.caret(result.error, len(prompt), self._width())
            told = render.text_lines(render.refused(result.error), self._width())
            self._print([*([] if pointer is None else [pointer]), *told])

    def _print(self, lines: Sequence[str]) -> None:
        if lines:
            print("\n".join(lines))

    def _prose(self, told: Iterable[str]) -> list[str]:
        return render.text_lines(map(Prose, told), self._width())

    def _warn(self, told: Iterable[str]) -> None:
        self._print(self._prose(f"warning: {warning}" for warning in told))

    def _width(self) -> int | None:
        """Columns of a line: as `terminal width` says, else those that the terminal has; None where it tells none."""
        return self._session.settings.width or os.get_terminal_size(sys.stdout.fileno()).columns or None

    def _tell(self, text: str) -> None:
        """What a long command does while it runs."""
        print(f"... {text}", flush=True)

    def _ask(self, told: Sequence[Part], question: str) -> bool:
        """Show what would be done, and ask. Anything but yes, and the end of the input, is no."""
        self._print(render.text_lines(told, self._width()))
        try:
            return self._answer(QUESTION.format(question)).strip().lower() in ("y", "yes")
        except EOFError:
            print()
            return False

    def _watch(self, line: str, prompt: str, first: Result) -> None:
        """Show a line's result again and again. first: that of its first run."""
        try:
            for result in watching.runs(self._session, line, first, self._left_by_key):
                self._show(result, prompt)
        except KeyboardInterrupt:
            self._keyboard.drop()
            print()

    def _left_by_key(self, until: float) -> bool:
        """Wait. Returns whether q was pressed meanwhile, or the terminal is gone."""
        while (left := until - time.monotonic()) > 0:
            pressed = self._keyboard.pressed(left)
            if pressed in LEAVE or self._keyboard.ended:
                return True
            self._keyboard.held += pressed
        return False

    def _may_leave(self) -> bool:
        opened, lost = self._session.open, transaction.unfinished(self._session)
        if self._warned or not (opened or lost):
            return True
        self._warned = True
        if opened is not None:
            print(f"{opened.kind.segment} {opened.name} is open and not saved: save or cancel. Ctrl-D again drops it.")
        if lost:
            print(f"{lost}: commit session or discard session. Ctrl-D again drops them.")
        return False

    def _left(self) -> int:
        """The exit status: whether anything was lost. Says what waits to be confirmed."""
        self._print(self._prose(confirming.leaving(self._session)))
        return REFUSED if self._session.open is not None or transaction.unfinished(self._session) else DONE
