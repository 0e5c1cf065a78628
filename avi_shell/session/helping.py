"""`help`: what commands do, and the pages of the manual."""

from __future__ import annotations

import re
from collections.abc import Collection

from avi_shell import manual
from avi_shell.output.result import Page, Result, Words
from avi_shell.session.state import SessionState
from grammar.commands import Command
from grammar.errors import UnknownWord
from grammar.lexer import Word, pick
from grammar.nodes import Slot
from grammar.pages import PAGES
from grammar.tree import about, in_mode, root, topics, verb_help


def show(session: SessionState, command: Command, result: Result) -> None:
    """`help [<command or page>]`. Raises AmbiguousWord, UnknownWord."""
    typed = command.arguments.get("verb")
    inside = session.open is not None
    verbs = verb_help(inside=inside)
    verb = _topic(typed, topics(inside=inside)) if typed is not None else ""
    if verb and verb not in verbs:
        result.data = manual.page(verb)
        result.parts.append(Page(result.data))
        return
    nodes = verbs[verb].next if verb else (in_mode() if inside else root())
    nodes = tuple(inner for node in nodes for inner in (node.next if node.slot is Slot.COMMAND else (node,)))
    if verb:
        result.parts.append(f"{verb}: {verbs[verb].help}")
    result.data = {node.word: about(node) for node in nodes if node.word}
    result.parts.append(Words(list(result.data.items())))
    if not verb:
        result.parts += ["", "The manual, by `help PAGE`:", Words(list(PAGES.items()))]


def _topic(typed: Word, known: Collection[str]) -> str:
    """What help is asked for. Raises AmbiguousWord; UnknownWord with the pages of the manual that have the word."""
    try:
        return pick(typed, known, "a command or a page of the manual")
    except UnknownWord:
        pages = tuple(page for page in PAGES if re.search(rf"\b{re.escape(typed.text)}\b", manual.page(page), re.I))
        if not pages or not typed.text:
            raise
        what = f"'{typed.text}' is not a command or a page of the manual; these pages tell of it: {', '.join(pages)}"
        raise UnknownWord(what, typed.text, typed.column, (), ()) from None
