"""The forwarding values in the XDP program's maps, and read back from them.

The maps tell all that is needed to go on after a restart: which services, VIPs and pools are there, who of them was up,
which counters are whose. What was found counts as put, until `prune` drops what was not put again.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from . import bpf, xdplayout
from .bpf import Map
from .errors import DriverError
from .forwarding import DROP_REASONS, Counters, Interface, Pool, Service, ServiceKey, Tally, Vip
from .xdpindex import ServiceIndex
from .xdplayout import INTERFACE_SIZE, TARGET_SIZE, ServiceEntry, u32
from .xdpstate import Filter, State

NAMES = (
    "egress",
    "addresses",
    "services",
    "ranges",
    "pools",
    "members",
    "counters",
    "events",
    "bss",
)
"""The program's maps; `bss` is its memory."""

_POOLS_AT_ONCE = 256


@dataclass(slots=True)
class _Pool:
    place: int
    value: Pool
    targets: bytes
    first: int
    counters: dict[bytes, int]


@dataclass(slots=True)
class _Service:
    value: Service
    counter: int
    entry: ServiceEntry | None = None


@dataclass(slots=True)
class _Leftover:
    """What was found and not put again yet."""

    interfaces: set[int] = field(default_factory=set)
    services: set[ServiceKey] = field(default_factory=set)
    vips: set[bytes] = field(default_factory=set)
    pools: set[str] = field(default_factory=set)


class Numbers:
    """Numbers from 0 on, given out and taken back."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit, self._what = limit, what
        self._free: list[int] = []
        self.end = 0

    def start(self, used: Iterable[int]) -> None:
        """Go on where these are given out."""
        taken = set(used)
        self.end = max(taken, default=-1) + 1
        self._free = [n for n in range(self.end) if n not in taken]

    def take(self) -> int:
        """A number that is free. Raises DriverError when there is none."""
        if self._free:
            return self._free.pop()
        if self.end == self._limit:
            raise DriverError(f"the XDP program holds no more than {self._limit} {self._what}")
        self.end += 1
        return self.end - 1

    def give(self, number: int) -> None:
        """Take a number back."""
        self._free.append(number)


class Runs:
    """Places side by side, given out and taken back."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit, self._what = limit, what
        self._free = [(0, limit)]

    def start(self, used: Iterable[tuple[int, int]]) -> None:
        """Go on where these (first, number) are given out."""
        at = 0
        self._free = []
        for first, number in sorted(used):
            if first > at:
                self._free.append((at, first - at))
            at = max(at, first + number)
        if at < self._limit:
            self._free.append((at, self._limit - at))

    def take(self, number: int) -> int:
        """The first of so many places. Raises DriverError when there are none."""
        if not number:
            return 0
        for i, (first, free) in enumerate(self._free):
            if free >= number:
                self._free[i : i + 1] = [(first + number, free - number)] if free > number else []
                return first
        raise DriverError(f"the XDP program holds no more than {self._limit} {self._what}")

    def give(self, first: int, number: int) -> None:
        """Take places back."""
        if not number:
            return
        at = bisect(self._free, (first, 0))
        if at < len(self._free) and self._free[at][0] == first + number:
            number += self._free.pop(at)[1]
        if at and sum(self._free[at - 1]) == first:
            before, length = self._free.pop(at - 1)
            first, number, at = before, length + number, at - 1
        self._free.insert(at, (first, number))


class KernelTables:
    """forwarding.Tables over the maps of a loaded program. It owns the maps and closes them."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._maps = dict(maps)
        self._state = State(maps["bss"])
        self._places: dict[int, int] = {}
        self._interfaces: dict[int, Interface] = {}
        self._own: frozenset[bytes] = frozenset()
        self._vips: dict[bytes, Vip] = {}
        self._services: dict[ServiceKey, _Service] = {}
        self._pools: dict[str, _Pool] = {}
        self._ranged: dict[bytes, set[ServiceKey]] = {}
        self._address_filter, self._member_filter = Filter(self._state.addresses), Filter(self._state.members)
        self._counter_numbers = Numbers(maps["counters"].max_entries, "services and servers together")
        self._pool_numbers = Numbers(maps["pools"].max_entries, "pools")
        self._target_places = Runs(xdplayout.MAX_TARGETS, "servers")
        self._new_pools: list[tuple[int, Map]] = []
        self._leftover = _Leftover()
        self._index = ServiceIndex(self._state, maps["services"])
        self._read()
        self.found: Mapping[str, Mapping[bytes, bool]] = {
            uuid: {t.address: t.up for t in pool.value.targets} for uuid, pool in self._pools.items()
        }

    def close(self) -> None:
        """Close the maps; the kernel keeps what is pinned or in use."""
        self._flush_pools()
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
            self._maps["egress"].update(u32(place), u32(interface.index))
        self._write_interface(place, xdplayout.interface(interface))
        self._interfaces[interface.index] = interface
        if interface.index not in self._places:
            self._places[interface.index] = place
            self._resolve(interface.index)

    def remove_interface(self, index: int) -> None:
        """Remove an interface; servers behind it have no next hop any more."""
        self._leftover.interfaces.discard(index)
        place = self._places.pop(index, None)
        if place is None:
            return
        del self._interfaces[index]
        self._resolve(index)
        self._write_interface(place, xdplayout.FREE_INTERFACE)
        self._maps["egress"].delete(u32(place))

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """Replace the engines' own addresses."""
        changed = self._own ^ addresses
        self._own = addresses
        for address in changed:
            self._write_address(address, self._flags(address))

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool: one pointer is swapped. Raises DriverError."""
        self._leftover.pools.discard(pool.uuid)
        if len(pool.uuid.encode()) > xdplayout.NAME_LENGTH:
            raise DriverError(f"a pool's uuid has at most {xdplayout.NAME_LENGTH} bytes: {pool.uuid!r}")
        if pool.slots > xdplayout.MAX_SLOTS:
            raise DriverError(f"a pool's table has at most {xdplayout.MAX_SLOTS} slots under XDP: {pool.slots}")
        before = self._pools.get(pool.uuid)
        counters = self._counters_of(pool, before)
        targets = xdplayout.pool_targets(pool, counters, self._places)
        if before is None or before.targets != targets or before.value != pool:
            self._replace_pool(before, pool, targets, counters)

    def _replace_pool(self, before: _Pool | None, pool: Pool, targets: bytes, counters: dict[bytes, int]) -> None:
        """Targets and members first, then the table, then the services; what is no longer used goes last."""
        moved = before is not None and (before.value.slots, before.value.seed) != (pool.slots, pool.seed)
        first = self._target_places.take(len(pool.targets))
        place = self._pool_numbers.take() if before is None or moved else before.place
        new = _Pool(place, pool, targets, first, counters)
        old_members = _members(before.place, before.value) if before else set()
        new_members = _members(place, pool)
        self._state.targets[first * TARGET_SIZE : first * TARGET_SIZE + len(targets)] = targets
        self._add_members(new_members - old_members)
        self._write_pool(new, seen=before is not None and not moved)
        self._pools[pool.uuid] = new
        if before is None or moved:
            self._write_services(key for key, one in self._services.items() if one.value.pool == pool.uuid)
        self._remove_members(old_members - new_members)
        if before is not None:
            if moved:
                self._free_pool(before.place)
            self._target_places.give(before.first, len(before.value.targets))
            for address in before.counters.keys() - counters.keys():
                self._counter_numbers.give(before.counters[address])

    def remove_pool(self, uuid: str) -> None:
        """Remove a pool, its servers' counters with it."""
        self._leftover.pools.discard(uuid)
        pool = self._pools.pop(uuid, None)
        if pool is None:
            return
        self._write_services(key for key, one in self._services.items() if one.value.pool == uuid)
        self._remove_members(_members(pool.place, pool.value))
        self._free_pool(pool.place)
        self._target_places.give(pool.first, len(pool.value.targets))
        for counter in pool.counters.values():
            self._counter_numbers.give(counter)

    def put_service(self, service: Service) -> None:
        """Add or replace a service. Raises DriverError."""
        self._leftover.services.discard(service.key)
        known = self._services.get(service.key)
        if known is None:
            known = _Service(service, self._new_counters(1)[0])
            self._services[service.key] = known
            if service.key.port != service.key.port_end:
                self._ranged.setdefault(service.key.vip, set()).add(service.key)
                self._write_address(service.key.vip, self._flags(service.key.vip))
        known.value = service
        self._write_services((service.key,))

    def remove_service(self, key: ServiceKey) -> None:
        """Remove a service and its counter."""
        self._leftover.services.discard(key)
        known = self._services.pop(key, None)
        if known is None:
            return
        if key.port == key.port_end:
            self._index.remove(xdplayout.service_key(key))
            self._maps["services"].delete(xdplayout.service_key(key))
        else:
            for prefix in xdplayout.range_keys(key):
                found = self._maps["ranges"].lookup(prefix)
                if found is not None and ServiceEntry.unpack(found).service == key:  # else a later range took it over
                    self._maps["ranges"].delete(prefix)
            self._ranged[key.vip].discard(key)
            self._write_address(key.vip, self._flags(key.vip))
        self._counter_numbers.give(known.counter)

    def put_vip(self, vip: Vip) -> None:
        """Add or replace a VIP."""
        self._leftover.vips.discard(vip.address)
        self._vips[vip.address] = vip
        self._write_vip(vip.address)

    def remove_vip(self, address: bytes) -> None:
        """Remove a VIP."""
        self._leftover.vips.discard(address)
        if self._vips.pop(address, None) is not None:
            self._write_vip(address)

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
        self._flush_pools()

    def counters(self) -> Counters:
        """A snapshot: processors are read one after the other."""
        cpus = bpf.possible_cpus()
        data = memoryview(self._maps["counters"].read(self._counter_numbers.end)).cast("Q")
        events = memoryview(self._maps["events"].read(xdplayout.ANSWERED + 1)).cast("Q")

        def tally(number: int) -> Tally:
            of_all = data[number * 2 * cpus : (number + 1) * 2 * cpus]
            return Tally(sum(of_all[::2]), sum(of_all[1::2]))

        def event(number: int) -> int:
            return sum(events[number * cpus : (number + 1) * cpus])

        return Counters(
            answered=event(xdplayout.ANSWERED),
            dropped={reason: event(number) for number, reason in enumerate(DROP_REASONS)},
            services={key: tally(one.counter) for key, one in self._services.items()},
            servers={
                (uuid, address): tally(number)
                for uuid, pool in self._pools.items()
                for address, number in pool.counters.items()
            },
        )

    def _read(self) -> None:
        """Take over what stands in the maps."""
        maps = self._maps
        for place, entry in xdplayout.read_interfaces(bytes(self._state.interfaces)):
            self._places[entry.ifindex] = place
            self._interfaces[entry.ifindex] = Interface(entry.ifindex, "", entry.mac, entry.mtu)
        known = []
        for address, value in maps["addresses"].items():
            flags = int.from_bytes(value, "little")
            if flags & xdplayout.ADDRESS_VIP:
                up, owned = flags & xdplayout.ADDRESS_VIP_UP, flags & xdplayout.ADDRESS_VIP_OWNED
                self._vips[address] = Vip(address, bool(up), bool(owned))
            if flags & xdplayout.ADDRESS_OWN:
                self._own |= {address}
            known.append(address)
        self._address_filter.start(known)
        self._read_pools()
        self._read_services()
        self._member_filter.start(xdplayout.member_mac(key) for key, _ in maps["members"].items())
        self._counter_numbers.start(
            [one.counter for one in self._services.values()]
            + [number for pool in self._pools.values() for number in pool.counters.values()]
        )
        self._leftover = _Leftover(set(self._interfaces), set(self._services), set(self._vips), set(self._pools))

    def _read_pools(self) -> None:
        indices = {place: index for index, place in self._places.items()}
        for key, number in self._maps["pools"].items():
            with Map.by_id(int.from_bytes(number, "little")) as inner:
                data = inner.lookup(u32(0)) or b""
            head = xdplayout.read_head(data)
            targets = bytes(self._state.targets[head.first * TARGET_SIZE : (head.first + head.targets) * TARGET_SIZE])
            pool, counters = xdplayout.read_pool(data, targets, indices)
            place = int.from_bytes(key, "little")
            self._pools[pool.uuid] = _Pool(place, pool, targets, head.first, counters)
        self._pool_numbers.start(pool.place for pool in self._pools.values())
        self._target_places.start((pool.first, len(pool.value.targets)) for pool in self._pools.values())

    def _read_services(self) -> None:
        names = {pool.place: uuid for uuid, pool in self._pools.items()}
        for _, value in (*self._maps["services"].items(), *self._maps["ranges"].items()):
            entry = ServiceEntry.unpack(value)
            key = entry.service
            by_port = bool(entry.flags & xdplayout.SERVICE_BY_PORT)
            per_packet = bool(entry.flags & xdplayout.SERVICE_PER_PACKET)
            service = Service(key, "", names.get(entry.pool, ""), by_port, per_packet)
            self._services[key] = _Service(service, entry.counter, entry)
            if key.port != key.port_end:
                self._ranged.setdefault(key.vip, set()).add(key)

    def _free_place(self, index: int) -> int:
        taken = set(self._places.values())
        for probe in range(xdplayout.INTERFACE_PROBES):
            place = (index + probe) % xdplayout.MAX_INTERFACES
            if place not in taken:
                return place
        raise DriverError(f"no room for the interface of index {index}: too many with the same index modulo 1024")

    def _write_interface(self, place: int, data: bytes) -> None:
        self._state.interfaces[place * INTERFACE_SIZE : (place + 1) * INTERFACE_SIZE] = data

    def _resolve(self, index: int) -> None:
        """An interface came or went: so do the next hops behind it."""
        for pool in list(self._pools.values()):
            if any(target.interface == index for target in pool.value.targets):
                targets = xdplayout.pool_targets(pool.value, pool.counters, self._places)
                if targets != pool.targets:
                    self._replace_pool(pool, pool.value, targets, pool.counters)

    def _counters_of(self, pool: Pool, before: _Pool | None) -> dict[bytes, int]:
        known = before.counters if before else {}
        new = [target.address for target in pool.targets if target.address not in known]
        fresh = dict(zip(new, self._new_counters(len(new)), strict=True))
        return {t.address: known[t.address] if t.address in known else fresh[t.address] for t in pool.targets}

    def _new_counters(self, wanted: int) -> list[int]:
        numbers = [self._counter_numbers.take() for _ in range(wanted)]
        zeros = bytes(16 * bpf.possible_cpus() * wanted)
        self._maps["counters"].update_all(b"".join(map(u32, numbers)), zeros)
        return numbers

    def _write_pool(self, pool: _Pool, *, seen: bool) -> None:
        """Put a pool in its place. seen: services use it; else it can wait and be put with others, since the kernel
        takes milliseconds for each call."""
        inner = Map.create(bpf.MAP_TYPE_ARRAY, "avi_pool", 4, xdplayout.POOL_SIZE, 1)
        inner.update(u32(0), xdplayout.pool(pool.value, pool.first))
        self._new_pools.append((pool.place, inner))
        if seen or len(self._new_pools) == _POOLS_AT_ONCE:
            self._flush_pools()

    def _flush_pools(self) -> None:
        if not self._new_pools:
            return
        new, self._new_pools = self._new_pools, []
        try:
            keys, values = b"".join(u32(place) for place, _ in new), b"".join(u32(inner.fd) for _, inner in new)
            self._maps["pools"].update_all(keys, values)
        finally:
            for _, inner in new:
                inner.close()

    def _free_pool(self, place: int) -> None:
        self._flush_pools()
        self._maps["pools"].delete(u32(place))
        self._pool_numbers.give(place)

    def _write_services(self, keys: Iterable[ServiceKey]) -> None:
        for key in list(keys):
            known = self._services[key]
            entry = self._entry(known)
            if entry == known.entry:
                continue
            self._flush_pools()
            data = entry.pack()
            if key.port == key.port_end:
                self._maps["services"].update(entry.key, data)
                self._index.put(entry.key, data)
            else:
                for prefix in xdplayout.range_keys(key):
                    self._maps["ranges"].update(prefix, data)
            known.entry = entry

    def _entry(self, known: _Service) -> ServiceEntry:
        service, key = known.value, known.value.key
        pool, vip = self._pools.get(service.pool), self._vips.get(key.vip)
        flags = xdplayout.SERVICE_BY_PORT if service.by_port else 0
        if service.per_packet:
            flags |= xdplayout.SERVICE_PER_PACKET
        if vip is not None:
            flags |= xdplayout.SERVICE_VIP | (xdplayout.SERVICE_VIP_UP if vip.up else 0)
        place, slots, seed = xdplayout.NO_POOL, 0, 0
        if pool is not None:
            place, slots, seed = pool.place, pool.value.slots, pool.value.seed
        return ServiceEntry(xdplayout.service_key(key), place, slots, seed, known.counter, key.port_end, flags)

    def _write_vip(self, address: bytes) -> None:
        self._write_services(key for key in self._services if key.vip == address)
        self._write_address(address, self._flags(address))

    def _flags(self, address: bytes) -> int:
        vip = self._vips.get(address)
        flags = xdplayout.ADDRESS_OWN if address in self._own else 0
        if vip is None:
            return flags
        flags |= xdplayout.ADDRESS_VIP
        if vip.up:
            flags |= xdplayout.ADDRESS_VIP_UP
        if vip.owned:
            flags |= xdplayout.ADDRESS_VIP_OWNED
        if self._ranged.get(address):
            flags |= xdplayout.ADDRESS_VIP_RANGES
        return flags

    def _write_address(self, address: bytes, flags: int) -> None:
        """The filter never says no of what is there: first in, last out."""
        there = self._maps["addresses"].lookup(address) is not None
        if flags:
            if not there:
                self._address_filter.add([address])
            self._maps["addresses"].update(address, u32(flags))
        elif there:
            self._maps["addresses"].delete(address)
            self._address_filter.remove([address])

    def _add_members(self, keys: set[bytes]) -> None:
        self._member_filter.add(map(xdplayout.member_mac, keys))
        self._maps["members"].update_all(b"".join(keys), u32(1) * len(keys))

    def _remove_members(self, keys: set[bytes]) -> None:
        for key in keys:
            self._maps["members"].delete(key)
        self._member_filter.remove(map(xdplayout.member_mac, keys))


def _members(place: int, pool: Pool) -> set[bytes]:
    known = [(target.mac, target.address) for target in pool.targets if target.mac is not None]
    return {xdplayout.member(place, mac, address) for mac, address in known} | {
        xdplayout.member(place, mac) for mac, _ in known
    }
