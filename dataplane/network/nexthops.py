"""Looks up the next hops towards servers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import cast

from dataplane.forwarding.translate import NextHop
from dataplane.forwarding.values import Interface
from dataplane.network import neighbours
from dataplane.network.pathmtu import PathMtus
from dataplane.network.state import Network
from dataplane.plan import L2

NOWHERE = NextHop()
_MADE = partial(cast(Callable[..., NextHop], tuple.__new__), NextHop)
"""Makes one of its four fields, in a third of the time of a call."""


class NextHops:
    """Looks up next hops, as far as they are known now. interfaces: those that the engine serves."""

    def __init__(self, network: Network, path_mtus: PathMtus, interfaces: Callable[[], Iterable[Interface]]) -> None:
        self._network, self._path_mtus, self._interfaces = network, path_mtus, interfaces

    def of(self, servers: Sequence[bytes], mode: str) -> list[NextHop]:
        """The next hops towards a pool's servers. mode: one of plan.MODES."""
        if mode != L2:
            return list(map(self.by_route, servers))
        near = self._network.prefixes(self._interfaces())
        macs = {i.index: self._network.neighbours(i.index) for i in self._interfaces() if self._network.is_up(i.index)}
        found = near.find_all(servers)
        attached = found[0] if found else None
        if attached is not None and attached[0].index in macs and found.count(attached) == len(found):
            # The servers of most pools are on one network, and a start looks for all of them.
            index, own = attached[0].index, attached[1]
            return list(map(_MADE, zip(repeat(index), map(macs[index].get, servers), repeat(own), repeat(0))))
        return [
            NOWHERE
            if attached is None or attached[0].index not in macs
            else NextHop(attached[0].index, macs[attached[0].index].get(server), attached[1])
            for server, attached in zip(servers, found, strict=True)
        ]

    def on_segment(self, server: bytes) -> NextHop:
        """The next hop towards a server on an attached network: the server itself."""
        return self.of((server,), L2)[0]

    def by_route(self, server: bytes) -> NextHop:
        """The next hop towards a server that may be behind routers."""
        route = self._network.route_to(server)
        if route is None or not self._network.is_up(route.index):
            return NOWHERE
        if all(interface.index != route.index for interface in self._interfaces()):
            return NOWHERE
        mac = self._network.neighbour(route.index, route.gateway)
        return NextHop(route.index, mac, route.source, self._path_mtus.get(server))

    def silent(self, server: bytes) -> str:
        """That the next hop of this host's own route to a server does not answer ARP, in words; "" if it does."""
        route = self._network.route_to(server)
        if route is None or route.gateway == server or not self._network.is_up(route.index):
            return ""
        state = neighbours.STATE_NAMES.get(self._network.unknown.get((route.index, route.gateway), 0))
        where = f"{socket.inet_ntoa(route.gateway)} on {self._network.name(route.index)}"
        return f"the engine's next hop to it, {where}, does not answer ARP ({state})" if state else ""
