"""What a line begins, judged by its first words alone, whether or not it can be carried out."""

from __future__ import annotations

from collections.abc import Sequence

from grammar import tree
from grammar.errors import BadQuoting, LineError
from grammar.lexer import Word, is_comment, pick, prompt_end, split

OPENERS = ("configure", "debug")
"""Commands whose object the lines behind them are about."""
_BEGINNINGS = tuple(node.word for node in tree.root() if node.word not in ("save", "exit", "quit"))
"""Commands that begin something at the root prompt."""


def words(text: str) -> list[Word]:
    """A line's words, without a pasted prompt; none where it cannot be cut."""
    body = text[prompt_end(text) :]
    try:
        return [] if is_comment(body) else split(body)
    except (BadQuoting, LineError):
        return []


def verb(words: Sequence[Word]) -> str:
    """The command that begins something, "" for any other line."""
    try:
        return pick(words[0], _BEGINNINGS, "") if words else ""
    except LineError:
        return ""
