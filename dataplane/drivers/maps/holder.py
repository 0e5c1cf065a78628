"""What drivers of the compiled decision have in common: values that go into the maps, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable

from dataplane.drivers.maps.tables import MapTables
from dataplane.forwarding.values import Pool, Service, ServiceKey


class MapHolder:
    """A part of `forwarding.driver.Driver`: puts values into its tables."""

    _tables: MapTables

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """The engines' own addresses."""
        self._tables.put_addresses(addresses)

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool, at once for every frame. Raises DriverError."""
        self._tables.put_pool(pool)

    def put_pools(self, pools: Iterable[Pool]) -> list[Pool]:
        """Add or replace several pools; tables of stable slots are kept in the maps alone. Raises DriverError."""
        return self._tables.put_pools(pools)

    def remove_pool(self, uuid: str, heir: str = "") -> None:
        """Remove a pool and its servers' counters."""
        self._tables.remove_pool(uuid, heir)

    def put_service(self, service: Service) -> None:
        """Add or replace a service. Raises DriverError."""
        self._tables.put_service(service)

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service and its counters."""
        self._tables.remove_service(key)

    def answer_until(self, time: int) -> None:
        """Answer ARP for owned VIPs until then."""
        self._tables.answer_until(time)
