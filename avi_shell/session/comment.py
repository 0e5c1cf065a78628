"""The comment of a commit, as it is typed: `comment "why"`."""

from __future__ import annotations

from grammar.commands import Command
from grammar.errors import BadValue

LONGEST = 500
"""Characters of a comment."""


def comment_of(command: Command) -> str:
    """The comment of a command; "" without one. Raises BadValue for one that is no line of text, or too long."""
    word = command.arguments.get("comment")
    if word is None:
        return ""
    form = (f"<text of 1-{LONGEST} characters>",)
    if len(word.text) > LONGEST:
        raise BadValue(f"the comment has {len(word.text)} characters", word.text, word.column, form)
    if not word.text.isprintable() or not word.text.strip():
        raise BadValue("the comment is no line of text", word.text, word.column, form)
    return word.text.strip()
