"""grep's patterns and options: what `| grep`, `match`, `include`, `except` and `begin` look for. Pure.

A pattern is a basic regular expression as GNU grep reads it (POSIX 1003.1-2017, 9.3, and `\\|`, `\\+`, `\\?`):
`|`, `+`, `?`, `(`, `)`, `{` and `}` are characters, and operators behind a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from grammar.errors import BadValue, IncompleteLine
from grammar.lexer import Word

_TURNED = "|+?(){}"
"""Operators behind a backslash, characters without one; in Python's it is the opposite."""
_CLASSES = {
    "alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z", "space": r"\s",
    "blank": r" \t", "punct": r"!-/:-@\[-`{-~", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_SET = re.compile(r"\[\^?\]?(?:\[:[a-z]+:\]|[^\]])*\]")
OPTIONS = ("-i", "-v", "-c", "-e")


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for in lines."""

    patterns: tuple[re.Pattern[str], ...]  # any of them
    inverted: bool = False  # -v: lines without
    counted: bool = False  # -c: how many lines

    def finds(self, line: str) -> bool:
        """Whether a line is one of those."""
        return any(pattern.search(line) for pattern in self.patterns) != self.inverted


def search(words: Sequence[Word], end: int, *, inverted: bool = False) -> Search:
    """What grep's options and pattern say. end: the column behind them. Raises BadValue or IncompleteLine."""
    flags, patterns, bare = set[str](), list[Word](), list[Word]()
    queue = list(words)
    while queue:
        word = queue.pop(0)
        text = word.text
        if word.quoted or not re.fullmatch("-[a-zA-Z].*|--", text):
            bare.append(word)
        elif text == "--":
            bare += queue
            queue = []
        else:
            letters, _, behind = text[1:].partition("e")
            unknown = next((letter for letter in letters if f"-{letter}" not in OPTIONS), None)
            if unknown is not None:
                raise BadValue(f"'-{unknown}' is not an option of grep here", text, word.column, OPTIONS)
            flags |= set(letters)
            if "e" in text:
                if not behind and not queue:
                    raise IncompleteLine("a pattern is missing after -e", "", end, ("<pattern>",))
                patterns.append(Word(behind, word.column) if behind else queue.pop(0))
    if not patterns:
        if not bare:
            raise IncompleteLine("a pattern is missing", "", end, (*OPTIONS, "<pattern>"))
        patterns.append(bare.pop(0))
    if bare:
        what = (
            f"nothing is expected after the pattern, but '{bare[0].text}' (a pattern of several words stands in quotes)"
        )
        raise BadValue(what, bare[0].text, bare[0].column)
    how = re.IGNORECASE if "i" in flags else re.NOFLAG
    return Search(tuple(_compiled(word, how) for word in patterns), inverted != ("v" in flags), "c" in flags)


def _compiled(word: Word, how: re.RegexFlag) -> re.Pattern[str]:
    try:
        return re.compile(translated(word.text), how)
    except (re.error, OverflowError, RecursionError) as exc:
        raise BadValue(f"'{word.text}' is not a regular expression: {exc}", word.text, word.column) from None


def translated(pattern: str) -> str:
    """A basic regular expression as Python's."""
    made, at, begins = "", 0, True
    while at < len(pattern):
        letter = pattern[at]
        following = pattern[at + 1 : at + 2]
        if letter == "\\" and following:
            at += 2
            begins = following in "(|"
            if following in _TURNED:
                made += following
            elif following in "<>":
                made += r"\b"
            else:
                made += f"\\{following}" if following in "wWsSbB123456789" else re.escape(following)
            continue
        found = _SET.match(pattern, at) if letter == "[" else None
        if found is not None:
            made += _set(found.group())
            at, begins = found.end(), False
            continue
        if letter == "^":
            made += "^" if begins else r"\^"
        elif letter == "$":
            made += "$" if at + 1 == len(pattern) or pattern.startswith(("\\)", "\\|"), at + 1) else r"\$"
        elif letter == "*":
            made += r"\*" if begins else "*"
        elif letter == ".":
            made += "."
        else:
            made += re.escape(letter)
        begins = begins and letter == "^"
        at += 1
    return made


def _set(text: str) -> str:
    """`[…]`, in which a backslash is a character and `[:alpha:]` a class."""
    begin = 2 if text.startswith("[^") else 1
    inner, made = text[begin:-1], ""
    for part in re.split(r"(\[:[a-z]+:\])", inner):
        name = part[2:-2] if part.startswith("[:") else ""
        made += _CLASSES[name] if name in _CLASSES else re.sub(r"[\\\[\]&~|]", r"\\\g<0>", part)
    return f"{text[:begin]}{made}]"
