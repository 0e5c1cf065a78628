"""Routes of the main table that went away and did not come back.

The kernel tells nothing about a route that is gone: only what was remembered can name it to an operator.
"""

from __future__ import annotations

import socket
from operator import itemgetter
from typing import Any

from dataplane.network.prefixes import holds
from dataplane.network.routes import RT_TABLE_MAIN, RTN_UNICAST, RTPROT_KERNEL, Route

_REMEMBERED = 256
"""Routes remembered at most; the oldest is forgotten first."""


class LostRoutes:
    """Remembers lost routes, by prefix and its length."""

    def __init__(self) -> None:
        self._lost: dict[tuple[bytes, int], Route] = {}

    def take(self, message: Any, interface: str, *, present: bool) -> None:
        """Take over what the kernel says about a route. interface: the name of its egress interface."""
        if message["family"] != socket.AF_INET or message["type"] != RTN_UNICAST:
            return
        if (message.get("table") or message["table"]) != RT_TABLE_MAIN:
            return
        text, length = message.get("dst") or "0.0.0.0", message["dst_len"]
        key = socket.inet_aton(text), length
        self._lost.pop(key, None)
        if present or message.get("oif") is None:  # no single command restores a multipath route
            return
        self._lost[key] = Route(
            f"{text}/{length}" if length else "default",
            message.get("gateway") or "",
            interface,
            message.get("priority") or 0,
            message.get("prefsrc") or "",
            message["proto"] == RTPROT_KERNEL and bool(message.get("prefsrc")),
        )
        if len(self._lost) > _REMEMBERED:
            del self._lost[next(iter(self._lost))]

    def closest(self, address: bytes) -> Route | None:
        """The lost route with the longest prefix that holds an address."""
        found = [(length, route) for (prefix, length), route in self._lost.items() if holds(prefix, length, address)]
        return max(found, key=itemgetter(0))[1] if found else None
