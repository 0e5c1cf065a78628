"""The services that an engine forwards, found by what a change names: key, pool, VIP, server.

A change costs time by its own size, however many services there are.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, TypeVar

from dataplane import plan

_NO_SERVICES: Mapping[str, plan.Service] = {}
K = TypeVar("K")


class Members(NamedTuple):
    """A pool's servers."""

    servers: tuple[plan.Server, ...]  # by address
    addresses: tuple[bytes, ...]  # theirs, 4 bytes each


NOBODY = Members((), ())


def members(service: plan.Service) -> Members:
    """A service's servers in the order that tables count them in."""
    addresses = [socket.inet_aton(server.address) for server in service.servers]
    order = sorted(range(len(addresses)), key=addresses.__getitem__)
    return Members(tuple(map(service.servers.__getitem__, order)), tuple(map(addresses.__getitem__, order)))


class ServiceIndex:
    """Services by key, and by pool and by VIP in the order in which they came."""

    def __init__(self) -> None:
        self.services: dict[str, plan.Service] = {}
        self._pools: dict[str, dict[str, plan.Service]] = {}
        self._vips: dict[bytes, dict[str, plan.Service]] = {}
        self._members: dict[str, Members] = {}
        self._behind: dict[bytes, tuple[str, ...]] = {}

    def replace(self, key: str, service: plan.Service | None) -> None:
        """Put a service, or take it away."""
        before = self.services.get(key)
        if service is not None:
            self.services[key] = service
            self._pools.setdefault(service.pool_uuid, {})[key] = service
            self._vips.setdefault(socket.inet_aton(service.vip), {})[key] = service
            if before is None or (before.pool_uuid, before.servers) != (service.pool_uuid, service.servers):
                self._enter(service.pool_uuid, members(service))
        else:
            self.services.pop(key, None)
        if before is not None and (service is None or before.vip != service.vip):
            _discard(self._vips, socket.inet_aton(before.vip), key)
        if before is not None and (service is None or before.pool_uuid != service.pool_uuid):
            _discard(self._pools, before.pool_uuid, key)
            if before.pool_uuid not in self._pools:
                self._enter(before.pool_uuid, NOBODY)
                del self._members[before.pool_uuid]

    @property
    def pools(self) -> Collection[str]:
        """The pools' uuids."""
        return self._pools.keys()

    @property
    def vips(self) -> Collection[bytes]:
        """The VIPs."""
        return self._vips.keys()

    @property
    def size(self) -> int:
        """How many servers there are; one of several pools counts once for each."""
        return sum(len(members.addresses) for members in self._members.values())

    def of_pool(self, uuid: str) -> Collection[plan.Service]:
        """The services of a pool; none of an unknown one."""
        return self._pools.get(uuid, _NO_SERVICES).values()

    def of_vip(self, address: bytes) -> Collection[plan.Service]:
        """The services of a VIP; none of an unknown one."""
        return self._vips.get(address, _NO_SERVICES).values()

    def members(self, uuid: str) -> Members:
        """A pool's servers; none of an unknown one."""
        return self._members.get(uuid, NOBODY)

    def behind(self, server: bytes) -> Iterable[str]:
        """The pools that a server is a member of."""
        return self._behind.get(server, ())

    def tunnelled(self) -> set[bytes]:
        """The servers that packets reach in tunnels."""
        far = (service for service in self.services.values() if service.mode != plan.L2)
        return {socket.inet_aton(server.address) for service in far for server in service.servers}

    def reaches(self, server: bytes, mode: str) -> bool:
        """Whether a server is a member of a pool that is reached in this mode."""
        return any(service.mode == mode for pool in self.behind(server) for service in self.of_pool(pool))

    def _enter(self, uuid: str, now: Members) -> None:
        before = self._members.get(uuid, NOBODY)
        self._members[uuid] = now
        here, there = set(now.addresses), set(before.addresses)
        for address in there - here:
            left = tuple(pool for pool in self._behind[address] if pool != uuid)
            if left:
                self._behind[address] = left
            else:
                del self._behind[address]
        come = here - there
        new = come.difference(self._behind)
        self._behind.update(dict.fromkeys(new, (uuid,)))
        for address in come - new:
            self._behind[address] = (*self._behind[address], uuid)


def _discard(index: dict[K, dict[str, plan.Service]], name: K, key: str) -> None:
    of_name = index[name]
    del of_name[key]
    if not of_name:
        del index[name]
