"""What is typed at a terminal or pasted into it: characters that wait, without an echo, until a front takes them.

When a signal ends the process, the terminal's settings are restored first.

The kernel's echo is off, because it would print a line on arrival, amid the output of the line before. Instead the
front shows each line behind its prompt. CR, LF or both end a line.
"""

from __future__ import annotations

import codecs
import os
import re
import select
import signal
import sys
import termios
import threading
import time
from contextlib import suppress
from types import FrameType, TracebackType

_CHUNK = 1 << 16
_ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end the process."""
_NO_MARKS = b"\x1b[?2004l\x1b[?25h"
"""Makes a terminal stop marking pastes, and show its cursor."""
_PASTE = re.compile(r"\x1b\[20([01])~|\n")
"""What a terminal puts around a paste where it was asked to; and the end of a line."""
_MARK_BEGUN = re.compile(r"\x1b(?:\[(?:2(?:0[01]?)?)?)?\Z")
_PLAIN_LINE = re.compile(r"([^\x00-\x1f\x7f-\x9f?]*)\n")
"""A line of plain characters, without a key that edits, completes or lists."""
_POSITION = re.compile(r"\x1b\[\d+;\d+R")
"""A terminal's answer to the question where its cursor stands."""


class Keyboard:
    """A terminal's input. As a context it is read unechoed and key by key; afterwards the terminal is as it was."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._before: list[int | list[bytes | int]] = []  # the terminal's attributes
        self._caught: list[int] = []  # signals of _ENDING that ended the process by themselves
        self._returned = False  # the last character read was a CR: a LF behind it ends no other line
        self._inside = False  # what is held begins inside a paste that the terminal marked
        self._mark = ""  # a mark that has only begun to come
        self.held = ""  # read, and not taken yet
        self.ended = False  # nothing more will come
        self.edits = False  # a front that uses escape sequences reads from it
        self.leave = ""  # the text that leaves the terminal's other screen, while that is shown

    def __enter__(self) -> Keyboard:
        self._before = termios.tcgetattr(self._descriptor)
        now = termios.tcgetattr(self._descriptor)
        iflag, lflag, cc = 0, 3, 6
        now[iflag] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.ISTRIP)
        now[lflag] &= ~(termios.ICANON | termios.ECHO | termios.ECHONL | termios.IEXTEN)
        now[cc][termios.VMIN], now[cc][termios.VTIME] = 1, 0
        for key in (termios.VQUIT, termios.VSUSP):  # whoever is left in the foreground would find no echo
            now[cc][key] = b"\0"
        termios.tcsetattr(self._descriptor, termios.TCSANOW, now)
        if threading.current_thread() is threading.main_thread():
            self._caught = [signum for signum in _ENDING if signal.getsignal(signum) is signal.SIG_DFL]
        for signum in self._caught:
            signal.signal(signum, self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum in self._caught:
            signal.signal(signum, signal.SIG_DFL)
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def _end(self, signum: int, _frame: FrameType | None) -> None:
        """End by a signal as without a handler, but leave the terminal as it was."""
        with suppress(termios.error, OSError):  # the terminal is gone
            if self.edits:
                os.write(self._descriptor, self.leave.encode() + _NO_MARKS)
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)

    def wait(self, seconds: float) -> bool:
        """Read what is there, or comes within some seconds. Returns whether anything did."""
        if self.ended or not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._descriptor, _CHUNK)
        except OSError:  # the terminal is gone
            data = b""
        self.ended = not data
        text = self._decoder.decode(data, self.ended)
        if text:
            text, returned = text[self._returned and text[0] == "\n" :], text[-1] == "\r"
            self._returned = returned
            self.held += text.replace("\r\n", "\n").replace("\r", "\n")
        return True

    def read(self) -> None:
        """Read what is there already."""
        while len(self.held) < _CHUNK and self.wait(0):
            pass

    def waits(self, seconds: float) -> bool:
        """Whether the end of a line is held, or comes within some seconds."""
        deadline = time.monotonic() + seconds
        self.read()
        while "\n" not in self.held and (left := deadline - time.monotonic()) > 0 and self.wait(left):
            pass
        return "\n" in self.held

    def pressed(self, seconds: float) -> str:
        """What is pressed within some seconds, at most what came at once; what is held already stays."""
        held, self.held = self.held, ""
        try:
            self.wait(seconds)
            return self.held
        finally:
            self.held = held

    def drop(self) -> None:
        """Drop what was typed ahead."""
        self.held, self._inside, self._mark = "", False, ""

    def line(self) -> str | None:
        """A whole line that is there already, if it may be taken without a look at its keys."""
        self.read()
        plain = None if self._inside else _PLAIN_LINE.match(self.held)
        if plain is None:
            return None
        self.held = self.held[plain.end() :]
        return plain.group(1)

    def keys(self) -> str:
        """What is to be taken as keys: up to the end of a line, which is a CR then, or all that is there. The end of a
        line inside a paste that the terminal marked is none."""
        begun, self._mark = self._mark, ""
        text = begun + self.held
        for found in _PASTE.finditer(text):
            if found.group(1):
                self._inside = found.group(1) == "0"
            elif not self._inside:
                self.held = text[found.end() :]
                return text[len(begun) : found.start()] + "\r"
        self.held = ""
        if half := _MARK_BEGUN.search(text):
            self._mark = half.group()
        return text[len(begun) :]

    def answers(self, seconds: float) -> bool:
        """Whether the terminal tells where its cursor stands, as those do that know escape sequences. What is typed
        meanwhile is kept."""
        sys.stdout.write("\x1b[6n")
        sys.stdout.flush()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self.wait(left):
            if found := _POSITION.search(self.held):
                self.held = self.held[: found.start()] + self.held[found.end() :]
                return True
        return False
