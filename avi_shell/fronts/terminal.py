"""The terminal front: line editing, history, TAB and `?`. Only this module knows prompt_toolkit.

TAB completes, TAB TAB and `?` list what may follow; the line stays. Ctrl-C drops the line, Ctrl-D at an empty line
leaves; while an object is open it takes two, because what was entered is then lost. Pasted lines that hold no key are
taken as lines, past the editor, whether the terminal marks a paste or not.
"""

from __future__ import annotations

import asyncio
import os
import pydoc
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, run_in_terminal
from prompt_toolkit.formatted_text import AnyFormattedText
from prompt_toolkit.history import FileHistory
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.output import ColorDepth, Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import clear

from avi_shell.fronts import watching
from avi_shell.fronts.interactive import LOOK_EVERY, Interactive
from avi_shell.fronts.keyboard import Keyboard
from avi_shell.fronts.screen import Screen
from avi_shell.output.result import Page, Result
from avi_shell.session.session import Session
from dataplane import statedir
from dataplane.foreign.text import visible
from grammar.lexer import in_quotes

PAGE_WIDTH = 100
"""Columns of a page of the manual on a terminal that does not tell its own."""


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


class _Input(Vt100Input):
    """The editor's keys, out of the keyboard: no more at once than the end of a line, so that lines behind it wait."""

    def __init__(self, keyboard: Keyboard) -> None:
        super().__init__(sys.stdin)
        self._keyboard = keyboard
        self._ready: Callable[[], None] = lambda: None

    def attach(self, input_ready_callback: Callable[[], None]) -> AbstractContextManager[None]:
        """Called when the editor begins: what is held already is ready."""
        self._ready = input_ready_callback
        self._again()
        return super().attach(input_ready_callback)

    def _again(self) -> None:
        if self._keyboard.held:
            asyncio.get_running_loop().call_soon(self._ready)

    def read_keys(self) -> list[KeyPress]:
        """Keys that have come."""
        if get_app().is_done:
            return []
        self._keyboard.read()
        self.vt100_parser.feed(self._keyboard.keys())
        self._again()
        keys, self._buffer = self._buffer, []
        return keys

    @property
    def closed(self) -> bool:
        """Whether no more keys come."""
        return self._keyboard.ended and not self._keyboard.held

    def cooked_mode(self) -> AbstractContextManager[None]:
        """While the editor prints: nothing is echoed then, either."""
        return nullcontext()


class Terminal(Interactive):
    """A session at a terminal that knows escape sequences. history: the file of typed lines."""

    def __init__(self, session: Session, keyboard: Keyboard, history: Path) -> None:
        super().__init__(session, keyboard)
        self._history = _History(history)
        self._tabbed: str | None = None  # the line as the last TAB left it
        self._told = False  # that the history cannot be kept was said
        self._input, self._output = _Input(keyboard), _output()
        keyboard.edits = True
        self._editor: PromptSession[str] = PromptSession(
            self._message,
            history=self._history,
            key_bindings=self._bindings(),
            enable_suspend=True,
            color_depth=ColorDepth.DEPTH_1_BIT,
            input=self._input,
            output=self._output,
        )

    def _is_over(self) -> bool:
        return self._session.settings.plain

    def _read(self) -> str:
        if (line := self._keyboard.line()) is not None:
            print(visible(self._session.prompt + line))
            self._history.append_string(line)
            return line
        return self._editor.prompt(pre_run=self._keep_time)

    def _answer(self, question: str) -> str:
        if (line := self._keyboard.line()) is not None:
            print(visible(question + line))
            return line
        return PromptSession[str](_styled(question), input=self._input, output=self._output).prompt()

    def _keep_time(self) -> None:
        """While a line is typed, look whether something was to be confirmed by now."""
        get_app().create_background_task(self._look_at_time())

    async def _look_at_time(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if told := self._session.undo_overdue():
                await run_in_terminal(lambda told=told: self._warn(told))  # type: ignore[misc]

    def _message(self) -> AnyFormattedText:
        return _styled(self._session.prompt)

    def _run(self, line: str) -> bool:
        """Run what was entered, which after a paste may be several lines."""
        first, *others = line.split("\n")
        ended = super()._run(first)
        for other in others:
            if not ended:
                print(visible(self._session.prompt + other))
                ended = super()._run(other)
        return ended

    def _carried_out(self, line: str) -> Result:
        result = super()._carried_out(line)
        if line.strip() and not result.secret:
            self._history.keep(line)
        if self._history.fault and not self._told:
            self._told = True
            result.warnings.append(self._history.fault)
        return result

    def _show(self, result: Result, prompt: str) -> None:
        page = next((part for part in result.parts if isinstance(part, Page)), None)
        if page is None:
            super()._show(result, prompt)
            return
        from avi_shell.output.markdown import formatted  # late: only pages of the manual need rich

        shown = formatted(page, self._width() or PAGE_WIDTH, colour=True)
        if self._session.settings.length == 0:
            print(shown)
        else:
            self._page(shown)

    def _watch(self, line: str, prompt: str, first: Result) -> None:
        last = first
        with Screen(self._keyboard) as screen:
            picture = watching.picture(self._session, line, first, screen)
            try:
                for result in watching.runs(self._session, line, first, picture.waits):
                    last = result
                    picture.show(result)
            except EOFError:
                pass
            except KeyboardInterrupt:
                self._keyboard.drop()
        self._show(last, prompt)

    def _page(self, text: str) -> None:
        """Page by page, unless all of it has room. The shell, editor and files behind the keys of `less` are off."""
        if shutil.which("less"):
            os.environ.update(LESSSECURE="1", LESSHISTFILE="-")
            pydoc.pipepager(text, "less -FR")
        else:
            pydoc.plainpager(text)

    def _clear(self) -> None:
        clear()

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        @bindings.add("tab")
        def _(event: KeyPressEvent) -> None:
            self._complete(event)

        @bindings.add("?")
        def _(event: KeyPressEvent) -> None:
            text = event.current_buffer.document.text_before_cursor
            if self._session.collecting or in_quotes(text):
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


def _styled(prompt: str) -> AnyFormattedText:
    """A prompt. A cell without any style loses its trailing blank to a cursor movement, and a program that waits for
    `> ` waits for ever; in one colour depth the style itself sends nothing."""
    return [("fg:ansidefault", prompt)]


def _output() -> Output:
    """The terminal, never asked where its cursor stands: not every one answers, and who waits for it is warned."""
    output = create_output()
    if isinstance(output, Vt100_Output):
        output.enable_cpr = False
    return output
