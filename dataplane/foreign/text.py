"""Text that others wrote (a script, a server, a client), made harmless for whoever shows it."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of what is shown as its number: controls, direction marks, surrogates, line separators."""


def harmless(text: str | bytes, longest: int = 200) -> str:
    """One line of printable text: controls, escape sequences with them, and direction marks are shown as numbers
    (`\\x1b`); what is longer than `longest` characters is cut. Bytes are UTF-8; what is not is shown as numbers."""
    known = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    known = known[: longest + 1]
    if not known.isprintable():
        known = "".join(_shown(character) for character in known)
    return known if len(known) <= longest else f"{known[: longest - 1]}…"


def visible(text: str) -> str:
    """Text of any length and number of lines with controls shown as `harmless` shows them; tabs and line ends stay."""
    if text.isprintable():
        return text
    return "".join(c if c in "\t\n" or c.isprintable() else _shown(c) for c in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    return ascii(character)[1:-1]
