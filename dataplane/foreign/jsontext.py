"""Reads JSON from outside (RFC 8259). It refuses what Python's reader accepts beyond the RFC or fails on, and names the
place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from dataplane.foreign.errors import ForeignError

DEEPEST = 64
"""How deep objects and lists may nest. The deepest of the appliance's objects have 9 levels."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(text: str | bytes) -> Any:
    """Read a JSON text. Raises ForeignError with line and column if it is no JSON. Raises it with the path for NaN, an
    infinity, a number too large for a float, nesting deeper than DEEPEST, or a lone surrogate."""
    try:
        known = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        raise ForeignError("it is not UTF-8", f"byte {exc.start}") from None
    try:
        value = json.loads(known, parse_constant=_no_constant, parse_float=_number)
    except json.JSONDecodeError as exc:
        raise ForeignError(f"it is not JSON: {exc.msg}", f"line {exc.lineno}, column {exc.colno}") from None
    except RecursionError:
        raise ForeignError(f"it is nested deeper than {DEEPEST} levels") from None
    _look_through(value)
    return value


def _no_constant(word: str) -> NoReturn:
    raise ForeignError(f"{word} is no JSON number")


def _number(word: str) -> float:
    value = float(word)
    if value in (float("inf"), float("-inf")):
        raise ForeignError(f"{word} is larger than a number can be")
    return value


def _look_through(value: Any) -> None:
    """Check depth and text of a whole value, without recursion. The path is looked for only when something is wrong."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ForeignError(f"it is nested deeper than {DEEPEST} levels", _path(value, lambda _v, d: d >= DEEPEST))
        below: list[Any] = []
        for one in level:
            parts: Iterable[Any] = ()
            if isinstance(one, dict):
                parts = (*one.keys(), *one.values())
            elif isinstance(one, list):
                parts = one
            for part in parts:
                if isinstance(part, str):
                    if not part.isascii() and _SURROGATE.search(part):
                        raise ForeignError("its text is no Unicode: a lone surrogate", _path(value, _is(part)))
                elif isinstance(part, dict | list):
                    below.append(part)
        if isinstance(value, str) and depth == 1 and _SURROGATE.search(value):
            raise ForeignError("its text is no Unicode: a lone surrogate")
        level = below


def _is(text: str) -> Any:
    return lambda one, _depth: one is text or (isinstance(one, dict) and text in one)


def _path(value: Any, wanted: Any) -> str:
    """The path of the first value that meets a condition: `Pool[2].servers[0].ip`."""
    waiting: list[tuple[Any, str, int]] = [(value, "", 0)]
    while waiting:
        one, path, depth = waiting.pop()
        if path and wanted(one, depth):
            return path if len(path) <= 200 else f"{path[:200]}…"
        if isinstance(one, dict):
            waiting += [(inner, f"{path}.{name}".lstrip("."), depth + 1) for name, inner in reversed(one.items())]
        elif isinstance(one, list):
            waiting += [(inner, f"{path}[{at}]", depth + 1) for at, inner in reversed(list(enumerate(one)))]
    return ""
