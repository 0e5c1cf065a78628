"""Just enough tracking: which flows and fragments are remembered, and when a packet looks them up.

A packet of a stable slot looks nothing up: the slot's owner gets it. Only slots that changed owner remember, in two
tables of fixed size whose oldest entry makes room for a new one: `elder` (flows of the former owner, and flows that
proved themselves) and `young` (flows begun by a SYN in the window; a flood of SYNs pushes out nothing else).

Times are in nanoseconds of one steady clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import NamedTuple

from dataplane.forwarding import poolnames
from dataplane.forwarding.bounded import Bounded
from dataplane.forwarding.handshakes import Handshakes
from dataplane.forwarding.maglev import NO_SERVER, slot_of
from dataplane.forwarding.values import STABLE, TRANSITION, Lingering, Pool, Service, ServiceKey, Target

SECOND = 1_000_000_000
FLOWS = 1 << 20
"""Entries of `elder` and of `young`."""
FRAGMENTS = 1 << 16
FRAGMENT_LIFE = 30 * SECOND
"""How long the later fragments of a packet may follow its first (RFC 791 leaves 15 s, RFC 1122 60 to 120 s)."""
SLOTS_KEPT = 1 << 14
"""Flows whose slots are cached: some 4 MiB."""
TAKEN_AT_ONCE = 256
"""Identifications of outer headers that a processor takes for itself at a time."""
OLD = 1 << 14
"""Identifications that all processors may take before one drops those it has left and takes new ones: a quarter of
all."""
REPLIES_A_SECOND = 100
"""Too-big messages that may be sent in one second of the clock."""


class Flow(NamedTuple):
    """A flow as its packets to the VIP show it; addresses are 4 bytes."""

    client: bytes
    vip: bytes
    protocol: int
    client_port: int
    port: int


class FragmentKey(NamedTuple):
    """What all fragments of a packet share (RFC 791)."""

    source: bytes
    destination: bytes
    protocol: int
    identification: int


class MemberId(NamedTuple):
    """A pool member in one life of it."""

    pool: str  # the driver's name for it, or for another of its family (`poolnames`)
    address: bytes
    generation: int  # another for each life of the address in the pool

    @classmethod
    def of(cls, pool: Pool, target: Target) -> MemberId:
        """The id of a target of the pool now."""
        return cls(pool.uuid, target.address, target.generation)


class Entry(NamedTuple):
    """Where a flow goes."""

    member_id: MemberId
    seen: int  # when its last packet came


class Remembered(NamedTuple):
    """What is remembered of a flow."""

    elder: Entry | None = None  # it belongs to a slot's former owner, or proved itself
    young: Entry | None = None  # it began by a SYN while its slot was in transition


class Fragment(NamedTuple):
    """Where the later fragments of a packet go."""

    service: ServiceKey
    member_id: MemberId
    until: int  # the last moment that they do


class Flows:
    """All that is remembered from one packet to another."""

    def __init__(self, flows: int = FLOWS, fragments: int = FRAGMENTS) -> None:
        self.elder: Bounded[Flow, Entry] = Bounded(flows)
        self.young: Bounded[Flow, Entry] = Bounded(flows)
        self.fragments: Bounded[FragmentKey, Fragment] = Bounded(fragments)
        self.handshakes = Handshakes()
        self._taken: dict[int, int] = {}
        self._used: dict[int, int] = {}
        self._second, self._replies = 0, 0

    def server(self, flow: Flow, service: Service, pool: Pool, now: int, *, syn: bool) -> Target | None:
        """Choose the member that gets a flow's packet, and remember the flow where it must be. syn: TCP, SYN without
        ACK."""
        slot, owner, phase = _at_slot(flow, service, pool)
        if phase == STABLE:
            return owner
        if syn:
            self.elder.pop(flow, None)
        elif found := self._known(self.elder, flow, service, pool, now):
            self.elder.put(flow, self.elder[flow]._replace(seen=now))
            return found
        return self._in_transition(flow, service, pool, slot, now, syn=syn) if phase == TRANSITION else owner

    def _in_transition(
        self, flow: Flow, service: Service, pool: Pool, slot: int, now: int, *, syn: bool
    ) -> Target | None:
        if found := self._known(self.young, flow, service, pool, now):
            chosen: Target | None = found
            if not syn:
                del self.young[flow]
        elif syn:
            chosen = _target(pool, pool.table[slot])
        else:
            former = _target(pool, pool.fallback[slot])
            chosen = former if former is not None and former.serves else _target(pool, pool.table[slot])
        if chosen is not None:
            (self.young if syn else self.elder).put(flow, Entry(MemberId.of(pool, chosen), now))
        return chosen

    def owner(self, flow: Flow, service: Service, pool: Pool, now: int) -> Target | None:
        """The member that a flow's packets go to, for messages about the flow: nothing is remembered or renewed."""
        slot, owner, phase = _at_slot(flow, service, pool)
        if phase == STABLE:
            return owner
        if found := self._known(self.elder, flow, service, pool, now):
            return found
        if phase != TRANSITION:
            return owner
        if found := self._known(self.young, flow, service, pool, now):
            return found
        former = _target(pool, pool.fallback[slot])
        return former if former is not None and former.serves else owner

    def _known(self, table: Bounded[Flow, Entry], flow: Flow, service: Service, pool: Pool, now: int) -> Target | None:
        entry = table.get(flow)
        if entry is None or (service.idle_timeout and now - entry.seen > service.idle_timeout * SECOND):
            return None
        target = find_member(pool, entry.member_id)
        return target if target is not None and target.serves else None

    def lingering(
        self,
        services: Callable[[bytes, int, int], Service | None],
        pools: Mapping[str, Pool],
        wanted: Collection[str],
        now: int,
    ) -> Lingering:
        """Slot, member and last packet of the live entries of `elder`, of the wanted pools. Entries that have expired
        are removed."""
        found: dict[str, list[tuple[int, tuple[bytes, int], int]]] = {name: [] for name in wanted}
        families = {poolnames.parts(name).uuid for name in wanted}
        for flow, entry in list(self.elder.items()):
            if poolnames.parts(entry.member_id.pool).uuid not in families:
                continue
            service = services(flow.vip, flow.protocol, flow.port)
            where = pools.get(service.pool) if service is not None else None
            if service is None or where is None or self._known(self.elder, flow, service, where, now) is None:
                del self.elder[flow]
            elif where.uuid in found:
                life = entry.member_id.address, entry.member_id.generation
                found[where.uuid].append((slot_for(flow, service, where), life, entry.seen))
        return found

    def remember_fragments(self, key: FragmentKey, service: Service, pool: Pool, target: Target, now: int) -> None:
        """Note that the first fragment of a packet went to a member: the others follow it."""
        self.fragments.put(key, Fragment(service.key, MemberId.of(pool, target), now + FRAGMENT_LIFE))

    def fragment(self, key: FragmentKey, now: int) -> Fragment | None:
        """Where a later fragment goes."""
        found = self.fragments.get(key)
        return found if found is not None and now <= found.until else None

    def remembered(self, flow: Flow) -> Remembered:
        """What is remembered of a flow."""
        return Remembered(self.elder.get(flow), self.young.get(flow))

    def remember(self, flow: Flow, remembered: Remembered) -> None:
        """Remember of a flow what another memory holds."""
        for table, entry in zip((self.elder, self.young), remembered, strict=True):
            if entry is not None:
                table.put(flow, entry)

    def identification(self, server: bytes) -> int:
        """The next identification of an outer header to a server's address. No two packets to one destination share one
        while fragments live (RFC 6864 section 4.3), whatever pools the server is in. Each processor of an engine takes
        TAKEN_AT_ONCE at a time, and new ones once these are OLD; this object stands for one processor."""
        place = _identified(server)
        used, taken = self._used.get(place, 0), self._taken.get(place, 0)
        if used % TAKEN_AT_ONCE == 0 or taken - used > OLD:
            used = taken
            self._taken[place] = taken + TAKEN_AT_ONCE
        self._used[place] = used + 1
        return (used + 1) & 0xFFFF

    def identifications(self, server: bytes, number: int) -> int:
        """The first of so many consecutive identifications, for the pieces of one packet."""
        place = _identified(server)
        taken = self._taken.get(place, 0)
        self._taken[place] = taken + -(-number // TAKEN_AT_ONCE) * TAKEN_AT_ONCE
        return (taken + 1) & 0xFFFF

    def may_reply(self, now: int) -> bool:
        """Whether one more too-big message may be sent in this second."""
        if now // SECOND != self._second:
            self._second, self._replies = now // SECOND, 0
        self._replies += 1
        return self._replies <= REPLIES_A_SECOND


def _identified(server: bytes) -> int:
    """The place of a server's address among the counters of identifications."""
    address = int.from_bytes(server, "big")
    return (address ^ address >> 16) & 0xFFFF


def is_stable(flow: Flow, service: Service, pool: Pool) -> bool:
    """Whether the owner of the flow's slot gets its packets, and nothing of them is remembered."""
    return service.per_packet or not pool.phases or pool.phases[slot_for(flow, service, pool)] == STABLE


def slot_for(flow: Flow, service: Service, pool: Pool) -> int:
    """The slot of a flow in its pool's table."""
    return _slot(flow.client, flow.client_port if service.by_port else 0, pool.seed, len(pool.table))


@lru_cache(maxsize=SLOTS_KEPT)
def _slot(client: bytes, port: int, seed: int, slots: int) -> int:
    """Cached: it depends on nothing else, and a flow's packets ask for it again and again."""
    return slot_of(int.from_bytes(client, "big"), port, seed, slots)


def find_member(pool: Pool, member_id: MemberId) -> Target | None:
    """The pool's target that is this member in this life."""
    if not poolnames.alike(pool.uuid, member_id.pool):
        return None
    for target in pool.targets:
        if target.address == member_id.address:
            return target if target.generation == member_id.generation else None
    return None


def _at_slot(flow: Flow, service: Service, pool: Pool) -> tuple[int, Target | None, int]:
    """A flow's slot, its owner, and its phase as packets of the service see it."""
    slot = slot_for(flow, service, pool)
    phase = pool.phases[slot] if pool.phases and not service.per_packet else STABLE
    return slot, _target(pool, pool.table[slot]), phase


def _target(pool: Pool, index: int) -> Target | None:
    return None if index == NO_SERVER else pool.targets[index]
