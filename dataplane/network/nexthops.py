"""The next hops to servers, as far as they are known now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dataplane.forwarding.translate import NextHop
from dataplane.forwarding.values import Interface
from dataplane.network.pathmtu import PathMtus
from dataplane.network.state import Network
from dataplane.plan import L2

NOWHERE = NextHop()


class NextHops:
    """Finds them. interfaces: that are served."""

    def __init__(self, network: Network, path_mtus: PathMtus, interfaces: Callable[[], Iterable[Interface]]) -> None:
        self._network, self._path_mtus, self._interfaces = network, path_mtus, interfaces

    def of(self, servers: Sequence[bytes], mode: str) -> list[NextHop]:
        """The ways to a pool's servers. mode: one of plan.MODES."""
        if mode != L2:
            return list(map(self.by_route, servers))
        near = self._network.prefixes(self._interfaces())
        macs = {i.index: self._network.neighbours(i.index) for i in self._interfaces() if self._network.is_up(i.index)}
        hops = []
        for server, way in zip(servers, near.find_all(servers), strict=True):
            if way is None or way[0].index not in macs:
                hops.append(NOWHERE)
            else:
                hops.append(NextHop(way[0].index, macs[way[0].index].get(server), way[1]))
        return hops

    def on_segment(self, server: bytes) -> NextHop:
        """The way to a server on an attached network."""
        return self.of((server,), L2)[0]

    def by_route(self, server: bytes) -> NextHop:
        """The way to a server that may be routers away."""
        way = self._network.route_to(server)
        if way is None or not self._network.is_up(way.index):
            return NOWHERE
        if all(interface.index != way.index for interface in self._interfaces()):
            return NOWHERE
        mac = self._network.neighbour(way.index, way.gateway)
        return NextHop(way.index, mac, way.source, self._path_mtus.get(server))
