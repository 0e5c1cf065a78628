"""Finds numbers that stand as text in what programs read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TEXT = ("vip_id", "_last_modified", "services")
"""Fields that are text: two of the appliance's, and in lists ports and ranges of ports."""
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?( ?(%|[kMG]|([KMG]i)?B|sec|percent|m?s))?")


def as_text(data: Any, path: str = "") -> Iterator[str]:
    """The places where a text is a number, as "live[0].servers_up: '2'"."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name not in _TEXT or isinstance(value, dict | list):
                yield from as_text(value, f"{path}.{name}" if path else str(name))
    elif isinstance(data, list | tuple):
        for at, value in enumerate(data):
            yield from as_text(value, f"{path}[{at}]")
    elif isinstance(data, str) and _NUMBER.fullmatch(data):
        yield f"{path}: {data!r}"
