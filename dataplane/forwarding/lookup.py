"""The forwarding values, ready for lookup: what the decision reads while the engine puts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from dataplane.forwarding.values import Interface, Pool, Service, ServiceKey, Vip

_NOBODY: tuple[Pool | None, Mapping[bytes, frozenset[bytes]]] = (None, {})
"""The members by MAC address of a pool that nobody asked for yet."""


class LookupTables:
    """The forwarding values, ready for lookup (implements Tables).

    One thread may put while another decides: every change is one assignment. version: another after every change.
    """

    def __init__(self) -> None:
        self.interfaces: dict[int, Interface] = {}
        self.addresses: frozenset[bytes] = frozenset()
        self.vips: dict[bytes, Vip] = {}
        self.pools: dict[str, Pool] = {}
        self.services: dict[ServiceKey, Service] = {}
        self._by_port: dict[tuple[bytes, int, int], Service] = {}
        self._ranges: dict[tuple[bytes, int], tuple[Service, ...]] = {}
        self._macs: dict[str, tuple[Pool, Mapping[bytes, Set[bytes]]]] = {}
        self.answers_until = 0
        self.version = 0

    def put_interface(self, interface: Interface) -> None:
        """Add or replace an interface."""
        self.interfaces[interface.index] = interface
        self.version += 1

    def remove_interface(self, index: int) -> None:
        """Remove an interface."""
        self.interfaces.pop(index, None)
        self.version += 1

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """Replace the engines' own addresses."""
        self.addresses = addresses
        self.version += 1

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool."""
        self.pools[pool.uuid] = pool
        self.version += 1

    def put_pools(self, pools: Iterable[Pool]) -> list[Pool]:
        """Add or replace several pools."""
        several = list(pools)
        for pool in several:
            self.put_pool(pool)
        return several

    def remove_pool(self, uuid: str, heir: str = "") -> None:
        """Remove a pool. Nothing is counted here that an heir could take over."""
        self.pools.pop(uuid, None)
        self._macs.pop(uuid, None)
        self.version += 1

    def put_service(self, service: Service) -> None:
        """Add or replace a service."""
        self.services[service.key] = service
        vip, protocol, port, port_end = service.key
        if port == port_end:
            self._by_port[vip, protocol, port] = service
        else:
            self._index_ranges(vip, protocol)
        self.version += 1

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service."""
        if self.services.pop(key, None) is None:
            return
        if key.port == key.port_end:
            del self._by_port[key.vip, key.protocol, key.port]
        else:
            self._index_ranges(key.vip, key.protocol)
        self.version += 1

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""
        self.vips[vip.address] = vip
        self.version += 1

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP."""
        self.vips.pop(address, None)
        self.version += 1

    def answer_until(self, time: int) -> None:
        """Answer ARP until a time. `version` stays: nothing that it stands for depends on this."""
        self.answers_until = time

    def service(self, vip: bytes, protocol: int, port: int) -> Service | None:
        """The service of a VIP, protocol and port."""
        found = self._by_port.get((vip, protocol, port))
        if found is None:
            for ranged in self._ranges.get((vip, protocol), ()):
                if ranged.key.port <= port <= ranged.key.port_end:
                    return ranged
        return found

    def owners(self, pool: str) -> Mapping[bytes, Set[bytes]]:
        """The addresses of a pool's members by their MAC address."""
        value, (known, found) = self.pools.get(pool), self._macs.get(pool, _NOBODY)
        if value is not known and value is not None:  # another thread may put a pool meanwhile
            macs: dict[bytes, set[bytes]] = {}
            for target in value.targets:
                if target.mac is not None:
                    macs.setdefault(target.mac, set()).add(target.address)
            self._macs[pool] = value, (found := macs)
        return found

    def _index_ranges(self, vip: bytes, protocol: int) -> None:
        self._ranges[vip, protocol] = tuple(
            s for s in self.services.values() if s.key[:2] == (vip, protocol) and s.key.port != s.key.port_end
        )
