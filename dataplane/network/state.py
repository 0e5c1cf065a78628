"""The network around the engine: links, addresses, neighbours and routes of this namespace, as rtnetlink events keep
them up to date.

One callback hears of every change, so that next hops follow at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from dataplane.errors import NetworkError
from dataplane.forwarding.values import Interface
from dataplane.network import links, neighbours, policyrouting, routes, rtnetlink
from dataplane.network.events import Event, NetworkEvents
from dataplane.network.gateways import Gateways
from dataplane.network.links import Address, Link
from dataplane.network.lostroutes import LostRoutes
from dataplane.network.neighbours import NUD_PERMANENT, Neighbour
from dataplane.network.policyrouting import LostProbeRoute
from dataplane.network.prefixes import Prefixes
from dataplane.network.routes import KernelRoute, Route
from dataplane.runtime import tasks

log = logging.getLogger("avi-se")

_ASKED_AT_ONCE = 500
"""Routes looked up before other tasks have their turn."""
_HEARD_IN = 5.0
"""Seconds in which the kernel surely tells of a link that was made."""
REFRESH_REST = 3.0
"""After a look at all routes, so many times its duration pass before the next: some hosts have a million routes."""
TOGETHER = 0.01
"""Seconds. Changes that follow each other faster are reported together: each report looks at every service."""


Networks = tuple[tuple[bytes, int], ...]
"""An interface's addresses: (address, prefix length), in the kernel's order."""

_NO_NEIGHBOURS: Mapping[bytes, bytes] = {}


class Network:
    """The links, addresses, neighbours and routes.

    changed: called after every event that alters one of them. `layout` counts the changes of links, addresses and
    routes: whoever remembers what follows from these asks again when it has changed.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.layout = 0
        self._links: dict[int, Link] = {}
        self._addresses: dict[int, dict[tuple[bytes, int], None]] = {}
        self._neighbours: dict[int, dict[bytes, bytes]] = {}
        self._moved: set[bytes] = set()
        self._lost_probe_routes: set[LostProbeRoute] = set()
        self._permanent: dict[int, set[bytes]] = {}
        self.unknown: dict[tuple[int, bytes], int] = {}  # NUD_… of neighbours without a MAC, by interface and address
        self._resolver = neighbours.Resolver()
        self._kernel = rtnetlink.RtnetlinkSocket()
        self._events = NetworkEvents()
        self._listener: asyncio.Task[None] | None = None
        self._followed: set[bytes] = set()
        self._routes: dict[bytes, KernelRoute | None] = {}
        self._lost_routes = LostRoutes()
        self._refresh = asyncio.Event()
        self._refresher: asyncio.Task[None] | None = None
        self.gateways = Gateways()

    async def start(self) -> None:
        """Read everything once, then follow the events. Raises OSError."""
        self._events.open()
        self._read()
        await self.gateways.read()
        self._listener = tasks.forever(self._listen())
        self._refresher = tasks.forever(self._refresh_routes_for_ever())

    async def close(self) -> None:
        """Stop following."""
        for task in (self._listener, self._refresher):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._events.close()
        self._resolver.close()
        self._kernel.close()

    def link(self, name: str) -> Link:
        """The link with a name. Raises NetworkError, which names those that exist."""
        for link in self._links.values():
            if link.name == name:
                return link
        raise NetworkError(
            f"no interface {name!r}; there are {', '.join(sorted(k.name for k in self._links.values()))}"
        )

    def to_serve(self, name: str) -> Link:
        """The link with a name, on which frames can be forwarded. Raises NetworkError, which names those that can."""
        link = self.link(name)
        if not link.ethernet:
            what = "the loopback interface" if link.loopback else "no Ethernet interface"
            there = ", ".join(sorted(one.name for one in self._links.values() if one.ethernet))
            raise NetworkError(
                f"interface {name} cannot be served: it is {what}, and has no neighbours with MAC addresses",
                remedy=f"--interface with one of {there}" if there else "ip link set an Ethernet interface up",
            )
        return link

    async def heard_of(self, names: Iterable[str]) -> None:
        """Wait until links that were just made are known: the kernel tells of each. Raises NetworkError."""
        until = time.monotonic() + _HEARD_IN
        for name in names:
            while self.interface(name) is None and time.monotonic() < until:
                await asyncio.sleep(0.005)
            self.link(name)

    def usable(self) -> list[str]:
        """Names of the Ethernet links that are up and have an IPv4 address: what an engine serves by default."""
        return [
            link.name
            for index, link in sorted(self._links.items())
            if link.ethernet and link.up and self._addresses.get(index)
        ]

    def interface(self, name: str) -> Interface | None:
        """A link as a driver sees it; None if there is no such link."""
        for link in self._links.values():
            if link.name == name:
                addresses = tuple(address for address, _ in self.networks(link.index))
                return Interface(link.index, link.name, link.mac, link.mtu, addresses)
        return None

    def is_up(self, index: int) -> bool:
        """Whether a link exists, is switched on and has a carrier."""
        link = self._links.get(index)
        return link is not None and link.up

    def is_switched_on(self, index: int) -> bool:
        """Whether a link exists and is switched on, with a carrier or without."""
        link = self._links.get(index)
        return link is not None and link.on

    def name(self, index: int) -> str:
        """A link's name; its number where it has vanished."""
        link = self._links.get(index)
        return f"interface {index}" if link is None else link.name

    def networks(self, index: int) -> Networks:
        """A link's addresses."""
        return tuple(self._addresses.get(index, ()))

    def own_addresses(self) -> frozenset[bytes]:
        """Every IPv4 address of this namespace except those in 127.0.0.0/8."""
        return frozenset(
            address for networks in self._addresses.values() for address, _ in networks if address[0] != 127
        )

    def attached(self, address: bytes, among: Iterable[Interface]) -> tuple[Interface, bytes] | None:
        """The interface whose network holds an address, and the engine's own address there; None if no network does."""
        return self.prefixes(among).find(address)

    def prefixes(self, among: Iterable[Interface]) -> Prefixes:
        """The networks of some interfaces, as they are now."""
        return Prefixes((one, own, length) for one in among for own, length in self.networks(one.index))

    def neighbour(self, index: int, address: bytes) -> bytes | None:
        """A neighbour's MAC address; None while it is not resolved."""
        return self.neighbours(index).get(address)

    def neighbours(self, index: int) -> Mapping[bytes, bytes]:
        """The MAC addresses of an interface's resolved neighbours, by IP address."""
        return self._neighbours.get(index, _NO_NEIGHBOURS)

    def moved(self) -> set[bytes]:
        """The neighbours whose MAC address has changed since the last call."""
        moved, self._moved = self._moved, set()
        return moved

    def lost_probe_routes(self) -> set[LostProbeRoute]:
        """The probes' rules and routes that were removed since the last call, by whomever."""
        lost, self._lost_probe_routes = self._lost_probe_routes, set()
        return lost

    def routed_through(self, gateway: bytes) -> list[bytes]:
        """The followed addresses that are routed through this next hop."""
        return [address for address, route in self._routes.items() if route is not None and route.gateway == gateway]

    def is_permanent(self, index: int, address: bytes) -> bool:
        """Whether a neighbour's entry was made by hand: the kernel learns no other MAC address for it."""
        return address in self._permanent.get(index, ())

    def follow(self, addresses: Iterable[bytes]) -> None:
        """Look up the routes to exactly these addresses from now on. `refresh_routes` finds those to new ones."""
        wanted = set(addresses)
        for address in self._followed - wanted:
            self._routes.pop(address, None)
        if wanted - self._followed:
            self._refresh.set()
        self._followed = wanted

    def look_once(self, address: bytes) -> None:
        """Look up the route to an address that is not followed; `forget` it then."""
        if address not in self._followed:
            with suppress(OSError):
                (self._routes[address],) = routes.kernel_routes(self._kernel, [address])

    def forget(self, address: bytes) -> None:
        """Forget an address that was looked up once, and is not followed."""
        if address not in self._followed:
            self._routes.pop(address, None)

    def is_followed(self, address: bytes) -> bool:
        """Whether the route to an address is followed."""
        return address in self._followed

    def is_looked_up(self, address: bytes) -> bool:
        """Whether the kernel has been asked for the route to an address."""
        return address in self._routes

    def route_to(self, address: bytes) -> KernelRoute | None:
        """The route to a followed address; None while there is none."""
        return self._routes.get(address)

    def lost_route(self, address: bytes) -> Route | None:
        """The closest route to an address that was removed and did not come back."""
        return self._lost_routes.closest(address)

    async def refresh_routes(self) -> bool:
        """Look up the routes to all followed addresses. Returns whether one has changed."""
        changed, followed = False, list(self._followed)
        for first in range(0, len(followed), _ASKED_AT_ONCE):
            changed |= self.look_up_routes(followed[first : first + _ASKED_AT_ONCE])
            await asyncio.sleep(0)  # other tasks have their turn
        return changed

    def look_up_routes(self, addresses: Sequence[bytes]) -> bool:
        """Look up the routes to some followed addresses now. Returns whether one has changed."""
        try:
            found = routes.kernel_routes(self._kernel, addresses)
        except OSError as exc:
            log.warning("the kernel does not tell the routes to %d servers: %s", len(addresses), exc)
            return False
        changed = [self._put_route(address, route) for address, route in zip(addresses, found, strict=True)]
        return any(changed)

    def _put_route(self, address: bytes, route: KernelRoute | None) -> bool:
        if address not in self._followed or (address in self._routes and self._routes[address] == route):
            return False
        self._routes[address] = route
        self.layout += 1
        return True

    async def _refresh_routes_for_ever(self) -> None:
        while True:
            await self._refresh.wait()
            self._refresh.clear()
            began = time.monotonic()
            if await self.refresh_routes() | await self.gateways.read():
                self._changed()
            await asyncio.sleep(REFRESH_REST * (time.monotonic() - began))

    def resolve(self, wanted: Sequence[tuple[int, bytes]]) -> None:
        """Have the kernel find or confirm neighbours, by interface index and address. Raises NetworkError.

        Permanent ones are known, and are never asked for: the kernel would take them for learnt ones from then on.
        """
        try:
            self._resolver.resolve([one for one in wanted if not self.is_permanent(*one)])
        except OSError as exc:
            raise NetworkError(f"cannot resolve {_text(wanted[0][1])} and others: {exc}") from exc

    def has_room(self, index: int, address: bytes) -> bool:
        """Whether the kernel's neighbour table has room for this one. Finds out by having it resolved."""
        if self.is_permanent(index, address):
            return True
        try:
            return self._resolver.resolve([(index, address)])
        except OSError:
            return True

    def _read(self) -> None:
        """Read everything. Events that happen meanwhile wait, and are taken afterwards."""
        self._events.forget()
        self.layout += 1
        there, addresses = list(links.links()), list(links.addresses())
        self._links = {link.index: link for link in there}
        self._addresses = {}
        for address in addresses:
            self._take_address(address, True)
        self._neighbours, self._permanent = neighbours.known()

    async def _listen(self) -> None:
        while True:
            try:
                await self._events.wait()
                changed = False
                for event in self._events.received():
                    changed |= self._take_event(event)
            except OSError:  # the kernel dropped events (ENOBUFS): what is known may be out of date
                self._read()
                self._lost_probe_routes.add(policyrouting.ANY)
                self._refresh.set()
                changed = True
            if changed:
                self._changed()
                await asyncio.sleep(TOGETHER)

    def _take_event(self, event: Event) -> bool:
        """Take over an event. Returns whether others must hear of it."""
        if isinstance(event, Neighbour):
            return self._take_neighbour(event)
        if isinstance(event, LostProbeRoute):
            self._lost_probe_routes.add(event)
            return True
        about, present = event
        if isinstance(about, Link):
            changed = self._take_link(about, present)
        elif isinstance(about, Address):
            changed = self._take_address(about, present)
        else:
            self._lost_routes.take(about, self.name(about.interface or 0), present=present)
            self._refresh.set()
            return False
        if changed:
            self._refresh.set()
        return changed

    def _take_link(self, link: Link, present: bool) -> bool:
        before = self._links.get(link.index)
        if not present:
            self.layout += 1
            self._links.pop(link.index, None)
            self._addresses.pop(link.index, None)
            self._neighbours.pop(link.index, None)
            self._permanent.pop(link.index, None)
            return before is not None
        self._links[link.index] = link
        self.layout += link != before
        return link != before

    def _take_address(self, told: Address, present: bool) -> bool:
        networks = self._addresses.setdefault(told.link, {})
        key = told.address, told.length
        if present == (key in networks):
            return False
        self.layout += 1
        if present:
            networks[key] = None
        else:
            del networks[key]
        return True

    def _take_neighbour(self, event: Neighbour) -> bool:
        index, address, mac, state = event
        if mac is not None and state & NUD_PERMANENT:
            self._permanent.setdefault(index, set()).add(address)
        elif index in self._permanent:
            self._permanent[index].discard(address)
        self.unknown[index, address] = 0 if mac else state
        there = self._neighbours.setdefault(index, {})
        if there.get(address) == mac:
            return False
        self._moved.add(address)
        if mac is None:
            del there[address]
        else:
            there[address] = mac
        return True


def _text(address: bytes) -> str:
    return str(ipaddress.IPv4Address(address))
