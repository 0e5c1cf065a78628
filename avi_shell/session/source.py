"""Where lines come from: a file, standard input, the command line; pasted sessions too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import TextIOBase
from pathlib import Path

from avi_shell.session.openobject import TEXT_WANTED
from dataplane.foreign import files
from grammar.lexer import is_comment, is_output, prompt_end

LONGEST = 2304 << 10
"""Characters of a line: a value that a file may hold (1 MiB), with an escape for each of its characters."""

STDIN = "<stdin>"
TRANSCRIPT = ".transcript"
"""Ends the names of files in which all is output but what stands behind a prompt, and the lines of a text."""
_TEXT_WANTED = TEXT_WANTED.partition("{}")[0]


class Pasted:
    """Tells which lines of a pasted session only show what a shell printed, by itself or wrapped to a terminal's width.
    Before the first prompt none does."""

    def __init__(self) -> None:
        self._prompted = False
        self._wraps = False  # the line before was printed, and may go on
        self._text = False  # a text is entered, up to END

    def shows(self, line: str, *, text: bool = False) -> bool:
        """Whether the next line is output. text: it belongs to a text that is entered, as far as the shell knows."""
        if self._prompted and line.startswith(_TEXT_WANTED):
            self._text = True
            return True
        if self._text or text:
            self._text = self._text and line.strip() != "END"
            return False
        start = prompt_end(line)
        self._text = line.rstrip().endswith(" --") and not is_comment(line[start:])
        if start:
            self._prompted, self._wraps = True, False
            return False
        if not self._prompted:
            return False
        printed = is_output(line)
        if printed:
            self._wraps = line[:1].isalpha()  # a sentence: its further lines are indented
        else:
            printed = self._wraps = self._wraps and line.startswith("  ") and not line.isspace()
        return printed


@dataclass(frozen=True, slots=True)
class Source:
    """Where lines come from."""

    name: str  # for messages
    lines: Iterable[str]  # without prompts or with them
    first: int = 1  # the number of the first line

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Numbers and lines. What a pasted session shows as output is left out."""
        if self.name.endswith(TRANSCRIPT):
            yield from self._typed()
            return
        pasted = Pasted()
        for number, line in enumerate(_bounded(self.lines), self.first):
            if not pasted.shows(line):
                yield number, line

    def _typed(self) -> Iterator[tuple[int, str]]:
        """Of a transcript the lines that were typed."""
        text = False
        for number, line in enumerate(self.lines, self.first):
            if text or is_prompted(line):
                yield number, line
            text = line.startswith(_TEXT_WANTED) or (text and line.strip() != "END")


def is_prompted(line: str) -> bool:
    """Whether a line of a transcript begins with a prompt."""
    return line.startswith("[") and prompt_end(line) > 0


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    """Lines; of a stream, no more of one than tells that it is too long."""
    if not isinstance(lines, TextIOBase):
        yield from lines
        return
    while line := lines.readline(LONGEST + 2):
        yield line
        while line and not line.endswith("\n"):
            line = lines.readline(LONGEST + 2)


def from_file(path: str) -> Source:
    """The lines of a regular file. Raises OSError, or ValueError where it is too large, a pipe, or not UTF-8."""
    return of_text(path, files.read_text(Path(path)))


def of_text(name: str, text: str) -> Source:
    """The lines of a text. name: for messages."""
    return Source(name, text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
