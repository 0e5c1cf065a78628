"""The way of a check: the mark and source that lead its probes to one server, and what is known against that way."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dataplane import plan
from dataplane.errors import NetworkError
from dataplane.forwarding.values import Interface
from dataplane.health.probepaths import ProbePaths
from dataplane.health.probes.check import Check
from dataplane.network.nexthops import NextHops
from dataplane.network.pathmtu import PathMtus
from dataplane.network.reachability import FULL, Reachability
from dataplane.network.state import Network
from dataplane.plan import MONITOR_EXTERNAL


class ProbeRouting:
    """The ways of checks, in layer 2 by the server's own hop, else in the tunnel by the next one."""

    def __init__(
        self,
        network: Network,
        reachability: Reachability,
        paths: ProbePaths,
        path_mtus: PathMtus,
        next_hops: NextHops,
        interfaces: Callable[[], Iterable[Interface]],
    ) -> None:
        self._network, self._reachability, self._paths, self._path_mtus = network, reachability, paths, path_mtus
        self._next_hops, self._interfaces = next_hops, interfaces

    async def open(self, check: Check) -> tuple[int, bytes]:
        """The mark and the source address of a check's probes. Raises NetworkError."""
        if check.mode != plan.L2:
            return await self._open_tunnel(check)
        way = self._network.attached(check.server, self._interfaces())
        if way is None or not self._network.is_up(way[0].index):
            raise self._none(check)
        interface, source = way
        by_user = check.monitor.type == MONITOR_EXTERNAL
        return self._paths.open(check.server, interface, source, by_user=by_user), source

    async def _open_tunnel(self, check: Check) -> tuple[int, bytes]:
        if self._network.route_to(check.server) is None:  # at the start nobody has asked yet
            self._network.look_up_routes([check.server])
        hop = self._next_hops.by_route(check.server)
        if hop.interface is None:
            raise self._none(check)
        return await self._paths.open_tunnel(check.server, hop.source, check.mode), hop.source

    def _none(self, check: Check) -> NetworkError:
        return NetworkError(self._reachability.look(check.server, check.mode).reason or "the network is changing")

    def explain(self, check: Check, began: float) -> str:
        """What is known against a probe's way: no MAC address, or what was said against the tunnel since `began`."""
        if check.mode != plan.L2:
            way, hop = self._network.route_to(check.server), self._next_hops.by_route(check.server)
            if way is not None and hop.mac is None and not self._network.has_room(way.index, way.gateway):
                return FULL
            return self._path_mtus.refusal(check.server, check.mode, began)
        hop = self._next_hops.on_segment(check.server)
        if hop.mac is None:
            if hop.interface is not None and not self._network.has_room(hop.interface, check.server):
                return FULL
            return "server does not answer: no reply to ARP for its address"
        return ""
