"""Keeps two things fresh: the MTUs of paths into tunnels, and the neighbours that no probe reaches."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Mapping

from dataplane import plan
from dataplane.errors import NetworkError
from dataplane.forwarding import rewrite, translate, values
from dataplane.forwarding.values import Interface
from dataplane.health.probepaths import ProbePaths
from dataplane.network import pathmtu
from dataplane.network.pathmtu import PathMtus
from dataplane.network.state import Network
from dataplane.plan.index import ServiceIndex

log = logging.getLogger("avi-se")

MEASURE_LOOK_EVERY = 0.5
"""Seconds between two looks for tunnels whose path is to be measured."""
RESOLVED_A_SECOND = 20_000
"""Servers asked for, at most."""
RESOLVE_EVERY = 5.0
"""Seconds between two looks for servers whose MAC address nobody else keeps fresh."""


class Housekeeping:
    """Two tasks without end, on the engine's loop. pools: as they were put last, by uuid; next_hop: towards a server
    that may be routers away; interfaces: those served."""

    def __init__(
        self,
        network: Network,
        index: ServiceIndex,
        pools: Mapping[str, values.Pool],
        paths: ProbePaths,
        path_mtus: PathMtus,
        next_hop: Callable[[bytes], translate.NextHop],
        interfaces: Callable[[], Iterable[Interface]],
    ) -> None:
        self._network, self._index, self._pools = network, index, pools
        self._paths, self._path_mtus = paths, path_mtus
        self._next_hop, self._interfaces = next_hop, interfaces

    async def measure(self) -> None:
        """Send packets of full size into the tunnels. Routers then tell what fits."""
        while True:
            tunnels = {
                (socket.inet_aton(server.address), service.mode): socket.inet_aton(service.vip)
                for service in self._index.services.values()
                if service.mode != plan.L2
                for server in service.servers
            }
            for server, mode in self._path_mtus.due(tunnels.keys()):
                next_hop = self._next_hop(server)
                mtu = next((i.mtu for i in self._interfaces() if i.index == next_hop.interface), 0)
                if next_hop.mac is None or not mtu:
                    continue
                try:
                    mark = self._paths.open_tunnel(server, next_hop.source, mode)
                    for number, size in self._path_mtus.measuring((server, mode), mtu).items():
                        inner, vip = size - rewrite.overhead(mode), tunnels[server, mode]
                        pathmtu.send_measuring(mark, next_hop.source, vip, inner, number)
                except (NetworkError, OSError) as exc:
                    log.warning("the path to %s is not measured: %s", socket.inet_ntoa(server), exc)
            await asyncio.sleep(MEASURE_LOOK_EVERY)

    async def resolve(self) -> None:
        """Have the kernel look up the MAC addresses of servers, or of their next hops, that no probe keeps fresh. Each
        look-up is an ARP request, so many are spread over time."""
        while True:
            for uuid in list(self._index.pools):
                wanted = self._unresolved(uuid)
                try:
                    self._network.resolve(wanted)
                except NetworkError as exc:
                    log.warning("%s", exc)
                await asyncio.sleep(len(wanted) / RESOLVED_A_SECOND)
            await asyncio.sleep(RESOLVE_EVERY)

    def _unresolved(self, uuid: str) -> list[tuple[int, bytes]]:
        """Interface and address of every neighbour that is to be found or confirmed for a pool."""
        services, pool = self._index.of_pool(uuid), self._pools.get(uuid)
        if not services or pool is None:
            return []
        service, wanted = next(iter(services)), []
        for target in pool.targets:
            if target.mac is not None and service.monitors:
                continue
            interface, neighbour = target.interface, target.address
            if service.mode != plan.L2:
                route = self._network.route_to(target.address)
                interface, neighbour = (route.index, route.gateway) if route else (None, neighbour)
            if interface is not None:
                wanted.append((interface, neighbour))
        return wanted
