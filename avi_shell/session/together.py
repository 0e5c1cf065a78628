"""Lines that came at once, in a paste: what was refused of them is left out by none of the others.

Nobody read the refusal before the next line came. So nothing of the same paste stores the object of a refused line, or
commits the session of one. What is typed afterwards does.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from avi_shell.configuration.document import SECRET
from avi_shell.errors import Refused
from avi_shell.output.result import Result
from avi_shell.session import firstwords
from avi_shell.session.state import SessionState
from grammar import commands, tree
from grammar.errors import LineError
from grammar.lexer import Word, prompt_end
from grammar.nodes import Node

if TYPE_CHECKING:
    from avi_shell.configuration.candidate import Candidate

_SHOWN = 40
"""How many characters of a refused line are shown again."""


def short(line: str, result: Result) -> str:
    """A refused line, as it is shown again."""
    return SECRET if result.secret else textwrap.shorten(line[prompt_end(line) :], _SHOWN, placeholder="…")


def note(session: SessionState, line: str, result: Result) -> bool:
    """Keep a line of a paste that was refused. Returns whether the lines behind it are about an object that it did not
    open, while another one is: they would change that."""
    words = [] if session.collecting else firstwords.words(line)
    opens = firstwords.verb(words) in firstwords.OPENERS
    opened = session.open
    if opened is None:
        if opens and session.candidate is not None:
            session.candidate.refused.append(short(line, result))
    elif not opens and not _is_command(session, words):
        opened.refused.append(short(line, result))
    return opens and opened is not None


def _is_command(session: SessionState, words: Sequence[Word]) -> bool:
    """Whether a line is a command, of this prompt or of the other one, and none of the open object's fields."""
    if not words:
        return False
    try:
        return isinstance(commands.resolve(session.context(), words), Node)
    except LineError:
        return any(node.word == words[0].text for node in tree.root())


def forgive(session: SessionState, line: str, result: Result) -> None:
    """A line of a paste was refused where it was copied from, too: what was typed behind it mended it."""
    for holder in (session.open, session.candidate):
        if holder is not None and holder.refused[-1:] == [short(line, result)]:
            holder.refused.pop()


def may_store(session: SessionState) -> None:
    """Raises Refused where the open object, if it is to be stored now, lacks a line that nobody can know of."""
    opened = session.open
    if opened is not None and len(opened.modes) == 1:
        _check(opened.refused, f"{opened.kind.segment} {opened.name} is not saved", "save")


def may_commit(candidate: Candidate) -> None:
    """Raises Refused where a configuration session lacks an object that nobody can know of."""
    _check(candidate.refused, "the session is not committed", "commit session")


def _check(refused: Sequence[str], what: str, again: str) -> None:
    if refused:
        others = f", and {len(refused) - 1:,} more" if len(refused) > 1 else ""
        hint = f"type it again, corrected, then {again}; {again} alone, typed now, leaves it out"
        raise Refused(f"{what}, because a line of the same paste was refused: {refused[0]}{others}", hint=hint)


def settle(session: SessionState) -> None:
    """A paste is over, and its refusals can be read."""
    for holder in (session.open, session.candidate):
        if holder is not None:
            holder.refused.clear()
