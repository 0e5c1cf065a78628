"""From plan, health and network to the values a driver forwards by: pure functions.

One pool of the plan may stand in several services (VIPs, ports); its servers are the same in each.
"""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from dataplane import plan
from dataplane.forwarding import maglev, values
from dataplane.forwarding.maglev import Owners
from dataplane.forwarding.transition import Life, Phases, Slots
from dataplane.plan import index
from dataplane.plan.history import Held
from dataplane.plan.index import Members

_KEY, _SHARE = struct.Struct("!IQ"), struct.Struct("!HH")
_MAKER = b"maglev 1"
"""The name of how tables are made. Tables that are made differently need another name: a table found running is
believed by its hash."""
LONGEST_GRACE = 7200 * 60.0
"""Seconds of the longest graceful time that can be typed."""
PROTOCOLS = {"tcp": values.TCP, "udp": values.UDP}


class NextHop(NamedTuple):
    """Where packets to a server go next; None for what is not known."""

    interface: int | None = None  # index of the egress interface
    mac: bytes | None = None  # of the server (L2), or of the next hop (L3)
    source: bytes = b""  # the engine's address on that interface
    path_mtu: int = 0  # what routers reported, 0 = nothing


class PoolMember(NamedTuple):
    """A pool member's whole state: the plan's wish, its health, its next hop."""

    server: plan.Server
    address: bytes  # the server's
    up: bool  # by its health
    usable: bool  # switched on (server and pool) and up: it gets new flows
    serves: bool  # flows it has may go on
    next_hop: NextHop

    @property
    def life(self) -> Life:
        """What tells it from another member, and from an earlier life of its own."""
        return self.address, self.server.generation


def members(
    service: plan.Service,
    is_up: Callable[[bytes], bool],
    next_hop: Callable[[bytes], NextHop],
    now: float = 0,
    listed: Members | None = None,
) -> tuple[PoolMember, ...]:
    """The members of a service's pool, by address. None serves where fewer could than the pool needs. now: seconds
    since the epoch; listed: the same servers, sorted."""
    listed = listed or index.members(service)
    return joined(service, listed, map(is_up, listed.addresses), map(next_hop, listed.addresses), now)


def joined(
    service: plan.Service, listed: Members, ups: Iterable[bool], next_hops: Iterable[NextHop], now: float
) -> tuple[PoolMember, ...]:
    """`members` from what is known of each, in the order of `listed`."""
    known, enabled = zip(listed.servers, listed.addresses, ups, next_hops, strict=True), service.pool_enabled
    found = tuple(
        [
            PoolMember(server, address, True, True, True, next_hop)  # most are like that, and a start makes thousands
            if up and enabled and server.enabled
            else member(service, server, address, up, next_hop, now)
            for server, address, up, next_hop in known
        ]
    )
    if service.servers_needed and is_short(service, sum(one.usable for one in found)):
        return tuple(one._replace(usable=False, serves=False) for one in found)
    return found


def is_short(service: plan.Service, usable: int) -> bool:
    """Whether a pool is down although so many of its servers are up and enabled: it needs more of them."""
    return usable < service.servers_needed


def member(
    service: plan.Service, server: plan.Server, address: bytes, up: bool, next_hop: NextHop, now: float = 0
) -> PoolMember:
    """One of them. address: the server's; up: by its health."""
    usable = up and server.enabled and service.pool_enabled
    serves = usable or (up and service.pool_enabled and still_serves(server, now))
    return PoolMember(server, address, up, usable, serves, next_hop)


def timed(service: plan.Service, of_wall: Callable[[float, float], float]) -> plan.Service:
    """A service with its times on another clock. of_wall: translates a time; its second argument is how many seconds
    ahead the time can be at most."""
    if not service.former and all(server.serve_until <= 0 for server in service.servers):
        return service
    servers = tuple(
        replace(server, serve_until=of_wall(server.serve_until, LONGEST_GRACE)) if server.serve_until > 0 else server
        for server in service.servers
    )
    former = tuple(replace(one, until=of_wall(one.until, 0)) for one in service.former)
    return replace(service, servers=servers, former=former)


def still_serves(server: plan.Server, now: float) -> bool:
    """Whether a disabled server is within its graceful time."""
    return server.serve_until == plan.FOR_EVER or now < server.serve_until


def shares(service: plan.Service, found: Sequence[PoolMember]) -> bytes:
    """A hash of all that a pool's table depends on: while this is the same, the table is."""
    usable = (m.address + _SHARE.pack(index, m.server.weight) for index, m in enumerate(found) if m.usable)
    return blake2b(_KEY.pack(service.slots, service.seed) + b"".join(usable), digest_size=8, person=_MAKER).digest()


def table(service: plan.Service, found: Sequence[PoolMember]) -> array[int]:
    """The pool's table, shared out among the usable members by weight: indices into `found`."""
    owners = tuple((index, m.address, m.server.weight) for index, m in enumerate(found) if m.usable)
    return _table(owners, service.slots, service.seed)


def life(server: plan.Server) -> Life:
    """What tells a server from another, and from an earlier life of its own."""
    return socket.inet_aton(server.address), server.generation


def former_lives(former: plan.Former) -> list[Life]:
    """The members of an earlier time."""
    return [(socket.inet_aton(address), generation) for address, _, generation in former.servers]


def former_table(service: plan.Service, former: plan.Former, members: Sequence[Life]) -> array[int]:
    """The table of an earlier time: indices into `members`, which holds its members."""
    numbers = {life: number for number, life in enumerate(members)}
    owners = tuple(
        (numbers[life], life[0], weight)
        for life, (_, weight, _) in zip(former_lives(former), former.servers, strict=True)
    )
    return _table(owners, service.slots, service.seed)


def replay(slots: Slots, service: plan.Service, changes: Sequence[Held]) -> None:
    """Apply changes that other engines saw to the slots of a new pool."""
    everybody = sorted({(socket.inet_aton(address), life) for held in changes for address, _, life in held.servers})
    for held in changes:
        serving = {(socket.inet_aton(address), life) for address, life in held.serving}
        table = former_table(service, plan.Former(held.since, held.servers), everybody)
        slots.change(table, everybody, serving.__contains__, held.since)


def pool(
    service: plan.Service,
    found: Sequence[PoolMember],
    phases: Phases | None = None,
    owned: Owners | None = None,
    before: values.Pool | None = None,
    made_of: bytes = b"",
    name: str = "",
) -> values.Pool:
    """The pool's forwarding value. phases: of its slots where not all are stable; owned: its table if it is made, and
    made_of: its `shares`; before: its value until now, whose parts are used again where they are the same; name: the
    driver's for it, where that is not its uuid."""
    if before is None:
        targets = tuple(map(_new_target, found))
    else:
        targets = tuple(map(_target, found, _known(found, before.targets)))
    owned = table(service, found) if owned is None else owned
    if before is not None and before.table is not owned and before.table == owned:
        owned = before.table
    uuid, seed, mode = name or service.pool_uuid, service.seed, service.mode
    if phases is None:
        return values.Pool(uuid, seed, owned, targets, mode, made_of=made_of)
    return values.Pool(uuid, seed, owned, targets, mode, phases.phases, phases.fallback, made_of)


def _known(found: Sequence[PoolMember], before: Sequence[values.Target]) -> Iterable[values.Target | None]:
    """For each member what it was until now."""
    if [m.address for m in found] == [t.address for t in before]:
        return before
    known = {target.address: target for target in before}
    return (known.get(member.address) for member in found)


def _target(member: PoolMember, before: values.Target | None) -> values.Target:
    """A member as frames see it; the same object while nothing of it changes."""
    interface, mac, source, path_mtu = member.next_hop
    if (
        before is not None
        and before.up == member.up
        and before.serves == member.serves
        and before.mac == mac
        and before.interface == interface
        and before.source == source
        and before.path_mtu == path_mtu
        and before.generation == member.server.generation
    ):
        return before
    return _new_target(member)


def _new_target(member: PoolMember) -> values.Target:
    server, address, up, _, serves, (interface, mac, source, path_mtu) = member
    return values.Target(address, up, mac, interface, source, serves, server.generation, path_mtu)


@lru_cache(maxsize=16)
def _table(owners: tuple[tuple[int, bytes, int], ...], slots: int, seed: int) -> array[int]:
    """A table of member indices. Cached: most changes of a pool (a MAC address, a server that flaps) change no shares,
    or change them back."""
    return maglev.build_table_for(owners, slots, seed)


def key(service: plan.Service) -> values.ServiceKey:
    """A service's key as frames show it."""
    protocol = PROTOCOLS[service.protocol]
    return values.ServiceKey(socket.inet_aton(service.vip), protocol, service.port, service.port_end)


def service(planned: plan.Service, pool: str = "") -> values.Service:
    """A service's forwarding value. pool: the driver's name for its pool, where that is not the pool's uuid."""
    by_port = planned.hash_key == plan.BY_ADDRESS_AND_PORT
    pool = pool or planned.pool_uuid
    return values.Service(key(planned), planned.virtualservice, pool, by_port, planned.per_packet, planned.idle_timeout)


def vip(
    address: bytes, services: Iterable[plan.Service], is_up: Callable[[plan.Service], bool], *, on_segment: bool = True
) -> values.Vip:
    """A VIP's forwarding value, from all services on it. It is up while one service is up. It is withdrawn when every
    service is down or disabled, unless a down one is to be advertised all the same. on_segment: a network of the
    engine's holds the VIP; where routers are told of it, ARP for it is answered there alone."""
    enabled = [s for s in services if s.enabled]
    up = any(is_up(s) for s in enabled)
    claimed = on_segment or all(s.route is None for s in enabled)
    return values.Vip(address, up, claimed and (up or any(s.advertise_down for s in enabled)))


def route(services: Iterable[plan.Service], is_up: Callable[[plan.Service], bool]) -> plan.Route | None:
    """How routers are told of a VIP, from all services on it; None where they are not told. Where services differ, a
    router is told if one service says so, and the better route counts."""
    routes = [s.route for s in services if s.route is not None and s.enabled and (s.advertise_down or is_up(s))]
    if not routes:
        return None
    everybody = any(not one.labels for one in routes)
    return plan.Route(
        labels=() if everybody else tuple(dict.fromkeys(label for one in routes for label in one.labels)),
        communities=tuple(dict.fromkeys(community for one in routes for community in one.communities)),
        local_preference=max(
            (one.local_preference for one in routes if one.local_preference is not None), default=None
        ),
        prepend=min(one.prepend for one in routes),
    )
