"""From plan, health and network to the values a driver forwards by: pure functions.

One pool of the plan may stand in several services (VIPs, ports); its servers are the same in each.
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from . import forwarding, hashing, plan

PROTOCOLS = {"tcp": forwarding.TCP, "udp": forwarding.UDP}

Hop = tuple[int | None, bytes | None]
"""Egress interface index and MAC address of a server; None for what is not known."""


@dataclass(frozen=True, slots=True)
class Member:
    """A pool member's whole state: the plan's wish, its health, its next hop."""

    server: plan.Server
    address: bytes
    up: bool
    usable: bool
    hop: Hop


def members(service: plan.Service, is_up: Callable[[bytes], bool], hop: Callable[[bytes], Hop]) -> tuple[Member, ...]:
    """The members of a service's pool, by address. usable: switched on (server and pool) and up: it gets new flows."""
    found = []
    for server in sorted(service.servers, key=lambda s: socket.inet_aton(s.address)):
        address = socket.inet_aton(server.address)
        up = is_up(address)
        usable = up and server.enabled and service.pool_enabled
        found.append(Member(server, address, up, usable, hop(address)))
    return tuple(found)


def pool(service: plan.Service, found: Sequence[Member]) -> forwarding.Pool:
    """The pool's forwarding value: the table is shared out among the usable members by weight."""
    targets = tuple(forwarding.Target(m.address, m.up, m.hop[1], m.hop[0]) for m in found)
    owners = tuple((index, m.address, m.server.weight) for index, m in enumerate(found) if m.usable)
    return forwarding.Pool(service.pool_uuid, service.seed, _table(owners, service.slots, service.seed), targets)


@lru_cache(maxsize=512)
def _table(owners: tuple[tuple[int, bytes, int], ...], slots: int, seed: int) -> array[int]:
    """A table of member indices. Kept: most changes of a pool (a MAC address, a server that flaps) change no shares,
    or change them back."""
    table = hashing.build_table([(address, weight) for _, address, weight in owners], slots, seed)
    indices = [index for index, _, _ in owners]
    if indices == list(range(len(indices))):
        return table
    return array("H", [owner if owner == hashing.NO_SERVER else indices[owner] for owner in table])


def key(service: plan.Service) -> forwarding.ServiceKey:
    """A service's key as frames show it."""
    protocol = PROTOCOLS[service.protocol]
    return forwarding.ServiceKey(socket.inet_aton(service.vip), protocol, service.port, service.port_end)


def service(planned: plan.Service) -> forwarding.Service:
    """A service's forwarding value."""
    by_port = planned.hash_key == plan.BY_ADDRESS_AND_PORT
    return forwarding.Service(key(planned), planned.virtualservice, planned.pool_uuid, by_port, planned.per_packet)


def vip(address: bytes, services: Iterable[plan.Service], is_up: Callable[[plan.Service], bool]) -> forwarding.Vip:
    """A VIP's forwarding value, of all services on it: up with one service up; withdrawn when every one is down or
    disabled, unless a down one is to be advertised all the same."""
    enabled = [s for s in services if s.enabled]
    up = any(is_up(s) for s in enabled)
    return forwarding.Vip(address, up, up or any(s.advertise_down for s in enabled))
