"""The plain front: a terminal that knows nothing but characters, or a program behind one. No escape sequence is sent.

Every line is echoed once, behind its prompt, which begins a line of the terminal. Backspace, Ctrl-W and Ctrl-U take
back; TAB completes, `?` lists what may follow; Ctrl-C drops the line, Ctrl-D at an empty line leaves. Other keys that
edit, and all that begins with ESC, do nothing. Nothing is paged, and no line comes into the history of typed lines.
"""

from __future__ import annotations

import re
import sys
import unicodedata

from avi_shell.fronts.interactive import LOOK_EVERY, Interactive
from grammar.lexer import in_quotes

_KEY = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O])|[^\x1b]", re.DOTALL)
"""A character, or what a terminal sends for one key."""
_LAST_WORD = re.compile(r"\S*\s*\Z")
_LEAVE, _BACK, _ALL_BACK, _WORD_BACK = "\x04", "\b\x7f", "\x15", "\x17"


class Plain(Interactive):
    """A session at a plain terminal."""

    def _read(self) -> str:
        try:
            return self._line(self._session.prompt, helped=not self._session.collecting)
        except KeyboardInterrupt:
            self._keyboard.drop()
            print()
            raise

    def _answer(self, question: str) -> str:
        return self._line(question, helped=False)

    def _page(self, text: str) -> None:
        print(text)

    def _clear(self) -> None:
        print("A plain terminal is not cleared.")

    def _line(self, prompt: str, *, helped: bool) -> str:
        """A line, echoed behind its prompt. helped: TAB completes and `?` lists; else they are characters."""
        whole = self._keyboard.line()
        self._send(prompt if whole is None else f"{prompt}{whole}\n")
        if whole is not None:
            return whole
        typed = ""
        while True:
            found = _KEY.match(self._keyboard.held)
            if found is None:
                self._await(prompt + typed)
                continue
            key = found.group()
            self._keyboard.held = self._keyboard.held[found.end() :]
            if key == "\n":
                self._send("\n")
                return typed
            if key == _LEAVE and not typed:
                self._send("\n")
                raise EOFError
            typed = self._pressed(key, typed, prompt, helped=helped)

    def _await(self, shown: str) -> None:
        """Wait for keys; look at the time meanwhile. shown: the line so far, with its prompt."""
        came = self._keyboard.wait(LOOK_EVERY)
        if self._keyboard.ended:
            self._send("\n")
            raise EOFError
        if not came and (told := self._session.undo_overdue()):
            self._send("\n")
            self._warn(told)
            self._send(shown)

    def _pressed(self, key: str, typed: str, prompt: str, *, helped: bool) -> str:
        """The line after a key."""
        if key in _BACK:
            return self._taken_back(typed, 1)
        if key == _ALL_BACK:
            return self._taken_back(typed, len(typed))
        if key == _WORD_BACK:
            return self._taken_back(typed, len(typed) - _LAST_WORD.search(typed).start())  # type: ignore[union-attr]
        if helped and key == "\t":
            return self._completed(typed)
        if helped and key == "?" and not in_quotes(typed):
            self._send("\n")
            self._print(self._session.offer(typed).listing(self._width()))
            self._send(prompt + typed)
            return typed
        if key.isprintable() or key == "\t" or "\ud800" <= key <= "\udfff":
            self._send(key)
            return typed + key
        return typed

    def _completed(self, typed: str) -> str:
        """The line after TAB. At its beginning TAB is a blank: pasted lines are indented so."""
        if not typed.strip():
            return typed
        offer = self._session.offer(typed)
        made = offer.replacement()
        if not made.startswith(offer.partial):
            typed = self._taken_back(typed, len(offer.partial))
            self._send(made)
            return typed + made
        self._send(made[len(offer.partial) :])
        return typed + made[len(offer.partial) :]

    def _taken_back(self, typed: str, number: int) -> str:
        """The line without its last characters."""
        kept = typed[: max(0, len(typed) - number)]
        self._send("\b \b" * sum(map(_columns, typed[len(kept) :])))
        return kept

    def _send(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _columns(character: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
