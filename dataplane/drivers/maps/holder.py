"""What drivers of the compiled decision have in common: what goes into the maps and nowhere else, and what is read
there."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

from dataplane.drivers.maps.tables import MapTables
from dataplane.forwarding.driver import FlowRoom, Found, HandshakeCounts
from dataplane.forwarding.values import Lingering, Pool, Service, ServiceKey


class MapHolder:
    """A part of `forwarding.driver.Driver`: puts values into its tables, and reads them."""

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

    def adopted(self) -> Found:
        """What a former run left in the maps."""
        return self._tables.found

    @property
    def flow_room(self) -> FlowRoom:
        """How many flows `elder` has room for."""
        return self._tables.flow_room

    def lingering(self, pools: Collection[str]) -> Lingering:
        """The flows that live in `elder`."""
        return self._tables.lingering(pools, time.monotonic_ns())

    def handshakes(self) -> HandshakeCounts:
        """A snapshot."""
        return self._tables.handshakes()

    def unanswered_clients(self) -> Mapping[tuple[str, bytes], set[bytes]]:
        """Of the flows that the map remembers."""
        return self._tables.unanswered_clients()
