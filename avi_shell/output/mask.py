"""Masks secrets in everything that leaves the site: by fields' names, and wherever else their values stand. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from avi_shell.configuration.document import SECRET
from avi_shell.output.secret import is_secret

ENVIRONMENTS = ("command_variables", "variables")
"""Fields that hold a script's environment, which may have passwords in it."""
_LEAST = 4
"""The fewest characters of a secret that is also looked for inside words."""
_HEADER = re.compile(
    r"((?:authorization|cookie|x-[\w-]*(?:key|token|auth))\s*:\s*)[^\s\\\"](?:[^\r\n\\\"])*", re.IGNORECASE
)
"""A header of HTTP with which a monitor's request authenticates itself."""
_LOGIN = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*(?=@)")
"""User and password in an address."""


def secrets(value: Any) -> Iterator[str]:
    """The values of all secrets of a document, or of documents."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if is_secret(name) or name in ENVIRONMENTS:
                yield from _texts(inner)
            yield from secrets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secrets(inner)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)


class Mask:
    """Takes secrets out of texts and documents. values: those that are known."""

    def __init__(self, values: Iterable[str]) -> None:
        known = {value for value in values if value and value != SECRET}
        forms = sorted({form for value in known for form in _forms(value)}, key=len, reverse=True)
        patterns = [re.escape(form) if len(form) >= _LEAST else rf"(?<!\w){re.escape(form)}(?!\w)" for form in forms]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def text(self, text: str) -> str:
        """A text without them."""
        if self._pattern is not None:
            text = self._pattern.sub(SECRET, text)
        return _LOGIN.sub(SECRET, _HEADER.sub(rf"\1{SECRET}", text))

    def document(self, value: Any) -> Any:
        """A document without the fields that hold secrets; their values elsewhere are for `text`."""
        if isinstance(value, dict):
            return {name: self._field(name, inner) for name, inner in value.items()}
        return [self.document(inner) for inner in value] if isinstance(value, list | tuple) else value

    def _field(self, name: str, value: Any) -> Any:
        if (is_secret(name) or name in ENVIRONMENTS) and value and not isinstance(value, bool):
            return SECRET
        return self.document(value)


def _forms(value: str) -> Iterator[str]:
    """A secret in its plain form, and in the encodings that other texts use."""
    data = value.encode()
    yield value
    yield from (json.dumps(value, ensure_ascii=plain)[1:-1] for plain in (True, False))
    yield from value.split("\n") if "\n" in value else ()
    yield quote(value)
    yield quote(value, safe="")
    yield data.hex()
    yield data.hex().upper()
    for coded in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
        yield coded.decode().rstrip("=")
