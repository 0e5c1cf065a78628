"""The terminal front: line editing, history, TAB and `?`. Only this module knows prompt_toolkit.

TAB completes, TAB TAB and `?` list what may follow; the line stays. Ctrl-C drops the line, Ctrl-D at an empty line
leaves; while an object is open it takes two, because what was entered is then lost.
"""

from __future__ import annotations

import asyncio
import os
import pydoc
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, run_in_terminal
from prompt_toolkit.formatted_text import AnyFormattedText
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth, Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import clear

from avi_shell.fronts.batch import DONE, REFUSED, WATCH_INTERVAL
from avi_shell.output import render
from avi_shell.output.result import Part, Prose, Result
from avi_shell.session import confirming, transaction
from avi_shell.session.session import Session
from avi_shell.session.state import QUESTION
from dataplane import statedir
from dataplane.foreign.text import visible
from grammar.errors import BadQuoting
from grammar.lexer import split

LOOK_EVERY = 0.5
"""Seconds between two looks at the time while a line is typed."""


class _History(FileHistory):
    """A history file into which a line comes only once it ran, so that lines with secrets can be left out."""

    def __init__(self, path: Path) -> None:
        self.fault = ""  # why it cannot be read or written, told by who sees it
        try:
            os.close(statedir.open_file(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY))
        except OSError as exc:
            self.fault = f"typed lines are not kept: {path}: {exc.strerror}"
        super().__init__(str(path))

    def load_history_strings(self) -> Iterable[str]:
        """The lines of earlier sessions; none where the file cannot be read."""
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        """Called when a line is accepted; `keep` writes."""

    def keep(self, string: str) -> None:
        """Write a line to the file."""
        try:
            super().store_string(string)
        except OSError as exc:
            self.fault = self.fault or f"typed lines are not kept: {self.filename!s}: {exc.strerror}"


class Terminal:
    """A session at a terminal. history: the file of typed lines."""

    def __init__(self, session: Session, history: Path) -> None:
        self._session = session
        session.progress = self._tell
        session.ask = self._ask
        self._history = _History(history)
        self._tabbed: str | None = None  # the line as the last TAB left it
        self._told = False  # that the history cannot be kept was said
        self._warned = False  # Ctrl-D was pressed once with an object open
        self._editor: PromptSession[str] = PromptSession(
            self._message,
            history=self._history,
            key_bindings=self._bindings(),
            color_depth=ColorDepth.DEPTH_1_BIT,
            output=_output(),
        )

    def run(self) -> int:
        """Read and run lines until the operator leaves. Returns the exit status."""
        while True:
            try:
                text = self._editor.prompt(pre_run=self._keep_time)
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
                print()  # a command was interrupted: what it had not committed is not done

    def _keep_time(self) -> None:
        """While a line is typed, look whether something was to be confirmed by now."""
        get_app().create_background_task(self._look_at_time())

    async def _look_at_time(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if told := self._session.undo_overdue():
                await run_in_terminal(lambda told=told: self._warn(told))  # type: ignore[misc]

    def _warn(self, told: Iterable[str]) -> None:
        for warning in told:
            for line in render.text_lines([Prose(f"warning: {warning}")], self._width()):
                print(line)

    def _message(self) -> AnyFormattedText:
        """The prompt. A cell without any style loses its trailing blank to a cursor movement, and a program that waits
        for `> ` waits for ever; in one colour depth the style itself sends nothing."""
        return [("fg:ansidefault", self._session.prompt)]

    def _run(self, text: str) -> bool:
        """Run what was entered, which after a paste may be several lines. Returns whether the shell is to be left."""
        for number, line in enumerate(text.split("\n")):
            prompt = self._session.prompt
            if number:
                print(visible(prompt + line))
            result = self._session.run(line)
            if line.strip() and not result.secret and "\n" not in text:
                self._history.keep(line)
            if self._history.fault and not self._told:
                self._told = True
                result.warnings.append(self._history.fault)
            self._show(result, prompt)
            if result.repeat:
                self._watch(line, prompt)
            if result.ended:
                return True
        return False

    def _show(self, result: Result, prompt: str) -> None:
        if result.clear:
            clear()
        lines = render.text_lines(result.parts, self._width())
        if any(pipe.action == "more" for pipe in result.pipes) and self._session.settings.length != 0:
            _page("\n".join(lines))
        else:
            for line in lines:
                print(line)
        self._warn(result.warnings)
        if result.error is not None:
            pointer = render.caret(result.error, len(prompt))
            if pointer is not None:
                print(pointer)
            for line in render.text_lines(render.refused(result.error), self._width()):
                print(line)

    def _width(self) -> int:
        """Columns of a line: as `terminal width` says, else those that the terminal has."""
        return self._session.settings.width or self._editor.output.get_size().columns

    def _tell(self, text: str) -> None:
        """What a long command does while it runs."""
        print(f"... {text}", flush=True)

    def _ask(self, told: Sequence[Part], question: str) -> bool:
        """Show what would be done, and ask. Anything but yes, and the end of the input, is no."""
        for line in render.text_lines(told, self._width()):
            print(line)
        try:
            return input(QUESTION.format(question)).strip().lower() in ("y", "yes")
        except EOFError:
            print()
            return False

    def _watch(self, line: str, prompt: str) -> None:
        try:
            while True:
                time.sleep(WATCH_INTERVAL)
                self._show(self._session.run(line), prompt)
        except KeyboardInterrupt:
            print()

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
        for line in render.text_lines(map(Prose, confirming.leaving(self._session)), self._width()):
            print(line)
        return REFUSED if self._session.open is not None or transaction.unfinished(self._session) else DONE

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        @bindings.add("tab")
        def _(event: KeyPressEvent) -> None:
            self._complete(event)

        @bindings.add("?")
        def _(event: KeyPressEvent) -> None:
            text = event.current_buffer.document.text_before_cursor
            if self._session.collecting or _in_quotes(text):
                event.current_buffer.insert_text("?")
            else:
                self._list(text)

        return bindings

    def _complete(self, event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.document.text_before_cursor
        if self._session.collecting:
            buffer.insert_text("\t")
            return
        offer = self._session.offer(text)
        if offer.replacement() != offer.partial:
            buffer.delete_before_cursor(len(offer.partial))
            buffer.insert_text(offer.replacement())
        elif self._tabbed == text:
            self._list(text)
        self._tabbed = buffer.document.text_before_cursor

    def _list(self, text: str) -> None:
        lines = [self._session.prompt + text, *self._session.offer(text).listing(self._width())]
        run_in_terminal(lambda: print("\n".join(lines)))


def _page(text: str) -> None:
    """Show a text page by page. `less` has a shell, an editor and files behind its keys: not here."""
    if shutil.which("less"):
        os.environ.update(LESSSECURE="1", LESSHISTFILE="-")
        pydoc.pipepager(text, "less")
    else:
        pydoc.plainpager(text)


def _output() -> Output:
    """The terminal, never asked where its cursor stands: not every one answers, and who waits for it is warned."""
    output = create_output()
    if isinstance(output, Vt100_Output):
        output.enable_cpr = False
    return output


def _in_quotes(text: str) -> bool:
    """Whether the cursor stands inside an open double quote."""
    try:
        split(text)
    except BadQuoting:
        return True
    return False
