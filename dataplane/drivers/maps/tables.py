"""The forwarding values in the maps, and read back from them.

The maps tell all that is needed to go on after a restart: which services, VIPs and pools are there, who of them was up,
which counters are whose. What was found counts as put, until `prune` drops what was not put again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from dataplane.drivers.maps import counterpieces, flowentries, layout
from dataplane.drivers.maps.counters import MapCounters
from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.drivers.maps.layout import INTERFACE_SIZE, ServiceEntry, u32
from dataplane.drivers.maps.memory import Filter, State
from dataplane.drivers.maps.pools import MapPools
from dataplane.drivers.maps.servicelookup import ServiceLookup
from dataplane.errors import DriverError
from dataplane.forwarding import handshakes
from dataplane.forwarding.decision import ANSWERED, DROPPED, Verdict
from dataplane.forwarding.driver import NOTHING_FOUND, Asked, FlowRoom, Found, HandshakeCounts, whole
from dataplane.forwarding.dropreasons import DROP_REASONS
from dataplane.forwarding.lookup import LookupTables
from dataplane.forwarding.tracking import Flow, Remembered
from dataplane.forwarding.values import Counters, Interface, Lingering, Pool, Service, ServiceKey, Vip


@dataclass(slots=True)
class _Service:
    value: Service
    counter: int  # its number
    entry: ServiceEntry | None = None  # as it stands in the maps; None before it does


@dataclass(slots=True)
class _Leftover:
    """What was found and not put again yet."""

    interfaces: set[int] = field(default_factory=set)  # by index
    services: set[ServiceKey] = field(default_factory=set)
    vips: set[bytes] = field(default_factory=set)
    pools: set[str] = field(default_factory=set)  # by name


class MapTables:
    """Tables over the maps of a loaded program. It owns the maps and closes them.

    values: the same once more, for what the program leaves to the reference decision.
    """

    def __init__(self, maps: Mapping[str, HeldMap]) -> None:
        self._maps = dict(maps)
        self._state = State(maps["bss"], maps["data"])
        self.values = LookupTables()
        self._places: dict[int, int] = {}
        self._interfaces: dict[int, Interface] = {}
        self._own: frozenset[bytes] = frozenset()
        self._vips: dict[bytes, Vip] = {}
        self._services: dict[ServiceKey, _Service] = {}
        self._of_pool: dict[str, set[ServiceKey]] = {}
        self._of_vip, self._ranged = dict[bytes, set[ServiceKey]](), dict[bytes, set[ServiceKey]]()
        self.flow_room = FlowRoom(maps["elder"].max_entries, maps["elder"].evicts_from)
        self._address_filter = Filter(self._state.addresses)
        self._counters = MapCounters(maps)
        self._leftover = _Leftover()
        self._index = ServiceLookup(self._state, maps["services"])
        self._read_interfaces()
        self._pools = MapPools(maps, self._state, self._counters, self._places, self._write_services_of)
        self._read()
        pools = {name: held.value for name, held in self._pools.held.items()}
        self.found = Found(pools, {key: one.value.pool for key, one in self._services.items()})
        """What was found, until `prune`."""

    def close(self) -> None:
        """Close the maps; what is pinned or in use stays."""
        self._pools.close()
        self._state.close()
        for one in self._maps.values():
            one.close()

    @property
    def interfaces(self) -> Mapping[int, Interface]:
        """The interfaces, by index; those found and not put again have no name."""
        return self._interfaces

    def put_interface(self, interface: Interface) -> None:
        """Add or replace an interface. Raises DriverError."""
        self._leftover.interfaces.discard(interface.index)
        place = self._places.get(interface.index)
        if place is None:
            place = self._free_place(interface.index)
            self._maps[layout.EGRESS].update(u32(place), u32(interface.index))
        self._write_interface(place, layout.interface(interface))
        self._interfaces[interface.index] = interface
        self.values.put_interface(interface)
        if interface.index not in self._places:
            self._places[interface.index] = place
            self._state.barrier()
            self._pools.resolve(interface.index)

    def remove_interface(self, index: int) -> None:
        """Remove an interface; servers behind it have no next hop any more."""
        self._leftover.interfaces.discard(index)
        place = self._places.pop(index, None)
        if place is None:
            return
        del self._interfaces[index]
        self.values.remove_interface(index)
        self._pools.resolve(index)
        self._write_interface(place, layout.FREE_INTERFACE)
        self._maps[layout.EGRESS].delete(u32(place))

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """Replace the engines' own addresses."""
        changed = self._own ^ addresses
        self._own = addresses
        self.values.put_addresses(addresses)
        for address in changed:
            self._write_address(address, self._flags(address))

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool: one word is stored. Raises DriverError."""
        self._leftover.pools.discard(pool.uuid)
        self.values.put_pool(self._pools.put(pool))

    def put_pools(self, pools: Iterable[Pool]) -> list[Pool]:
        """Add or replace several pools. Returns them as they are held. Raises DriverError."""
        several = list(pools)
        self._pools.expect(several)
        for pool in several:
            self.put_pool(pool)
        return [self._pools.held[pool.uuid].value for pool in several]

    def remove_pool(self, uuid: str, heir: str = "") -> None:
        """Remove a pool, its servers' counters with it. heir: the pool that takes over what they counted."""
        self._leftover.pools.discard(uuid)
        self._pools.remove(uuid, heir)
        self.values.remove_pool(uuid)

    def put_service(self, service: Service) -> None:
        """Add or replace a service. Raises DriverError."""
        self._leftover.services.discard(service.key)
        known = self._services.get(service.key)
        if known is None:
            known = _Service(service, self._counters.new(1)[0])
            self._services[service.key] = known
            self._of_vip.setdefault(service.key.vip, set()).add(service.key)
            if service.key.port != service.key.port_end:
                self._ranged.setdefault(service.key.vip, set()).add(service.key)
                self._write_address(service.key.vip, self._flags(service.key.vip))
        self._of_pool.get(known.value.pool, set()).discard(service.key)
        self._of_pool.setdefault(service.pool, set()).add(service.key)
        known.value = service
        self.values.put_service(service)
        self._write_services((service.key,))

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service and its counter."""
        self._leftover.services.discard(key)
        known = self._services.pop(key, None)
        self.values.remove_service(key)
        if known is None:
            return
        self._of_pool[known.value.pool].discard(key)
        self._of_vip[key.vip].discard(key)
        if key.port == key.port_end:
            self._index.remove(layout.service_key(key))
            self._maps["services"].delete(layout.service_key(key))
        else:
            self._ranged[key.vip].discard(key)
            kept = self._written_over(key)
            for prefix in layout.range_keys(key):
                found = self._maps["ranges"].lookup(prefix)
                if prefix not in kept and found is not None and ServiceEntry.unpack(found).service == key:
                    self._maps["ranges"].delete(prefix)
            self._write_address(key.vip, self._flags(key.vip))
        self._counters.give_of_service(known.counter)

    def _written_over(self, gone: ServiceKey) -> set[bytes]:
        """Give the prefixes that a range shares with others of its VIP to these, whichever was written last. Returns
        all prefixes of theirs."""
        kept = set()
        for key in self._ranged[gone.vip]:
            if key.protocol == gone.protocol and key.port <= gone.port_end and gone.port <= key.port_end:
                for prefix in layout.range_keys(key):
                    self._maps["ranges"].update(prefix, self._entry(self._services[key]).pack())
                    kept.add(prefix)
        return kept

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""
        self._leftover.vips.discard(vip.address)
        self._vips[vip.address] = vip
        self.values.put_vip(vip)
        self._write_vip(vip.address)

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP."""
        self._leftover.vips.discard(address)
        self.values.remove_vip(address)
        if self._vips.pop(address, None) is not None:
            self._write_vip(address)

    def answer_until(self, time: int) -> None:
        """Answer ARP until then: one word is stored."""
        self.values.answers_until = self._state.answers_until = time

    def prune(self) -> None:
        """Drop what was found at the start and not put again since."""
        left, self._leftover = self._leftover, _Leftover()
        for vip in left.vips:
            self.remove_vip(vip)
        for key in left.services:
            self.remove_service(key)
        for uuid in left.pools:
            self.remove_pool(uuid)
        for index in left.interfaces:
            self.remove_interface(index)
        self.found = NOTHING_FOUND  # its tables are large

    def lingering(self, pools: Collection[str], now: int) -> Lingering:
        """Driver.lingering. now: nanoseconds of the system's monotonic clock."""
        return flowentries.lingering(self._maps["elder"], self.values, pools, now)

    def remembered(self, flow: Flow) -> Remembered:
        """What is remembered of a flow."""
        elder, young = (flowentries.remembered(self._maps[name], flow, self.values) for name in ("elder", "young"))
        return Remembered(elder, young)

    def counters(self) -> Counters:
        """A snapshot: processors are read one after the other."""
        return whole(self.counters_in_pieces())

    def counters_in_pieces(self, asked: Asked | None = None) -> Iterator[Counters]:
        """Driver.counters_in_pieces."""
        return counterpieces.pieces(self._counters, self._services, self._pools, asked)

    def handshakes(self) -> HandshakeCounts:
        """Driver.handshakes, for any thread."""
        return self._counters.handshakes(
            lambda: {key: one.counter for key, one in list(self._services.items())},
            lambda: {
                (uuid, address): number
                for uuid in list(self._pools.held)
                for address, number in self._pools.counters_of(uuid).items()
            },
        )

    def unanswered_clients(self) -> dict[tuple[str, bytes], set[bytes]]:
        """Driver.unanswered_clients."""
        openings = (flowentries.read_opening(*entry) for entry in self._maps["openings"].items())
        return handshakes.unanswered_clients(openings, self.values)

    def count(self, verdict: Verdict) -> None:
        """Count what was done in the program's stead, from another thread than the one that puts."""
        with self._counters.lock:
            if verdict.action == DROPPED:
                dropped = self._services.get(verdict.service) if verdict.service is not None else None
                self._counters.add_drop(DROP_REASONS.index(verdict.reason), dropped.counter if dropped else None)
            elif verdict.action == ANSWERED:
                self._counters.add_event(layout.ANSWERED)
            elif verdict.service is not None:
                service, held = self._services.get(verdict.service), self._pools.held.get(verdict.pool)
                if service is not None:
                    self._counters.add(service.counter, verdict.size)
                number = self._pools.counters(held).get(verdict.server) if held is not None else None
                if number is not None:
                    self._counters.add(number, verdict.size)

    def _read_interfaces(self) -> None:
        for place, entry in layout.read_interfaces(bytes(self._state.interfaces)):
            self._places[entry.ifindex] = place
            self._interfaces[entry.ifindex] = Interface(entry.ifindex, "", entry.mac, entry.mtu)
            with suppress(DriverError):  # it is gone, and nothing can be sent there
                self._maps[layout.EGRESS].update(u32(place), u32(entry.ifindex))

    def _read(self) -> None:
        """Take over what stands in the maps."""
        known = []
        for address, value in self._maps["addresses"].items():
            flags = int.from_bytes(value, "little")
            if flags & layout.ADDRESS_VIP:
                up, owned = flags & layout.ADDRESS_VIP_UP, flags & layout.ADDRESS_VIP_OWNED
                self._vips[address] = Vip(address, bool(up), bool(owned))
            if flags & layout.ADDRESS_OWN:
                self._own |= {address}
            known.append(address)
        self._address_filter.start(known)
        self._read_services()
        self._fill_values()
        pools = self._pools
        self._counters.start(
            [one.counter for one in self._services.values()]
            + [number for held in pools.held.values() for number in pools.counters(held).values()]
        )
        self._leftover = _Leftover(set(self._interfaces), set(self._services), set(self._vips), set(pools.held))

    def _fill_values(self) -> None:
        for interface in self._interfaces.values():
            self.values.put_interface(interface)
        self.values.put_addresses(self._own)
        for held in self._pools.held.values():
            self.values.put_pool(held.value)
        for service in self._services.values():
            self.values.put_service(service.value)
        for vip in self._vips.values():
            self.values.put_vip(vip)
        self.values.answers_until = self._state.answers_until

    def _read_services(self) -> None:
        names = {held.number: uuid for uuid, held in self._pools.held.items()}
        for _, value in (*self._maps["services"].items(), *self._maps["ranges"].items()):
            entry = ServiceEntry.unpack(value)
            key = entry.service
            by_port = bool(entry.flags & layout.SERVICE_BY_PORT)
            per_packet = bool(entry.flags & layout.SERVICE_PER_PACKET)
            service = Service(key, "", names.get(entry.pool, ""), by_port, per_packet, entry.idle_timeout)
            self._services[key] = _Service(service, entry.counter, entry)
            self._of_pool.setdefault(service.pool, set()).add(key)
            self._of_vip.setdefault(key.vip, set()).add(key)
            if key.port != key.port_end:
                self._ranged.setdefault(key.vip, set()).add(key)

    def _free_place(self, index: int) -> int:
        taken = set(self._places.values())
        for probe in range(layout.INTERFACE_PROBES):
            place = (index + probe) % layout.MAX_INTERFACES
            if place not in taken:
                return place
        raise DriverError(f"no room for the interface of index {index}: too many with the same index modulo 1024")

    def _write_interface(self, place: int, data: bytes) -> None:
        self._state.interfaces[place * INTERFACE_SIZE : (place + 1) * INTERFACE_SIZE] = data

    def _write_services_of(self, pool: str) -> None:
        self._write_services(self._of_pool.get(pool, ()))

    def _write_services(self, keys: Iterable[ServiceKey]) -> None:
        for key in list(keys):
            known = self._services[key]
            entry = self._entry(known)
            if entry == known.entry:
                continue
            data = entry.pack()
            if key.port == key.port_end:
                self._maps["services"].update(entry.key, data)
                self._index.put(entry.key, data)
            else:
                for prefix in layout.range_keys(key):
                    self._maps["ranges"].update(prefix, data)
            known.entry = entry

    def _entry(self, known: _Service) -> ServiceEntry:
        service, key = known.value, known.value.key
        held, vip = self._pools.held.get(service.pool), self._vips.get(key.vip)
        flags = layout.SERVICE_BY_PORT if service.by_port else 0
        if service.per_packet:
            flags |= layout.SERVICE_PER_PACKET
        if vip is not None:
            flags |= layout.SERVICE_VIP | (layout.SERVICE_VIP_UP if vip.up else 0)
        number, slots, seed = layout.NO_POOL, 0, 0
        if held is not None:
            number, slots, seed = held.number, held.value.slots, held.value.seed
        return ServiceEntry(
            layout.service_key(key), number, slots, seed, known.counter, key.port_end, flags, service.idle_timeout
        )

    def _write_vip(self, address: bytes) -> None:
        self._write_services(self._of_vip.get(address, ()))
        self._write_address(address, self._flags(address))

    def _flags(self, address: bytes) -> int:
        vip = self._vips.get(address)
        flags = layout.ADDRESS_OWN if address in self._own else 0
        if vip is None:
            return flags
        flags |= layout.ADDRESS_VIP
        if vip.up:
            flags |= layout.ADDRESS_VIP_UP
        if vip.owned:
            flags |= layout.ADDRESS_VIP_OWNED
        if self._ranged.get(address):
            flags |= layout.ADDRESS_VIP_RANGES
        return flags

    def _write_address(self, address: bytes, flags: int) -> None:
        """The filter never denies an address that is in the map: it gets the address first, and loses it last."""
        there = self._maps["addresses"].lookup(address) is not None
        if flags:
            if not there:
                self._address_filter.add(address)
            self._maps["addresses"].update(address, u32(flags))
        elif there:
            self._maps["addresses"].delete(address)
            self._address_filter.remove([address])
