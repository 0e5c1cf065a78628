"""What keeps a server from being reached: no egress interface, no route, another segment; in words for an operator.

A server that cannot be reached is down at once, whatever its monitors said last: nothing can be sent to it. The names
of what is missing are remembered: when an interface vanishes, its addresses and routes vanish with it, and the kernel
does not tell what they were.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from dataplane.errors import command
from dataplane.forwarding.values import Interface
from dataplane.network import sysctl
from dataplane.network.prefixes import holds
from dataplane.network.routes import KernelRoute
from dataplane.network.state import Network
from dataplane.plan import L2

_REMEMBERED = 64
"""Addresses remembered of each interface after they went."""


class Fault(NamedTuple):
    """Why a server cannot be reached."""

    reason: str = ""  # "" if it can be
    remedy: str = ""  # the command that mends it, "" if there is none


NO_FAULT = Fault()
_THRESHOLD = "net.ipv4.neigh.default.gc_thresh3"
_ROOMY = 16384
"""Neighbours that the kernel should have room for, at least."""
NEIGHBOURS_FULL = "neighbour table of the engine's host is full"


def no_room() -> Fault:
    """The fault of a server whose neighbour entry the kernel has no room for (arp(7), gc_thresh3). The limits hold for
    all namespaces together; they can be seen and set in the initial one only."""
    try:
        most = max(_ROOMY, 2 * int(sysctl.read(_THRESHOLD)))
    except (OSError, ValueError):
        most = _ROOMY
    limits = {f"net.ipv4.neigh.default.gc_thresh{n}": v for n, v in ((1, most // 4), (2, most // 2), (3, most))}
    return Fault(NEIGHBOURS_FULL, sysctl.commands(limits))


Key = tuple[bytes, str]
"""A server's address, and the mode in which it is reached (one of plan.MODES)."""
Wanted = Callable[[bytes, str], bool]


class Reachability:
    """Finds and remembers the faults of servers. names: those of the interfaces that the engine is to serve."""

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        self._network = network
        self._names = tuple(names)
        self._served: Mapping[str, Interface] = {}
        self._had: dict[str, dict[tuple[bytes, int], None]] = {name: {} for name in names}
        self._last: dict[bytes, tuple[str, KernelRoute]] = {}
        self._faults: dict[Key, Fault] = {}

    def rename(self, old: str, new: str) -> None:
        """An interface has another name."""
        self._names = tuple(new if name == old else name for name in self._names)
        self._had[new] = self._had.pop(old)
        for server, (name, route) in self._last.items():
            if name == old:
                self._last[server] = new, route

    def fault(self, server: bytes, mode: str) -> Fault:
        """Why a server cannot be reached, as of the last `follow`."""
        return self._faults.get((server, mode), NO_FAULT)

    def follow(
        self, pools: Iterable[tuple[str, Sequence[bytes]]], served: Mapping[str, Interface], wanted: Wanted
    ) -> set[Key]:
        """Find the faults of some pools' servers again. Returns the servers whose fault came, went or changed.

        pools: mode and servers of each; served: the interfaces that are served now, by name; wanted: whether a server
        still belongs to a pool in that mode.
        """
        self._served = served
        for name, interface in served.items():
            had = self._had[name]
            for network in self._network.networks(interface.index):
                had.pop(network, None)  # the newest are last
                had[network] = None
            for network in list(had)[:-_REMEMBERED]:
                del had[network]
        self._last = {server: last for server, last in self._last.items() if self._network.is_followed(server)}
        for key in [key for key in self._faults if not wanted(*key)]:
            del self._faults[key]
        found: dict[Key, Fault] = {}
        near = self._network.prefixes(served.values())
        sound = {interface.index for interface in served.values() if self._down(interface.name) is NO_FAULT}
        for mode, servers in pools:
            attached = near.find_all(servers) if mode == L2 else [None] * len(servers)
            for server, there in zip(servers, attached, strict=True):
                if there is not None and there[0].index in sound:
                    if self._faults:
                        found[server, mode] = NO_FAULT
                elif (server, mode) not in found:
                    found[server, mode] = self.look(server, mode)
        changed = {key for key, fault in found.items() if self._faults.get(key, NO_FAULT) != fault}
        for key in changed:
            self._faults[key] = found[key]
            if found[key] is NO_FAULT:
                del self._faults[key]
        return changed

    @property
    def sound(self) -> bool:
        """Whether every server can be reached."""
        return not self._faults

    def look(self, server: bytes, mode: str) -> Fault:
        """Why a server cannot be reached now. mode: one of plan.MODES."""
        return self._attached(server) if mode == L2 else self._routed(server)

    def _attached(self, server: bytes) -> Fault:
        """In layer 2 a server must be on a network of a served interface."""
        attached = self._network.attached(server, self._served.values())
        if attached is not None:
            return self._down(attached[0].name)
        for name in self._names:
            lost = next((network for network in reversed(self._had[name]) if holds(*network, server)), None)
            if lost is None:
                continue
            if name not in self._served:
                return Fault(f"egress interface {name} is gone")
            prefix = f"{socket.inet_ntoa(lost[0])}/{lost[1]}"
            return Fault(
                f"egress interface {name} has lost its address {prefix}",
                command("ip address add {} dev {}", prefix, name),
            )
        return Fault(
            f"server is on no network attached to {self._all()}: layer-2 DSR needs its servers on the engine's own "
            "segment; give the engine an interface and an address there, or reach its pool by layer 3 (dsr_type_l3)"
        )

    def _routed(self, server: bytes) -> Fault:
        """In layer 3 the route to a server must leave by a served interface."""
        if not self._network.is_looked_up(server):
            return NO_FAULT
        route, address = self._network.route_to(server), socket.inet_ntoa(server)
        if route is not None:
            name = self._network.name(route.index)
            if name in self._served:
                self._last[server] = name, route
                return self._down(name)
        former = self._last.get(server)
        if former is not None and (gone := self._down(former[0])) is not NO_FAULT:
            return gone
        if route is not None:
            return Fault(f"the route to {address} leaves by {name}, which this engine does not serve: {self._all()}")
        lost = self._network.lost_route(server)
        if lost is None:
            return Fault(f"no route to {address} by an interface of this engine: {self._all()}")
        return Fault(f"no route to {address}: {lost} is gone", lost.remedy)

    def _down(self, name: str) -> Fault:
        """Why nothing leaves by an interface."""
        interface = self._served.get(name)
        if interface is None:
            return Fault(f"egress interface {name} is gone")
        if self._network.is_up(interface.index):
            return NO_FAULT
        if self._network.is_switched_on(interface.index):
            return Fault(f"egress interface {name} has no carrier")
        return Fault(f"egress interface {name} is down", command("ip link set dev {} up", name))

    def _all(self) -> str:
        found = []
        for name in self._names:
            interface = self._served.get(name)
            networks = self._network.networks(interface.index) if interface else ()
            texts = ", ".join(f"{socket.inet_ntoa(address)}/{length}" for address, length in networks)
            found.append(f"{name} ({texts or 'no address' if interface else 'gone'})")
        return ", ".join(found)
