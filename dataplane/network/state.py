"""The network around the engine: links, addresses, neighbours and routes of this namespace, kept true by rtnetlink
events.

pyroute2's asynchronous API tells and changes everything; nothing else in this package speaks rtnetlink while the engine
runs. What changed is reported to one callback, so that next hops follow within the event's own time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from pyroute2 import AsyncIPRoute

from dataplane.errors import NetworkError
from dataplane.forwarding.values import Interface
from dataplane.network import neighbours, routes, rtnetlink
from dataplane.network.events import Event, NetworkEvents
from dataplane.network.neighbours import NUD_PERMANENT, Neighbour
from dataplane.network.policyrouting import Lost
from dataplane.network.routes import RT_TABLE_MAIN, RTN_UNICAST, RTPROT_KERNEL, KernelRoute, Route
from dataplane.runtime import tasks

log = logging.getLogger("avi-se")

# linux/if.h
IFF_UP, IFF_LOOPBACK, IFF_LOWER_UP = 0x1, 0x8, 0x10000
ARPHRD_ETHER = 1
_LOST_ROUTES = 256
"""Routes remembered after they went, newest last."""
_ASKED_AT_ONCE = 500
TOGETHER = 0.01
"""Seconds: what changes within it of the last change is told together, for each telling looks at every service."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link as the kernel tells it. on: administratively up; up: that, and its carrier."""

    index: int
    name: str
    mac: bytes
    mtu: int
    on: bool
    up: bool
    ethernet: bool


Networks = tuple[tuple[bytes, int], ...]
"""An interface's addresses: (address, prefix length), in the kernel's order."""


_NOBODY: Mapping[bytes, bytes] = {}


class Prefixes:
    """Networks of interfaces, to find addresses in: the longest prefix wins, as in a routing table, and of equal ones
    the first."""

    def __init__(self, networks: Iterable[tuple[Interface, bytes, int]]) -> None:
        """networks: interface, its address there, length of the prefix."""
        self._longest_first = [
            (32 - length, int.from_bytes(own, "big") >> 32 - length, (interface, own))
            for interface, own, length in sorted(networks, key=itemgetter(2), reverse=True)
        ]

    def find(self, address: bytes) -> tuple[Interface, bytes] | None:
        """The interface whose network holds an address, with the address of its own there."""
        return self.find_all((address,))[0]

    def find_all(self, addresses: Sequence[bytes]) -> list[tuple[Interface, bytes] | None]:
        """The same of many."""
        numbers = struct.unpack(f"!{len(addresses)}I", b"".join(addresses))
        if len(self._longest_first) == 1:
            ((shift, prefix, found),) = self._longest_first
            return [found if number >> shift == prefix else None for number in numbers]
        return [
            next((found for shift, prefix, found in self._longest_first if number >> shift == prefix), None)
            for number in numbers
        ]


class Network:
    """Links, addresses and neighbours, by index; `changed` is called after every event that alters one of them.

    layout: counts the changes of links, addresses and ways: whoever remembers what follows from them asks again.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.layout = 0
        self._links: dict[int, Link] = {}
        self._addresses: dict[int, dict[tuple[bytes, int], None]] = {}
        self._neighbours: dict[int, dict[bytes, bytes]] = {}
        self._moved: set[bytes] = set()
        self._lost_probe_routes: set[Lost] = set()
        self._permanent: dict[int, set[bytes]] = {}
        self._netlink = AsyncIPRoute()
        self._resolver = neighbours.Resolver()
        self._kernel = rtnetlink.RtnetlinkSocket()
        self._events = NetworkEvents()
        self._listener: asyncio.Task[None] | None = None
        self._followed: set[bytes] = set()
        self._routes: dict[bytes, KernelRoute | None] = {}
        self._lost: dict[tuple[bytes, int], Route] = {}
        self._refresh = asyncio.Event()
        self._refresher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read everything once, then follow the events."""
        self._events.open()
        await self._netlink.setup_endpoint()
        await self._read()
        self._listener = tasks.forever(self._listen())
        self._refresher = tasks.forever(self._refresh_routes_for_ever())

    async def close(self) -> None:
        """Stop following."""
        for task in (self._listener, self._refresher):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._events.close()
        self._netlink.close()
        self._resolver.close()
        self._kernel.close()

    @property
    def netlink(self) -> Any:
        """The rtnetlink socket for changes (rules, routes, neighbours)."""
        return self._netlink

    def link(self, name: str) -> Link:
        """The link of a name. Raises NetworkError naming those there are."""
        for link in self._links.values():
            if link.name == name:
                return link
        raise NetworkError(
            f"no interface {name!r}; there are {', '.join(sorted(k.name for k in self._links.values()))}"
        )

    def usable(self) -> list[str]:
        """Names of the Ethernet links that are up and have an IPv4 address: what an engine serves by default."""
        return [
            link.name
            for index, link in sorted(self._links.items())
            if link.ethernet and link.up and self._addresses.get(index)
        ]

    def interface(self, name: str) -> Interface | None:
        """A link as a driver sees it; None while it does not exist."""
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
        """The addresses of a link."""
        return tuple(self._addresses.get(index, ()))

    def own_addresses(self) -> frozenset[bytes]:
        """Every IPv4 address of this namespace, loopback's 127/8 left out."""
        return frozenset(
            address for networks in self._addresses.values() for address, _ in networks if address[0] != 127
        )

    def attached(self, address: bytes, among: Iterable[Interface]) -> tuple[Interface, bytes] | None:
        """The interface whose network holds an address, with the engine's own address there; None if none does."""
        return self.prefixes(among).find(address)

    def prefixes(self, among: Iterable[Interface]) -> Prefixes:
        """The networks of interfaces as of now."""
        return Prefixes((one, own, length) for one in among for own, length in self.networks(one.index))

    def neighbour(self, index: int, address: bytes) -> bytes | None:
        """The MAC address of a neighbour; None while it is not resolved."""
        return self.neighbours(index).get(address)

    def neighbours(self, index: int) -> Mapping[bytes, bytes]:
        """The MAC addresses of the neighbours on an interface that are resolved."""
        return self._neighbours.get(index, _NOBODY)

    def moved(self) -> set[bytes]:
        """The neighbours whose MAC address changed since the last call."""
        moved, self._moved = self._moved, set()
        return moved

    def lost_probe_routes(self) -> set[Lost]:
        """The rules and routes of probes that went since the last call, whoever took them."""
        lost, self._lost_probe_routes = self._lost_probe_routes, set()
        return lost

    def routed_through(self, gateway: bytes) -> list[bytes]:
        """The followed addresses whose way leads by this next hop."""
        return [address for address, way in self._routes.items() if way is not None and way.gateway == gateway]

    def is_permanent(self, index: int, address: bytes) -> bool:
        """Whether somebody wrote a neighbour's MAC address down by hand: the kernel learns no other."""
        return address in self._permanent.get(index, ())

    def follow(self, addresses: Iterable[bytes]) -> None:
        """The addresses whose ways are wanted from now on; those of new ones are known after `ask`."""
        wanted = set(addresses)
        for address in self._followed - wanted:
            self._routes.pop(address, None)
        if wanted - self._followed:
            self._refresh.set()
        self._followed = wanted

    def is_followed(self, address: bytes) -> bool:
        """Whether an address's way is wanted."""
        return address in self._followed

    def is_looked_up(self, address: bytes) -> bool:
        """Whether the kernel was asked for an address's way yet."""
        return address in self._routes

    def route_to(self, address: bytes) -> KernelRoute | None:
        """The way to a followed address; None while there is none."""
        return self._routes.get(address)

    def lost_route(self, address: bytes) -> Route | None:
        """The closest route to an address that went and did not come back."""
        number = int.from_bytes(address, "big")
        found = [
            (length, route)
            for (prefix, length), route in self._lost.items()
            if (number ^ int.from_bytes(prefix, "big")) >> (32 - length) == 0
        ]
        return max(found, key=itemgetter(0))[1] if found else None

    async def refresh_routes(self) -> bool:
        """Ask the kernel for every followed address. Whether one changed."""
        changed, followed = False, list(self._followed)
        for first in range(0, len(followed), _ASKED_AT_ONCE):
            changed |= self.look_up_routes(followed[first : first + _ASKED_AT_ONCE])
            await asyncio.sleep(0)  # others, too, want the loop
        return changed

    def look_up_routes(self, addresses: Sequence[bytes]) -> bool:
        """Ask it for the ways to some followed addresses now. Whether one changed."""
        try:
            found = routes.kernel_routes(self._kernel, addresses)
        except OSError as exc:
            log.warning("the kernel does not tell the ways to %d servers: %s", len(addresses), exc)
            return False
        changed = [self._put_route(address, way) for address, way in zip(addresses, found, strict=True)]
        return any(changed)

    def _put_route(self, address: bytes, way: KernelRoute | None) -> bool:
        if address not in self._followed or (address in self._routes and self._routes[address] == way):
            return False
        self._routes[address] = way
        self.layout += 1
        return True

    async def _refresh_routes_for_ever(self) -> None:
        while True:
            await self._refresh.wait()
            self._refresh.clear()
            if await self.refresh_routes():
                self._changed()

    def resolve(self, wanted: Sequence[tuple[int, bytes]]) -> None:
        """Have the kernel find or confirm neighbours, by interface index and address. Raises NetworkError."""
        try:
            self._resolver.ask(wanted)
        except OSError as exc:
            raise NetworkError(f"cannot resolve {_text(wanted[0][1])} and others: {exc}") from exc

    def has_room(self, index: int, address: bytes) -> bool:
        """Whether the kernel has room for this neighbour among the others: asks for it."""
        try:
            return self._resolver.ask([(index, address)])
        except OSError:
            return True

    async def _read(self) -> None:
        """Read everything. Events that happen meanwhile are waiting, and come after what was read."""
        self._events.forget()
        links = [message async for message in await self._netlink.get_links()]
        addresses = [message async for message in await self._netlink.get_addr(family=socket.AF_INET)]
        self.layout += 1
        self._links.clear()  # and filled before anybody else has the loop: no interface is gone meanwhile
        self._addresses.clear()
        for message in links:
            self._take("RTM_NEWLINK", message)
        for message in addresses:
            self._take("RTM_NEWADDR", message)
        self._neighbours, self._permanent = neighbours.known()

    async def _listen(self) -> None:
        while True:
            try:
                await self._events.wait()
                changed = False
                for event in self._events.heard():
                    changed |= self._take_event(event)
            except OSError:  # the kernel dropped events (ENOBUFS): what we know may be old
                await self._read()
                self._refresh.set()
                changed = True
            if changed:
                self._changed()
                await asyncio.sleep(TOGETHER)

    def _take_event(self, event: Event) -> bool:
        """Whether something changed that others must hear of."""
        if isinstance(event, Neighbour):
            return self._take_neighbour(event)
        if isinstance(event, Lost):
            self._lost_probe_routes.add(event)
            return True
        kind = event.get("event", "")
        if kind in ("RTM_NEWROUTE", "RTM_DELROUTE"):
            self._take_route(event, kind == "RTM_NEWROUTE")
            self._refresh.set()
            return False
        if self._take(kind, event):
            self._refresh.set()
            return True
        return False

    def _take(self, event: str, message: Any) -> bool:
        if event in ("RTM_NEWLINK", "RTM_DELLINK"):
            return self._take_link(message, event == "RTM_NEWLINK")
        if event in ("RTM_NEWADDR", "RTM_DELADDR") and message["family"] == socket.AF_INET:
            return self._take_address(message, event == "RTM_NEWADDR")
        return False

    def _take_route(self, message: Any, present: bool) -> None:
        """Remember what was lost: a way that is no more can only be named from memory."""
        if message["family"] != socket.AF_INET or message["type"] != RTN_UNICAST:
            return
        if (message.get("table") or message["table"]) != RT_TABLE_MAIN:
            return
        text, length = message.get("dst") or "0.0.0.0", message["dst_len"]
        key = socket.inet_aton(text), length
        self._lost.pop(key, None)
        index = message.get("oif")
        if present or index is None:  # a route of several ways has no one command
            return
        self._lost[key] = Route(
            f"{text}/{length}" if length else "default",
            message.get("gateway") or "",
            self.name(index),
            message.get("priority") or 0,
            message.get("prefsrc") or "",
            message["proto"] == RTPROT_KERNEL and bool(message.get("prefsrc")),
        )
        if len(self._lost) > _LOST_ROUTES:
            del self._lost[next(iter(self._lost))]

    def _take_link(self, message: Any, present: bool) -> bool:
        index = message["index"]
        before = self._links.get(index)
        if not present:
            self.layout += 1
            self._links.pop(index, None)
            self._addresses.pop(index, None)
            self._neighbours.pop(index, None)
            self._permanent.pop(index, None)
            return before is not None
        flags = message["flags"]
        self._links[index] = Link(
            index,
            message.get("ifname") or "",
            _mac(message.get("address")) or bytes(6),
            message.get("mtu") or 1500,
            bool(flags & IFF_UP),
            bool(flags & IFF_UP) and bool(flags & IFF_LOWER_UP),
            message["ifi_type"] == ARPHRD_ETHER,
        )
        changed = self._links[index] != before
        self.layout += changed
        return changed

    def _take_address(self, message: Any, present: bool) -> bool:
        text = message.get("local") or message.get("address")
        if not text:
            return False
        networks = self._addresses.setdefault(message["index"], {})
        key = (socket.inet_aton(text), message["prefixlen"])
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
        there = self._neighbours.setdefault(index, {})
        if there.get(address) == mac:
            return False
        self._moved.add(address)
        if mac is None:
            del there[address]
        else:
            there[address] = mac
        return True


def _mac(text: str | None) -> bytes | None:
    if not text or len(text) != 17:
        return None
    return bytes.fromhex(text.replace(":", ""))


def _text(address: bytes) -> str:
    return str(ipaddress.IPv4Address(address))
