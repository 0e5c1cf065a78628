"""The probe routes of checks: the mark and source address that lead a check's probes to its server."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dataplane import plan
from dataplane.errors import NetworkError
from dataplane.forwarding.translate import NextHop
from dataplane.forwarding.values import Interface
from dataplane.health.probepaths import ProbePaths
from dataplane.health.probes.check import Check, ProbeRoute
from dataplane.network import ownhost
from dataplane.network.nexthops import NextHops
from dataplane.network.ownhost import OwnHost
from dataplane.network.pathmtu import PathMtus
from dataplane.network.reachability import NO_FAULT, Fault, Reachability, no_room
from dataplane.network.state import Network
from dataplane.plan import MONITOR_EXTERNAL


class ProbeRouting:
    """Finds probe routes: in layer 2 to the server itself, in layer 3 into its tunnel."""

    def __init__(
        self,
        network: Network,
        reachability: Reachability,
        paths: ProbePaths,
        path_mtus: PathMtus,
        next_hops: NextHops,
        own_host: OwnHost,
        interfaces: Callable[[], Iterable[Interface]],
    ) -> None:
        self._network, self._reachability, self._paths, self._path_mtus = network, reachability, paths, path_mtus
        self._next_hops, self._own_host, self._interfaces = next_hops, own_host, interfaces

    async def open(self, check: Check) -> ProbeRoute:
        """The route of a check's probes. Raises NetworkError."""
        if (held := ownhost.holding(self._network, check.vip)).reason:
            raise NetworkError(held.reason, remedy=held.remedy)
        if check.mode != plan.L2:
            return self._open_tunnel(check)
        attached = self._network.attached(check.server, self._interfaces())
        if attached is None or not self._network.is_up(attached[0].index):
            raise self._unreachable(check)
        interface, source = attached
        by_user = check.monitor.type == MONITOR_EXTERNAL
        return ProbeRoute(self._paths.open(check.server, interface, source, by_user=by_user), source)

    def _open_tunnel(self, check: Check) -> ProbeRoute:
        if self._network.route_to(check.server) is None:  # at the start nothing has been looked up yet
            self._network.look_up_routes([check.server])
        hop = self._next_hops.by_route(check.server)
        if hop.interface is None:
            raise self._unreachable(check)
        return ProbeRoute(self._paths.open_tunnel(check.server, hop.source, check.mode), hop.source)

    def _unreachable(self, check: Check) -> NetworkError:
        return NetworkError(self._reachability.look(check.server, check.mode).reason or "the network is changing")

    def explain(self, check: Check, began: float) -> Fault:
        """Why a probe cannot have reached its server, or its answer cannot have reached the probe; else NO_FAULT. It
        may be a missing MAC address, the settings of the engine's own host, or a tunnel that was refused since
        `began`."""
        if check.mode != plan.L2:
            route, hop = self._network.route_to(check.server), self._next_hops.by_route(check.server)
            if route is not None and hop.mac is None and not self._network.has_room(route.index, route.gateway):
                return no_room()
            if silent := self._next_hops.silent(check.server):
                return Fault(silent)
            return self._own(check, hop) or Fault(self._path_mtus.refusal(check.server, check.mode, began))
        hop = self._next_hops.on_segment(check.server)
        if hop.mac is None:
            if hop.interface is not None and not self._network.has_room(hop.interface, check.server):
                return no_room()
            return Fault("server does not answer: no reply to ARP for its address")
        return self._own(check, hop) or NO_FAULT

    def _own(self, check: Check, hop: NextHop) -> Fault | None:
        """What this host's settings do to answers of the VIP that come by the interface that a probe leaves by."""
        if hop.interface is None:
            return None
        found = self._own_host.fault(check.vip, self._network.name(hop.interface))
        return found if found.reason else None
