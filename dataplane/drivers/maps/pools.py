"""The pools in the maps.

A pool is one word: it names the pool's table, its formers and its first target. A change is written where no packet
looks, then the word is stored; health and next hops of a server that stays are one word of its target. System
calls are needed only where servers come or go, or change their MAC address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import cast

from dataplane.drivers.maps import layout, poolrecord, tablerecord
from dataplane.drivers.maps.allocators import Numbers, Retired, Runs
from dataplane.drivers.maps.counters import MapCounters
from dataplane.drivers.maps.heldmap import HeldMap, HeldSlabs
from dataplane.drivers.maps.layout import DETAIL_SIZE, HEAD_PLACES, TARGET_SIZE
from dataplane.drivers.maps.lives import Lives
from dataplane.drivers.maps.memory import State
from dataplane.drivers.maps.reconcile import Consistency, Run
from dataplane.drivers.maps.slabs import Slabs
from dataplane.drivers.maps.sourcemacs import SourceMacs
from dataplane.errors import DriverError
from dataplane.forwarding.values import Pool, Target
from dataplane.native import library
from dataplane.plan import L2

_WORDS = TARGET_SIZE // 8


@dataclass(slots=True)
class Held:
    """A pool in the maps."""

    number: int  # its place in `pools`
    value: Pool
    first: int  # the place of its first target
    table: int = 0  # the table's number, 0 where there is none
    formers: int = 0  # the same of the table of formers


class MapPools:
    """The pools by uuid. places: of the interfaces served, by index; rewrite: called with a pool whose number is new or
    gone, to have its services name it."""

    def __init__(
        self,
        maps: Mapping[str, HeldMap],
        state: State,
        counters: MapCounters,
        places: Mapping[int, int],
        rewrite: Callable[[str], None],
    ) -> None:
        self._state, self._counters, self._places, self._rewrite = state, counters, places, rewrite
        self._lives, self._source_macs = Lives(maps["lives"]), SourceMacs(maps["source_macs"], state.source_macs)
        self._details_map = maps["details"].mapped()
        self._details = memoryview(self._details_map)
        self._slabs = Slabs(cast(HeldSlabs, maps["slabs"]))
        self._numbers = Numbers(layout.MAX_POOLS, "pools", first=1)
        self._runs = Runs(layout.MAX_TARGETS, "servers")
        self._retired = Retired[tuple[int, int]](lambda run: self._runs.give(*run))
        self._retired_numbers = Retired[int](self._numbers.give)
        self.held: dict[str, Held] = {}
        self._read(Consistency(maps["lives"], maps["source_macs"]))

    def close(self) -> None:
        """Let go of the memory."""
        self._slabs.close()
        self._details.release()
        self._details_map.close()

    def expect(self, pools: Iterable[Pool]) -> None:
        """Make room for the tables of pools that are new, in one call: each call waits for all packets. Their servers'
        counters begin together. Raises DriverError."""
        new = [pool for pool in pools if pool.uuid not in self.held]
        self._slabs.reserve(len(new))
        self._counters.expect(sum(len(pool.targets) for pool in new))

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

    def remove(self, uuid: str, heir: str = "") -> bool:
        """Remove a pool, its servers' counters with it. Returns whether it was there. heir: the pool that takes over
        what they counted."""
        gone = self.held.pop(uuid, None)
        if gone is None:
            return False
        self._rewrite(uuid)
        self._state.publish(gone.number, 0)
        self._retire(gone)
        self._retired_numbers.add(gone.number)
        self._source_macs.remove(gone.number, gone.value.mode, self._known(gone), set())
        self._lives.end(self._lives_of(gone))
        taken_over = self.counters(self.held[heir]) if heir in self.held else {}
        for address, counter in self.counters(gone).items():
            if address in taken_over:
                self._counters.hand_over(counter, taken_over[address])
            self._counters.give(counter)
        self._slabs.trim()
        return True

    def resolve(self, index: int) -> None:
        """Put or remove the next hops behind an interface that came or went."""
        for held in self.held.values():
            for at, target in enumerate(held.value.targets):
                if target.interface == index:
                    self._store_next_hop(held, at, poolrecord.next_hop(target, held.value.mode, self._places))

    def counters(self, held: Held) -> dict[bytes, int]:
        """The counters of a pool's targets, by address."""
        words = self._state.next_hops
        at = held.first * _WORDS + 1
        return {t.address: words[at + i * _WORDS] >> 32 for i, t in enumerate(held.value.targets)}

    def counters_of(self, uuid: str) -> dict[bytes, int]:
        """The same by a pool's name, for any thread: of one that is replaced meanwhile, those that it has then."""
        while (held := self.held.get(uuid)) is not None:
            found = self.counters(held)
            if self.held.get(uuid) is held:
                return found
        return {}

    def _replace(self, before: Held | None, pool: Pool) -> None:
        """Targets, table, source MACs and lives first, then the word, then the services; what is no longer used
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
            targets, details = poolrecord.targets(pool, counters, self._places), poolrecord.details(pool)
            at = run * DETAIL_SIZE
            self._details[at : at + len(details)] = details
            self._state.targets[first * TARGET_SIZE : first * TARGET_SIZE + len(targets)] = targets
            known_before = self._known(before) if before and not moved and before.value.mode == pool.mode else set()
            known = self._known(held)
            undo.callback(self._source_macs.remove, number, pool.mode, known, known_before)
            self._source_macs.add(number, pool.mode, known_before, known)
            lives = list(self._lives_of(held))
            former = list(self._lives_of(before)) if before else []
            undo.callback(self._lives.lead_back, lives, former, before.first if before else 0)
            self._lives.lead(lives, first)
            undo.pop_all()
        self._state.publish(number, poolrecord.word(held.table, held.formers, first))
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
            self._source_macs.remove(
                before.number, before.value.mode, self._known(before), known if not moved else set()
            )
        else:
            self._source_macs.remove(number, pool.mode, known_before, known)
        self._lives.end(set(former).difference(lives))
        self._give_counters(self.counters(before), counters)

    def _change(self, held: Held, pool: Pool, changed: list[int]) -> None:
        """The members are the same. Next hops that come stand before the table does, next hops that go after."""
        before, old = held.value, (held.table, held.formers)
        next_hops = {at: poolrecord.next_hop(pool.targets[at], pool.mode, self._places) for at in changed}
        moved = any(before.targets[at].mac != pool.targets[at].mac for at in changed) and pool.mode == L2
        known_before = self._known(held) if moved else set()
        known = {(t.mac, t.address) for t in pool.targets if t.mac is not None} if moved else set()
        same = pool.table is before.table and pool.phases is before.phases and pool.fallback is before.fallback
        with ExitStack() as undo:
            undo.callback(self._source_macs.remove, held.number, pool.mode, known, known_before)
            self._source_macs.add(held.number, pool.mode, known_before, known)
            held.table, held.formers = old if same else self._put_table(pool)
            undo.pop_all()
        held.value = pool
        for at, next_hop in next_hops.items():
            self._store_path_mtu(held, at)
            if poolrecord.is_resolved(next_hop):
                self._store_next_hop(held, at, next_hop)
        if (held.table, held.formers) != old:
            self._store_made_of(held, None)  # a process that is killed here has left no wrong hash
            self._state.publish(held.number, poolrecord.word(held.table, held.formers, held.first))
            self._retire_tables(*old)
            self._store_made_of(held, pool)
        elif pool.made_of != before.made_of:
            self._store_made_of(held, pool)
        for at, next_hop in next_hops.items():
            if not poolrecord.is_resolved(next_hop):
                self._store_next_hop(held, at, next_hop)
        self._source_macs.remove(held.number, pool.mode, known_before, known)

    def _put_table(self, pool: Pool) -> tuple[int, int]:
        """Write a pool's table and formers. Returns their numbers. Raises DriverError; then none is used."""
        if tablerecord.is_empty(pool):
            return 0, 0
        if not pool.phases:
            return self._slabs.put(pool.table), 0
        table = self._slabs.take()
        try:
            numbers = table, self._slabs.take()
        except DriverError:
            self._slabs.retired.add(table)
            raise
        if not tablerecord.pack(pool, *(self._slabs.kept(number, pool.slots) for number in numbers)):
            for number, values in zip(numbers, tablerecord.packed_here(pool), strict=True):
                self._slabs.write(number, values)
        return numbers

    def _store_next_hop(self, held: Held, at: int, next_hop: int) -> None:
        self._state.next_hops[(held.first + at) * _WORDS] = next_hop

    def _store_path_mtu(self, held: Held, at: int) -> None:
        """One word, like a next hop."""
        place = (held.first + at) * DETAIL_SIZE + poolrecord.PATH_MTU_AT
        self._details[place : place + 8] = poolrecord.path_mtu(held.value.targets[at])

    def _store_made_of(self, held: Held, pool: Pool | None) -> None:
        place = (held.first - HEAD_PLACES) * DETAIL_SIZE + poolrecord.MADE_OF_AT
        self._details[place : place + 8] = poolrecord.made_of(pool)

    def _known(self, held: Held) -> set[tuple[bytes, bytes]]:
        """MAC and IP address of the members whose MAC address is known, as they stand in the targets."""
        at, end = held.first * TARGET_SIZE, (held.first + len(held.value.targets)) * TARGET_SIZE
        return poolrecord.known(self._state.targets[at:end])

    def _lives_of(self, held: Held) -> Iterable[bytes]:
        at, end = held.first * DETAIL_SIZE, (held.first + len(held.value.targets)) * DETAIL_SIZE
        return poolrecord.lives(self._details[at:end])

    def _give_counters(self, counters: Mapping[bytes, int], kept: Mapping[bytes, int]) -> None:
        """Give back those of addresses that are not among the kept ones."""
        for address, counter in counters.items():
            if address not in kept:
                self._counters.give(counter)

    def _counters_of(self, pool: Pool, before: Held | None) -> dict[bytes, int]:
        known = self.counters(before) if before else {}
        new = [target.address for target in pool.targets if target.address not in known]
        counters = dict(zip(new, self._counters.new(len(new)), strict=True))
        return counters | {target.address: known[target.address] for target in pool.targets if target.address in known}

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

    def _read(self, consistency: Consistency) -> None:
        """Take over what stands in the maps. What a process that was killed left half done is not named by any word."""
        words = {number: word for number, word in enumerate(self._state.pools.tolist()) if word}
        read = poolrecord.TargetReader()
        for number, word in words.items():
            table, formers, first = poolrecord.read_word(word)
            head = poolrecord.read_head(self._details, first)
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
            Run(held.number, held.first, len(held.value.targets), held.value.mode == L2) for held in self.held.values()
        ]
        if not consistency.lives_agree(runs, library.address(self._details_map)):
            everyone = self.held.values()
            self._lives.start({life: one.first + at for one in everyone for at, life in enumerate(self._lives_of(one))})
        counts = consistency.source_macs_agree(runs, self._state.targets_address())
        if counts is not None:
            self._source_macs.start_counted(counts)
        else:
            self._source_macs.start((one.number, one.value.mode, self._known(one)) for one in self.held.values())

    def _read_pool(
        self, head: poolrecord.Head, read: poolrecord.TargetReader, table: int, formers: int, first: int
    ) -> Pool:
        end = first + head.targets
        targets = read.read(
            self._state.targets[first * TARGET_SIZE : end * TARGET_SIZE],
            self._details[first * DETAIL_SIZE : end * DETAIL_SIZE],
        )
        owners = self._slabs.kept(table, head.slots)
        if not formers:
            return Pool(head.uuid, head.seed, owners, targets, head.mode, made_of=head.made_of)
        table_of, fallback, phases = tablerecord.unpacked(owners, self._slabs.kept(formers, head.slots))
        return Pool(head.uuid, head.seed, table_of, targets, head.mode, phases, fallback, head.made_of)


def _check(pool: Pool) -> None:
    """Raises DriverError."""
    if len(pool.uuid.encode()) > layout.NAME_LENGTH:
        raise DriverError(f"a pool's uuid has at most {layout.NAME_LENGTH} bytes: {pool.uuid!r}")
    if pool.slots > layout.TABLE_SLOTS:
        raise DriverError(f"a pool's table has at most {layout.TABLE_SLOTS} slots: {pool.slots}")
    if len(pool.targets) > layout.NO_TARGET:
        raise DriverError(f"a pool has at most {layout.NO_TARGET} servers: {len(pool.targets)}")


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
