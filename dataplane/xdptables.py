"""The forwarding values in the XDP program's maps, and read back from them.

The maps tell all that is needed to go on after a restart: which services, VIPs and pools are there, who of them was up,
which counters are whose. What was found counts as put, until `prune` drops what was not put again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from . import bpf, xdpflows, xdplayout, xdppool
from .bpf import Map
from .decision import ANSWERED, DROPPED, Values, Verdict
from .errors import DriverError
from .forwarding import DROP_REASONS, Counters, Interface, Lingering, Pool, Service, ServiceKey, Vip
from .plan import L2
from .xdpcounting import Counting
from .xdpindex import ServiceIndex
from .xdplayout import DETAIL_SIZE, INTERFACE_SIZE, TARGET_SIZE, ServiceEntry, u32
from .xdpplaces import Numbers, Runs
from .xdpstate import Filter, State

NAMES = (
    "egress",
    "addresses",
    "services",
    "ranges",
    "pools",
    "details",
    "lives",
    "members",
    "counters",
    "events",
    "elder",
    "young",
    "fragments",
    "identifications",
    "slow_counters",
    "slow_events",
    "bss",
)
"""The maps that outlive the program; `bss` is its memory."""

_POOLS_AT_ONCE = 256


@dataclass(slots=True)
class _Pool:
    place: int
    value: Pool
    targets: bytes
    first: int
    counters: dict[bytes, int]
    formers: int = xdplayout.NO_POOL

    def lives(self) -> dict[bytes, int]:
        """The entries of `lives` that are this pool's: places of its targets."""
        uuid = self.value.uuid
        return {
            xdppool.life(uuid, target.address, target.generation): self.first + index
            for index, target in enumerate(self.value.targets)
        }


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


class KernelTables:
    """forwarding.Tables over the maps of a loaded program. It owns the maps and closes them.

    values: the same once more, for what the program leaves to the reference decision.
    """

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._maps = dict(maps)
        self._state = State(maps["bss"])
        self.values = Values()
        self._places: dict[int, int] = {}
        self._interfaces: dict[int, Interface] = {}
        self._own: frozenset[bytes] = frozenset()
        self._vips: dict[bytes, Vip] = {}
        self._services: dict[ServiceKey, _Service] = {}
        self._pools: dict[str, _Pool] = {}
        self._ranged: dict[bytes, set[ServiceKey]] = {}
        self._address_filter, self._member_filter = Filter(self._state.addresses), Filter(self._state.members)
        self._counting = Counting(maps)
        self._pool_numbers = Numbers(maps["pools"].max_entries, "pools")
        self._target_places = Runs(xdplayout.MAX_TARGETS, "servers")
        self._new_pools: list[tuple[int, Map]] = []
        self._leftover = _Leftover()
        self._index = ServiceIndex(self._state, maps["services"])
        self._read()
        self.found: Mapping[str, Pool] = {uuid: pool.value for uuid, pool in self._pools.items()}
        """The pools that were found, by uuid."""

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
        self.values.put_interface(interface)
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
        self.values.remove_interface(index)
        self._resolve(index)
        self._write_interface(place, xdplayout.FREE_INTERFACE)
        self._maps["egress"].delete(u32(place))

    def put_addresses(self, addresses: frozenset[bytes]) -> None:
        """Replace the engines' own addresses."""
        changed = self._own ^ addresses
        self._own = addresses
        self.values.put_addresses(addresses)
        for address in changed:
            self._write_address(address, self._flags(address))

    def put_pool(self, pool: Pool) -> None:
        """Add or replace a pool: one pointer is swapped. Raises DriverError."""
        self._leftover.pools.discard(pool.uuid)
        if len(pool.uuid.encode()) > xdplayout.NAME_LENGTH:
            raise DriverError(f"a pool's uuid has at most {xdplayout.NAME_LENGTH} bytes: {pool.uuid!r}")
        if pool.slots > xdplayout.MAX_SLOTS:
            raise DriverError(f"a pool's table has at most {xdplayout.MAX_SLOTS} slots under XDP: {pool.slots}")
        if len(pool.targets) > xdplayout.MAX_TARGETS:
            raise DriverError(f"a pool has at most {xdplayout.MAX_TARGETS} servers under XDP: {len(pool.targets)}")
        before = self._pools.get(pool.uuid)
        counters = self._counters_of(pool, before)
        targets = xdppool.targets(pool, counters, self._places)
        if before is None or before.targets != targets or before.value != pool:
            self._replace_pool(before, pool, targets, counters)
            self.values.put_pool(pool)

    def _replace_pool(self, before: _Pool | None, pool: Pool, targets: bytes, counters: dict[bytes, int]) -> None:
        """Targets and members first, then the table, then the services; what is no longer used goes last.

        Entries of `lives` lead to the new targets before the table does: both runs of targets stand until the kernel
        has swapped the table, and then no packet that saw the old ones is on its way.
        """
        moved = before is not None and (before.value.slots, before.value.seed) != (pool.slots, pool.seed)
        first = self._target_places.take(len(pool.targets))
        place = self._pool_numbers.take() if before is None or moved else before.place
        formers = self._pool_numbers.take() if pool.phases else xdplayout.NO_POOL
        new = _Pool(place, pool, targets, first, counters, formers)
        old_members = _members(before.place, before.value) if before else set()
        new_members = _members(place, pool)
        old_lives, new_lives = before.lives() if before else {}, new.lives()
        self._state.targets[first * TARGET_SIZE : first * TARGET_SIZE + len(targets)] = targets
        self._maps["details"].write(xdppool.details(pool), first)
        self._add_members(new_members - old_members)
        self._maps["lives"].update_all(b"".join(new_lives), b"".join(map(u32, new_lives.values())))
        self._write_pool(new, seen=before is not None and not moved)
        self._pools[pool.uuid] = new
        if before is None or moved:
            self._write_services(key for key, one in self._services.items() if one.value.pool == pool.uuid)
        self._remove_members(old_members - new_members)
        if before is not None:
            if moved:
                self._free_pool(before.place)
            if before.formers != xdplayout.NO_POOL:
                self._free_pool(before.formers)
            for life in old_lives.keys() - new_lives.keys():
                self._maps["lives"].delete(life)
            self._target_places.give(before.first, len(before.value.targets))
            for address in before.counters.keys() - counters.keys():
                self._counting.give(before.counters[address])

    def remove_pool(self, uuid: str) -> None:
        """Remove a pool, its servers' counters with it."""
        self._leftover.pools.discard(uuid)
        pool = self._pools.pop(uuid, None)
        self.values.remove_pool(uuid)
        if pool is None:
            return
        self._write_services(key for key, one in self._services.items() if one.value.pool == uuid)
        self._remove_members(_members(pool.place, pool.value))
        self._free_pool(pool.place)
        if pool.formers != xdplayout.NO_POOL:
            self._free_pool(pool.formers)
        for life in pool.lives():
            self._maps["lives"].delete(life)
        self._target_places.give(pool.first, len(pool.value.targets))
        for counter in pool.counters.values():
            self._counting.give(counter)

    def put_service(self, service: Service) -> None:
        """Add or replace a service. Raises DriverError."""
        self._leftover.services.discard(service.key)
        known = self._services.get(service.key)
        if known is None:
            known = _Service(service, self._counting.new(1)[0])
            self._services[service.key] = known
            if service.key.port != service.key.port_end:
                self._ranged.setdefault(service.key.vip, set()).add(service.key)
                self._write_address(service.key.vip, self._flags(service.key.vip))
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
        self._counting.give(known.counter)

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

    def lingering(self, pools: Collection[str], now: int) -> Lingering:
        """forwarding.Driver.lingering. now: nanoseconds of the kernel's monotonic clock."""
        return xdpflows.lingering(self._maps["elder"], self.values, pools, now)

    def counters(self) -> Counters:
        """A snapshot: processors are read one after the other."""
        counted = self._counting.read()
        return Counters(
            answered=counted.event(xdplayout.ANSWERED),
            dropped={reason: counted.event(number) for number, reason in enumerate(DROP_REASONS)},
            services={key: counted.tally(one.counter) for key, one in self._services.items()},
            servers={
                (uuid, address): counted.tally(number)
                for uuid, pool in self._pools.items()
                for address, number in pool.counters.items()
            },
        )

    def count(self, verdict: Verdict) -> None:
        """Count what was done in the program's stead, from another thread than the one that puts."""
        with self._counting.lock:
            if verdict.action == DROPPED:
                self._counting.add_event(DROP_REASONS.index(verdict.reason))
            elif verdict.action == ANSWERED:
                self._counting.add_event(xdplayout.ANSWERED)
            elif verdict.service is not None:
                service, pool = self._services.get(verdict.service), self._pools.get(verdict.pool)
                if service is not None:
                    self._counting.add(service.counter, verdict.size)
                if pool is not None and verdict.server in pool.counters:
                    self._counting.add(pool.counters[verdict.server], verdict.size)

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
        self._fill_values()
        self._member_filter.start(xdplayout.member_word(key) for key, _ in maps["members"].items())
        self._counting.start(
            [one.counter for one in self._services.values()]
            + [number for pool in self._pools.values() for number in pool.counters.values()]
        )
        self._leftover = _Leftover(set(self._interfaces), set(self._services), set(self._vips), set(self._pools))

    def _fill_values(self) -> None:
        for interface in self._interfaces.values():
            self.values.put_interface(interface)
        self.values.put_addresses(self._own)
        for pool in self._pools.values():
            self.values.put_pool(pool.value)
        for service in self._services.values():
            self.values.put_service(service.value)
        for vip in self._vips.values():
            self.values.put_vip(vip)

    def _read_pools(self) -> None:
        arrays: dict[int, bytes] = {}
        all_details = self._maps["details"].read(self._maps["details"].max_entries)
        for key, number in self._maps["pools"].items():
            with Map.by_id(int.from_bytes(number, "little")) as inner:
                arrays[int.from_bytes(key, "little")] = inner.read(inner.max_entries)
        kept = set()
        for place, data in arrays.items():
            head = xdppool.read_head(data)
            if head is None:
                continue
            first, end = head.first, head.first + head.targets
            targets = bytes(self._state.targets[first * TARGET_SIZE : end * TARGET_SIZE])
            details = all_details[first * DETAIL_SIZE : end * DETAIL_SIZE]
            pool, counters = xdppool.read(data, targets, details, arrays.get(head.formers, b""))
            self._pools[pool.uuid] = _Pool(place, pool, targets, first, counters, head.formers)
            kept |= {place, head.formers}
        for place in arrays.keys() - kept:  # left by a process that was killed half done
            self._maps["pools"].delete(u32(place))
        self._pool_numbers.start(kept - {xdplayout.NO_POOL})
        self._target_places.start((pool.first, len(pool.value.targets)) for pool in self._pools.values())
        there = {life for pool in self._pools.values() for life in pool.lives()}
        for life, _ in self._maps["lives"].items():
            if life not in there:
                self._maps["lives"].delete(life)

    def _read_services(self) -> None:
        names = {pool.place: uuid for uuid, pool in self._pools.items()}
        for _, value in (*self._maps["services"].items(), *self._maps["ranges"].items()):
            entry = ServiceEntry.unpack(value)
            key = entry.service
            by_port = bool(entry.flags & xdplayout.SERVICE_BY_PORT)
            per_packet = bool(entry.flags & xdplayout.SERVICE_PER_PACKET)
            service = Service(key, "", names.get(entry.pool, ""), by_port, per_packet, entry.idle_timeout)
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
                targets = xdppool.targets(pool.value, pool.counters, self._places)
                if targets != pool.targets:
                    self._replace_pool(pool, pool.value, targets, pool.counters)

    def _counters_of(self, pool: Pool, before: _Pool | None) -> dict[bytes, int]:
        known = before.counters if before else {}
        lives = {(t.address, t.generation) for t in before.value.targets} if before else set()
        new = [target.address for target in pool.targets if target.address not in known]
        counters = dict(zip(new, self._counting.new(len(new)), strict=True))
        for target in pool.targets:
            number = counters.setdefault(target.address, known.get(target.address, 0))
            if target.address in known and (target.address, target.generation) not in lives:
                self._counting.number_anew(number)
        return counters

    def _write_pool(self, pool: _Pool, *, seen: bool) -> None:
        """Put a pool in its place, its formers first. seen: services use it; else it can wait and be put with others,
        since the kernel takes milliseconds for each call."""
        if pool.formers != xdplayout.NO_POOL:
            self._new_pools.append((pool.formers, _array(xdppool.formers_chunks(pool.value, pool.first))))
        self._new_pools.append((pool.place, _array(xdppool.chunks(pool.value, pool.first, pool.formers))))
        if seen or len(self._new_pools) >= _POOLS_AT_ONCE:
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
        return ServiceEntry(
            xdplayout.service_key(key), place, slots, seed, known.counter, key.port_end, flags, service.idle_timeout
        )

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
        self._member_filter.add(map(xdplayout.member_word, keys))
        self._maps["members"].update_all(b"".join(keys), u32(1) * len(keys))

    def _remove_members(self, keys: set[bytes]) -> None:
        for key in keys:
            self._maps["members"].delete(key)
        self._member_filter.remove(map(xdplayout.member_word, keys))


def _array(chunks: bytes) -> Map:
    made = Map.create(bpf.MAP_TYPE_ARRAY, "avi_pool", 4, xdplayout.CHUNK, xdplayout.POOL_CHUNKS)
    made.write(chunks)
    return made


def _members(place: int, pool: Pool) -> set[bytes]:
    """For layer 2 alone: in a tunnel no member sends on what it got."""
    if pool.mode != L2:
        return set()
    known = [(target.mac, target.address) for target in pool.targets if target.mac is not None]
    return {xdplayout.member(place, mac, address) for mac, address in known} | {
        xdplayout.member(place, mac) for mac, _ in known
    }
