"""Text that others wrote (a script, a server, a client), made harmless for whoever shows it."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of characters that are shown as numbers: controls, direction marks, surrogates, line
separators."""


def harmless(text: str | bytes, longest: int = 200) -> str:
    """Make one line of printable text. Controls (and so escape sequences) and direction marks become numbers
    (`\\x1b`); text longer than `longest` characters is cut. Bytes are read as UTF-8; other bytes become numbers."""
    known = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    known = known[: longest + 1]
    if not known.isprintable():
        known = "".join(_shown(character) for character in known)
    return known if len(known) <= longest else f"{known[: longest - 1]}…"


def visible(text: str) -> str:
    """Make text harmless as `harmless` does, but keep its length, tabs and line ends."""
    if text.isprintable():
        return text
    return "".join(c if c in "\t\n" or c.isprintable() else _shown(c) for c in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    return ascii(character)[1:-1]
