"""Decides what is a secret, and masks it in tables, data and lines that are kept. Pure.

The model marks the secrets of what it describes; what is only carried (a cloud's access to vCenter, a monitor's login)
is told by its name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from avi_shell.configuration.document import SECRET

TYPED = ("md5_secret",)
"""Secrets that can be typed: the model's sensitive fields."""

_NAME = re.compile(r"passw|passphrase|secret|token|credential|(private|access|api|auth)_key", re.IGNORECASE)
_NO_SECRET = re.compile(r"_(refs?|uuid|type|name)$|certificate", re.IGNORECASE)

_WORD = re.compile(r"(?<!\S)[\w-]{3,}(?!\S)")


@lru_cache(4096)
def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret, as far as its name tells."""
    return _NAME.search(name) is not None and _NO_SECRET.search(name) is None


def hidden(value: Any) -> Any:
    """A copy of a document, or of documents, with SECRET in the place of every secret."""
    if isinstance(value, dict):
        return {name: _hidden_field(name, inner) for name, inner in value.items()}
    return [hidden(inner) for inner in value] if isinstance(value, list) else value


def _hidden_field(name: str, value: Any) -> Any:
    if is_secret(name):
        if isinstance(value, str) and value:
            return SECRET
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return [SECRET for _ in value]
    return hidden(value)


def suspected(line: str) -> int | None:
    """Where a secret may begin in a line that was refused: behind a word that is a secret's name, abbreviated or
    mistyped. None: there is no such word."""
    for word in _WORD.finditer(line[:10_000]):
        text = word.group().lower()
        if is_secret(text) or any(name.startswith(text) or _like(text, name) for name in TYPED):
            return word.end()
    return None


def _like(word: str, name: str) -> bool:
    import difflib  # only when something is refused

    return difflib.SequenceMatcher(None, word, name).ratio() > 0.75
