"""The pools in the XDP program's maps.

A pool is one word: it names the pool's table, its formers and its first target. A change is written where no packet
looks, then the word is stored; health and next hops of a server that stays are one word of its target. The kernel is
called only where servers come or go, or change their MAC address.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from dataplane.bpf.maps import Map
from dataplane.drivers.maps import layout as xdplayout
from dataplane.drivers.maps import poolrecord as xdppool
from dataplane.drivers.maps import reconcile as xdpmembership
from dataplane.drivers.maps import tablerecord as xdptable
from dataplane.drivers.maps.allocators import Numbers, Retired, Runs
from dataplane.drivers.maps.counters import Counting
from dataplane.drivers.maps.layout import DETAIL_SIZE, HEAD_PLACES, TARGET_SIZE, u32
from dataplane.drivers.maps.memory import Filter, State
from dataplane.drivers.maps.slabs import Slabs
from dataplane.errors import DriverError
from dataplane.forwarding.values import Pool, Target
from dataplane.native import library as nativecode
from dataplane.plan import L2

_WORDS = TARGET_SIZE // 8


@dataclass(slots=True)
class Held:
    """A pool in the maps. number: its place in `pools`; first: the place of its first target; table, formers: numbers
    of tables, 0 where there is none."""

    number: int
    value: Pool
    first: int
    table: int = 0
    formers: int = 0


class KernelPools:
    """The pools by uuid. places: of the interfaces served, by index; rewrite: called with a pool whose number is new or
    gone, to have its services name it."""

    def __init__(
        self,
        maps: Mapping[str, Map],
        state: State,
        counting: Counting,
        places: Mapping[int, int],
        rewrite: Callable[[str], None],
    ) -> None:
        self._state, self._counting, self._places, self._rewrite = state, counting, places, rewrite
        self._lives, self._members = maps["lives"], maps["members"]
        self._details_map = maps["details"].mapped()
        self._details = memoryview(self._details_map)
        self._slabs = Slabs(maps["slabs"])
        self._numbers = Numbers(xdplayout.MAX_POOLS, "pools", first=1)
        self._runs = Runs(xdplayout.MAX_TARGETS, "servers")
        self._retired = Retired[tuple[int, int]](lambda run: self._runs.give(*run))
        self._retired_numbers = Retired[int](self._numbers.give)
        self._filter = Filter(state.members)
        self.held: dict[str, Held] = {}
        self._read()

    def close(self) -> None:
        """Let go of the memory."""
        self._slabs.close()
        self._details.release()
        self._details_map.close()

    def expect(self, pools: Iterable[Pool]) -> None:
        """Make room for the tables of pools that are new, in one call: the kernel waits for each. Raises
        DriverError."""
        self._slabs.reserve(sum(pool.uuid not in self.held for pool in pools))

    def put(self, pool: Pool) -> Pool:
        """Add or replace a pool: one word is stored. Returns it as it is held: its table not twice, where the maps hold
        it as it is. Raises DriverError."""
        _check(pool)
        before = self.held.get(pool.uuid)
        changed = None if before is None else _changed(before.value, pool)
        if before is None or changed is None:
            self._replace(before, pool)
        else:
            self._change(before, pool, changed)
        held = self.held[pool.uuid]
        if not pool.phases and (kept := self._slabs.kept(held.table, pool.slots)) is not pool.table:
            held.value = replace(pool, table=kept)
        return held.value

    def remove(self, uuid: str) -> bool:
        """Remove a pool, its servers' counters with it. Returns whether it was there."""
        gone = self.held.pop(uuid, None)
        if gone is None:
            return False
        self._rewrite(uuid)
        self._state.publish(gone.number, 0)
        self._retire(gone)
        self._retired_numbers.add(gone.number)
        self._remove_members(gone.number, gone.value.mode, self._known(gone), set())
        for life in self._lives_of(gone):
            self._lives.delete(life)
        for counter in self.counters(gone).values():
            self._counting.give(counter)
        self._slabs.trim()
        return True

    def resolve(self, index: int) -> None:
        """An interface came or went: so do the next hops behind it."""
        for held in self.held.values():
            for at, target in enumerate(held.value.targets):
                if target.interface == index:
                    self._store_way(held, at, xdppool.way(target, held.value.mode, self._places))

    def counters(self, held: Held) -> dict[bytes, int]:
        """The counters of a pool's targets, by address."""
        words = self._state.ways
        at = held.first * _WORDS + 1
        return {t.address: words[at + i * _WORDS] >> 32 for i, t in enumerate(held.value.targets)}

    def _replace(self, before: Held | None, pool: Pool) -> None:
        """Targets, table, members and lives first, then the word, then the services; what is no longer used
        goes last. `lives` leads to the new targets before the word does."""
        moved = before is None or (before.value.slots, before.value.seed) != (pool.slots, pool.seed)
        with ExitStack() as undo:
            run = self._take(self._runs.take, HEAD_PLACES + len(pool.targets))
            undo.callback(self._runs.give, run, HEAD_PLACES + len(pool.targets))
            number = self._take(self._numbers.take) if before is None or moved else before.number
            if moved:
                undo.callback(self._numbers.give, number)
            held = Held(number, pool, run + HEAD_PLACES, *self._put_table(pool))
            undo.callback(self._retire_tables, held.table, held.formers)
            counters = self._counters_of(pool, before)
            undo.callback(self._give_counters, counters, self.counters(before) if before else {})
            first = held.first
            targets, details = xdppool.targets(pool, counters, self._places), xdppool.details(pool)
            at = run * DETAIL_SIZE
            self._details[at : at + len(details)] = details
            self._state.targets[first * TARGET_SIZE : first * TARGET_SIZE + len(targets)] = targets
            known_before = self._known(before) if before and not moved and before.value.mode == pool.mode else set()
            known = self._known(held)
            undo.callback(self._remove_members, number, pool.mode, known, known_before)
            self._add_members(number, pool.mode, known_before, known)
            lives = list(self._lives_of(held))
            undo.callback(self._lead_back, lives, before)
            self._lead(lives, first)
            undo.pop_all()
        self._state.publish(number, xdppool.word(held.table, held.formers, first))
        self.held[pool.uuid] = held
        if before is None or moved:
            self._rewrite(pool.uuid)
        if before is None:
            return
        self._retire(before)
        if moved:
            self._state.publish(before.number, 0)
            self._retired_numbers.add(before.number)
        if moved or before.value.mode != pool.mode:
            self._remove_members(before.number, before.value.mode, self._known(before), known if not moved else set())
        else:
            self._remove_members(number, pool.mode, known_before, known)
        for life in set(self._lives_of(before)).difference(lives):
            self._lives.delete(life)
        self._give_counters(self.counters(before), counters)

    def _change(self, held: Held, pool: Pool, changed: list[int]) -> None:
        """The members are the same. Ways that come stand before the table does, ways that go after."""
        before, old = held.value, (held.table, held.formers)
        ways = {at: xdppool.way(pool.targets[at], pool.mode, self._places) for at in changed}
        moved = any(before.targets[at].mac != pool.targets[at].mac for at in changed) and pool.mode == L2
        known_before = self._known(held) if moved else set()
        known = {(t.mac, t.address) for t in pool.targets if t.mac is not None} if moved else set()
        same = pool.table is before.table and pool.phases is before.phases and pool.fallback is before.fallback
        with ExitStack() as undo:
            undo.callback(self._remove_members, held.number, pool.mode, known, known_before)
            self._add_members(held.number, pool.mode, known_before, known)
            held.table, held.formers = old if same else self._put_table(pool)
            undo.pop_all()
        held.value = pool
        for at, way in ways.items():
            self._store_path_mtu(held, at)
            if xdppool.is_resolved(way):
                self._store_way(held, at, way)
        if (held.table, held.formers) != old:
            self._store_made_of(held, None)  # a process that is killed here has left no wrong hash
            self._state.publish(held.number, xdppool.word(held.table, held.formers, held.first))
            self._retire_tables(*old)
            self._store_made_of(held, pool)
        elif pool.made_of != before.made_of:
            self._store_made_of(held, pool)
        for at, way in ways.items():
            if not xdppool.is_resolved(way):
                self._store_way(held, at, way)
        self._remove_members(held.number, pool.mode, known_before, known)

    def _put_table(self, pool: Pool) -> tuple[int, int]:
        """Write a pool's table and formers. Returns their numbers. Raises DriverError; then none is used."""
        if xdptable.is_empty(pool):
            return 0, 0
        if not pool.phases:
            return self._slabs.put(pool.table), 0
        table = self._slabs.take()
        try:
            numbers = table, self._slabs.take()
        except DriverError:
            self._slabs.retired.add(table)
            raise
        if not xdptable.pack(pool, *(self._slabs.kept(number, pool.slots) for number in numbers)):
            for number, values in zip(numbers, xdptable.packed_here(pool), strict=True):
                self._slabs.write(number, values)
        return numbers

    def _store_way(self, held: Held, at: int, way: int) -> None:
        self._state.ways[(held.first + at) * _WORDS] = way

    def _store_path_mtu(self, held: Held, at: int) -> None:
        """One word, like a way."""
        place = (held.first + at) * DETAIL_SIZE + xdppool.PATH_MTU_AT
        self._details[place : place + 8] = xdppool.path_mtu(held.value.targets[at])

    def _store_made_of(self, held: Held, pool: Pool | None) -> None:
        place = (held.first - HEAD_PLACES) * DETAIL_SIZE + xdppool.MADE_OF_AT
        self._details[place : place + 8] = xdppool.made_of(pool)

    def _known(self, held: Held) -> set[tuple[bytes, bytes]]:
        """MAC and IP address of the members whose MAC address is known, as they stand in the targets."""
        at, end = held.first * TARGET_SIZE, (held.first + len(held.value.targets)) * TARGET_SIZE
        return xdppool.known(self._state.targets[at:end])

    def _lives_of(self, held: Held) -> Iterable[bytes]:
        at, end = held.first * DETAIL_SIZE, (held.first + len(held.value.targets)) * DETAIL_SIZE
        return xdppool.lives(self._details[at:end])

    def _lead(self, lives: Sequence[bytes], first: int) -> None:
        """Have `lives` lead to targets from there on."""
        self._lives.update_all(b"".join(lives), array("I", range(first, first + len(lives))).tobytes())

    def _lead_back(self, lives: Sequence[bytes], before: Held | None) -> None:
        """Undo that, as far as it was done."""
        former = list(self._lives_of(before)) if before else []
        for life in set(lives).difference(former):
            self._lives.delete(life)
        if before:
            self._lead(former, before.first)

    def _give_counters(self, counters: Mapping[bytes, int], kept: Mapping[bytes, int]) -> None:
        """Give back those of addresses that are not among the kept ones."""
        for address, counter in counters.items():
            if address not in kept:
                self._counting.give(counter)

    def _add_members(
        self, number: int, mode: str, before: set[tuple[bytes, bytes]], after: set[tuple[bytes, bytes]]
    ) -> None:
        keys = _members(number, mode, after) - _members(number, mode, before)
        if keys:
            self._filter.add(map(xdplayout.member_word, keys))
            self._members.update_all(b"".join(keys), u32(1) * len(keys))

    def _remove_members(
        self, number: int, mode: str, before: set[tuple[bytes, bytes]], after: set[tuple[bytes, bytes]]
    ) -> None:
        keys = _members(number, mode, before) - _members(number, mode, after)
        for key in keys:
            self._members.delete(key)
        self._filter.remove(map(xdplayout.member_word, keys))

    def _counters_of(self, pool: Pool, before: Held | None) -> dict[bytes, int]:
        known = self.counters(before) if before else {}
        lives = {(t.address, t.generation) for t in before.value.targets} if before else set()
        new = [target.address for target in pool.targets if target.address not in known]
        counters = dict(zip(new, self._counting.new(len(new)), strict=True))
        for target in pool.targets:
            if target.address in known:
                counters[target.address] = known[target.address]
                if (target.address, target.generation) not in lives:
                    self._counting.number_anew(known[target.address])
        return counters

    def _take(self, take: Callable[..., int], *wanted: int) -> int:
        """Places, with those that rested long enough; raises DriverError when there are none after a wait."""
        self._retired.ripen()
        self._retired_numbers.ripen()
        try:
            return take(*wanted)
        except DriverError:
            self._slabs.settle()
            self._retired.release()
            self._retired_numbers.release()
            return take(*wanted)

    def _retire(self, held: Held) -> None:
        self._retire_tables(held.table, held.formers)
        self._retired.add((held.first - HEAD_PLACES, HEAD_PLACES + len(held.value.targets)))

    def _retire_tables(self, *numbers: int) -> None:
        for number in numbers:
            if number:
                self._slabs.retired.add(number)

    def _read(self) -> None:
        """Take over what stands in the maps. What a process that was killed left half done is not named by any word."""
        membership = xdpmembership.Membership(self._lives, self._members)
        words = {number: word for number, word in enumerate(self._state.pools.tolist()) if word}
        read = xdppool.Targets()
        for number, word in words.items():
            table, formers, first = xdppool.read_word(word)
            head = xdppool.read_head(self._details, first)
            if head is None or head.uuid in self.held or not (self._slabs.holds(table) and self._slabs.holds(formers)):
                self._state.pools[number] = 0
                continue
            self.held[head.uuid] = Held(
                number, self._read_pool(head, read, table, formers, first), first, table, formers
            )
        self._slabs.start(n for held in self.held.values() for n in (held.table, held.formers) if n)
        self._numbers.start(held.number for held in self.held.values())
        self._runs.start(
            (held.first - HEAD_PLACES, HEAD_PLACES + len(held.value.targets)) for held in self.held.values()
        )
        runs = [
            xdpmembership.Run(held.number, held.first, len(held.value.targets), held.value.mode == L2)
            for held in self.held.values()
        ]
        if not membership.lives_agree(runs, nativecode.address(self._details_map)):
            self._read_lives()
        counts = membership.members_agree(runs, self._state.targets_address())
        if counts is not None:
            self._filter.start_counted(counts)
        else:
            self._read_members()

    def _read_pool(self, head: xdppool.Head, read: xdppool.Targets, table: int, formers: int, first: int) -> Pool:
        end = first + head.targets
        targets = read.read(
            self._state.targets[first * TARGET_SIZE : end * TARGET_SIZE],
            self._details[first * DETAIL_SIZE : end * DETAIL_SIZE],
        )
        owners = self._slabs.kept(table, head.slots)
        if not formers:
            return Pool(head.uuid, head.seed, owners, targets, head.mode, made_of=head.made_of)
        table_of, fallback, phases = xdptable.unpacked(owners, self._slabs.kept(formers, head.slots))
        return Pool(head.uuid, head.seed, table_of, targets, head.mode, phases, fallback, head.made_of)

    def _read_lives(self) -> None:
        """Have `lives` hold what the targets tell."""
        wanted = {life: held.first + at for held in self.held.values() for at, life in enumerate(self._lives_of(held))}
        found = {life: int.from_bytes(place, "little") for life, place in self._lives.items()}
        for life in found.keys() - wanted.keys():
            self._lives.delete(life)
        for life, place in wanted.items():
            if found.get(life) != place:
                self._lives.update(life, u32(place))

    def _read_members(self) -> None:
        """Have `members` hold what the targets tell, and the filter."""
        wanted: set[bytes] = set()
        for held in self.held.values():
            wanted |= _members(held.number, held.value.mode, self._known(held))
        found = {key for key, _ in self._members.items()}
        for key in found - wanted:
            self._members.delete(key)
        self._filter.start(map(xdplayout.member_word, wanted))
        missing = wanted - found
        self._members.update_all(b"".join(missing), u32(1) * len(missing))


def _check(pool: Pool) -> None:
    """Raises DriverError."""
    if len(pool.uuid.encode()) > xdplayout.NAME_LENGTH:
        raise DriverError(f"a pool's uuid has at most {xdplayout.NAME_LENGTH} bytes: {pool.uuid!r}")
    if pool.slots > xdplayout.TABLE_SLOTS:
        raise DriverError(f"a pool's table has at most {xdplayout.TABLE_SLOTS} slots under XDP: {pool.slots}")
    if len(pool.targets) > xdplayout.NO_TARGET:
        raise DriverError(f"a pool has at most {xdplayout.NO_TARGET} servers under XDP: {len(pool.targets)}")


def _changed(before: Pool, after: Pool) -> list[int] | None:
    """The targets that changed; None where more changed than words can tell."""
    if (before.slots, before.seed, before.mode) != (after.slots, after.seed, after.mode):
        return None
    if len(before.targets) != len(after.targets):
        return None
    changed = []
    for at, (old, new) in enumerate(zip(before.targets, after.targets, strict=True)):
        if old is new or old == new:
            continue
        if _fixed(old) != _fixed(new):
            return None
        changed.append(at)
    return changed


def _fixed(target: Target) -> tuple[bytes, int, bytes]:
    return target.address, target.generation, target.source


def _members(number: int, mode: str, known: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """For layer 2 alone: in a tunnel no member sends on what it got."""
    if mode != L2:
        return set()
    return {xdplayout.member(number, mac, address) for mac, address in known} | {
        xdplayout.member(number, mac) for mac, _ in known
    }
