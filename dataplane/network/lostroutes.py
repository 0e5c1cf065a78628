"""Routes of the main table that went away and did not come back.

The kernel tells nothing about a route that is gone: only what was remembered can name it to an operator.
"""

from __future__ import annotations

import socket
from operator import itemgetter

from dataplane.network.prefixes import holds
from dataplane.network.routes import RT_TABLE_MAIN, RTN_UNICAST, RTPROT_KERNEL, Route, ToldRoute

_REMEMBERED = 256
"""Routes remembered at most; the oldest is forgotten first."""


class LostRoutes:
    """Remembers lost routes, by prefix and its length."""

    def __init__(self) -> None:
        self._lost: dict[tuple[bytes, int], Route] = {}

    def take(self, told: ToldRoute, interface: str, *, present: bool) -> None:
        """Take over what the kernel says about a route. interface: the name of its egress interface."""
        if told.kind != RTN_UNICAST or told.table != RT_TABLE_MAIN:
            return
        key = told.prefix, told.length
        self._lost.pop(key, None)
        if present or told.interface is None:  # no single command restores a multipath route
            return
        self._lost[key] = Route(
            f"{socket.inet_ntoa(told.prefix)}/{told.length}" if told.length else "default",
            _text(told.gateway),
            interface,
            told.metric,
            _text(told.source),
            told.protocol == RTPROT_KERNEL and bool(told.source),
        )
        if len(self._lost) > _REMEMBERED:
            del self._lost[next(iter(self._lost))]

    def closest(self, address: bytes) -> Route | None:
        """The lost route with the longest prefix that holds an address."""
        found = [(length, route) for (prefix, length), route in self._lost.items() if holds(prefix, length, address)]
        return max(found, key=itemgetter(0))[1] if found else None


def _text(address: bytes) -> str:
    return socket.inet_ntoa(address) if address else ""
