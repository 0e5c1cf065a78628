"""Splits a typed line into words: quoting, comments, pasted prompts, abbreviations.

Double quotes keep blanks together; inside them a backslash makes `\\"`, `\\\\`, `\\n`, `\\r` and `\\t`; before any
other character it is itself. `quote` writes what `split` reads, for every text. A word that begins with `#` begins a
comment to the end of the line, one that begins with `/*` one to the next `*/`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import islice, pairwise
from typing import NamedTuple

from grammar.errors import AmbiguousWord, BadQuoting, LineError, UnknownWord

_BARE = re.compile(r"\S+")
_BLANK = re.compile(r"\s*")
_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"|[^\s"]+', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_ESCAPED = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"})
_SAFE = re.compile(r"[A-Za-z0-9_.*+@%=,~^/-][A-Za-z0-9_.:*+@%=,~^/-]*")
_PROMPT = re.compile(r"\s*\[[^\[\]\s]*:[^\[\]\s]*\]: ?(?:[A-Za-z0-9_]+(?:[ :][A-Za-z0-9_]+)*)?>[ \t]*")
_APART = re.compile(r""""(?:[^"\\]|\\.)*"?|(?<!\S)\#.*|(?<!\S)/\*.*?\*/|(?<![^\s|=])'[^']*'|\\.|\|""", re.DOTALL)
"""Parts of a line in which a `|` is only a character, and the `|` itself."""
_OUTPUT = re.compile(
    r"\s*(?:\+[-+]+\+|\|.*\||\^|error: .*"
    r"|Impact: .*|New object being created|Overwriting the previously entered value for \S+"
    r"|Updating an existing object\. Currently, the object is:"
    r"|Removed \S+ with \S+=.*|Switching to tenant \S+|Successfully (?:deleted|committed) .*\.|Tenant: \S+"
    r"|Please input the value for field \S+ \(Enter END to terminate input\):"
    r"|Usage: '.*'\. You must enter (?:the object name|both names)\."
    r"|Completed writing the export configuration to .*|Successfully imported the configuration file"
    r"|What is saved and deleted now is gathered: .*|not valid yet: .*|Not committed, in this session alone: .*"
    r"|[0-9,]+ changed objects? can be committed\.|Discarded [0-9,]+ changed objects?\."
    r"|Nothing (?:is|was) changed.*|No service engine runs.*|[0-9]+ defaults? (?:is|are) not shown\. .*)\s*"
)


_LONGEST_PROMPT = 1000
"""The most characters in a pasted prompt: the search for one takes time that grows with the square of this."""
MOST_WORDS = 20_000
"""The most words in a line."""
_PART = 0.8
"""How similar a typed part and a word's part must be, from 0 to 1."""


class Word(NamedTuple):
    """One word of a line."""

    text: str  # without quotes
    column: int  # of its first character, in the line as given
    quoted: bool = False  # some of it was quoted


def split(line: str, *, apostrophes: bool = False) -> list[Word]:
    """The words of a line. Raises BadQuoting for a quote or comment that does not close, LineError for too many words.

    apostrophes: a word in single quotes is taken as it stands, as a POSIX shell does.
    """
    if '"' not in line and "#" not in line and "/*" not in line and not (apostrophes and "'" in line):
        words = [Word(match.group(), match.start()) for match in islice(_BARE.finditer(line), MOST_WORDS + 1)]
        return _few(words)
    words = []
    position = _end(_BLANK, line, 0)
    while position < len(line) and len(words) <= MOST_WORDS:
        if line[position] == "#":
            break
        if line.startswith("/*", position):
            end = line.find("*/", position + 2)
            if end < 0:
                raise BadQuoting("a comment opens here and does not close", line[position:], position, ("*/",))
            position = _end(_BLANK, line, end + 2)
            continue
        start, text, quoted = position, "", False
        if apostrophes and line[position] == "'" and (end := line.find("'", position + 1)) > 0:
            text, quoted, position = line[position + 1 : end], True, end + 1
        while position < len(line) and not line[position].isspace():
            piece = _PIECE.match(line, position)
            if piece is None:
                raise BadQuoting("a double quote opens here and does not close", line[position:], position, ('"',))
            inner = piece.group(1)
            quoted = quoted or inner is not None
            text += piece.group() if inner is None else _ESCAPE.sub(_unescape, inner)
            position = piece.end()
        words.append(Word(text, start, quoted))
        position = _end(_BLANK, line, position)
    return _few(words)


def cut(line: str) -> tuple[str, list[tuple[int, str]]]:
    """A line up to its first `|`, and what follows each: its column and text. A `|` in quotes, in a comment or behind a
    backslash is a character."""
    bars = [match.start() for match in _APART.finditer(line) if match.group() == "|"]
    stages = [(bar + 1, line[bar + 1 : end]) for bar, end in pairwise([*bars, len(line)])]
    return line[: bars[0]] if bars else line, stages


def in_quotes(line: str) -> bool:
    """Whether the end of a line stands inside an open double quote."""
    try:
        split(line)
    except BadQuoting as exc:
        return exc.expected == ('"',)
    return False


def _few(words: list[Word]) -> list[Word]:
    if len(words) > MOST_WORDS:
        raise LineError(f"the line has more than {MOST_WORDS} words", "", words[-1].column)
    return words


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(1), match.group())


def quote(text: str) -> str:
    """A text as one word that `split` reads back; bare where that is safe."""
    if _SAFE.fullmatch(text) and text != "--" and not text.startswith(("file:", "/*")):
        return text
    return f'"{text.translate(_ESCAPED)}"'


def prompt_end(line: str) -> int:
    """Where the command begins in a line that may start with a pasted prompt; 0 without one."""
    match = _PROMPT.match(line, 0, _LONGEST_PROMPT)
    return match.end() if match else 0


def is_comment(line: str) -> bool:
    """Whether a line (without its prompt) is empty, or a comment from its beginning to its end."""
    stripped = line.lstrip()
    return not stripped or stripped.startswith("#")


def is_output(line: str) -> bool:
    """Whether a line of a pasted session is output of the shell: a table, an error, a fixed notice."""
    return _OUTPUT.fullmatch(line) is not None


def pick(word: Word, vocabulary: Collection[str], what: str) -> str:
    """The vocabulary's word that a typed word is or abbreviates uniquely; an exact match wins.

    what: where the word stands, for the message ("a command", "a field of pool").
    Raises AmbiguousWord with the candidates, UnknownWord with the nearest.
    """
    text = word.text
    if text in vocabulary:
        return text
    matches = sorted({name for name in vocabulary if name.startswith(text)}) if text else []
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise AmbiguousWord(f"'{text}' is ambiguous as {what}", text, word.column, tuple(matches))
    raise UnknownWord(
        f"'{text}' is not {what}", text, word.column, tuple(dict.fromkeys(vocabulary)), nearest(text, vocabulary)
    )


def nearest(text: str, vocabulary: Iterable[str]) -> tuple[str, ...]:
    """Up to three words that a mistyped one may have meant, best first. Words that contain each of its parts (as
    lb_algorithm_consistent_hash_source_ip_address contains `source_ip`) come before words that look similar as a
    whole."""
    import difflib  # only when something is refused

    known, whole = list(dict.fromkeys(vocabulary)), difflib.SequenceMatcher(b=text)
    parts = [difflib.SequenceMatcher(b=part) for part in text.split("_") if part]

    def like(matcher: difflib.SequenceMatcher[str], word: str) -> float:
        matcher.set_seq1(word)
        return matcher.ratio()

    holding = []
    for word in known if parts else ():
        found = [max(like(part, its) for its in word.split("_")) for part in parts]
        if min(found) >= _PART:
            holding.append((sum(found) / len(found), like(whole, word), word))
    best = [word for _, _, word in sorted(holding, key=lambda rated: (-rated[0], -rated[1]))]
    return tuple(dict.fromkeys([*best, *difflib.get_close_matches(text, known, 3, 0.6)]))[:3]
