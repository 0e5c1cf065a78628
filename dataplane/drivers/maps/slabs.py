"""Tables of pools in slabs: arrays of tables that the program reads and the engine writes through mmap.

A table never changes while a packet may read it: a change is written to a free place, and the old place is used again
only when all packets that may have seen it are done. Slabs are made as tables need them, and go with them.
"""

from __future__ import annotations

import heapq
import mmap
from array import array
from collections.abc import Iterable
from typing import NamedTuple
from weakref import WeakValueDictionary

from dataplane.drivers.maps.allocators import Retired
from dataplane.drivers.maps.heldmap import Array, HeldSlabs
from dataplane.drivers.maps.layout import SLAB_TABLES, TABLE_SIZE, TABLE_SLOTS, u32
from dataplane.errors import DriverError
from dataplane.forwarding.maglev import Owners
from dataplane.native import library

_FIRST = 1
"""Table 0 is nobody's: every slot of it is without owner."""


_LOOKED_AT = 64
"""Slots that are compared first, before all are."""


class _Where(NamedTuple):
    """Where a table stands."""

    memory: mmap.mmap | bytearray  # that it is in
    numbers: memoryview  # the same memory as 16-bit numbers
    at: int  # the first slot there


class Kept:
    """A table that stands in a slab, as maglev.Owners: without a copy of it. When its place is given back, it gets
    memory of its own, if anybody still holds it.

    Another thread may read it all the while: what it read in a place that the table has left is read again.
    """

    __slots__ = ("__weakref__", "_slots", "_where")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, where: _Where, slots: int) -> None:
        self._where, self._slots = where, slots

    def __len__(self) -> int:
        return self._slots

    def __getitem__(self, slot: int) -> int:
        if not 0 <= slot < self._slots:
            raise IndexError(slot)
        while True:
            where = self._where
            owner: int = where.numbers[where.at + slot]
            if where is self._where:
                return owner

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Kept | array):
            return NotImplemented
        if self is other or len(self) != len(other):
            return self is other
        # Where tables differ, they mostly do so soon.
        return self._begins_like(other) and self.tobytes() == other.tobytes()

    def _begins_like(self, other: Kept | array[int]) -> bool:
        return all(self[slot] == other[slot] for slot in range(min(_LOOKED_AT, len(self))))

    def tobytes(self) -> bytes:
        """The owners of all slots."""
        while True:
            where = self._where
            owners = bytes(where.numbers[where.at : where.at + self._slots])
            if where is self._where:
                return owners

    def buffer_info(self) -> tuple[int, int]:
        """Where the table stands, until its place is given back, and its number of slots."""
        return library.address(self._where.memory) + 2 * self._where.at, self._slots

    def leave(self) -> None:
        """Move to memory of its own."""
        own = bytearray(self.tobytes())
        self._where = _Where(own, memoryview(own).cast("H"), 0)


class Slabs:
    """Tables by number. outer: the array of slabs; slabs found in it are taken over, their tables free but for those
    that `start` names."""

    def __init__(self, outer: HeldSlabs) -> None:
        self._outer = outer
        self._maps: list[Array] = []
        self._memories: list[mmap.mmap] = []
        self._views: list[memoryview] = []
        self._numbers: list[memoryview] = []
        self._kept: WeakValueDictionary[int, Kept] = WeakValueDictionary()
        self._free: list[int] = []
        self.used = 0
        self.retired = Retired[int](self._release)
        """Tables that packets may still read."""
        for number in range(outer.max_entries):
            found = outer.inner(number)
            if found is None:
                break
            self._open(found)
        if not self._maps:
            self._grow(1)
        self._write(0, b"\xff" * TABLE_SIZE)

    def start(self, used: Iterable[int]) -> None:
        """Go on where these are in use."""
        taken = set(used)
        self._free = [n for n in range(_FIRST, len(self._maps) * SLAB_TABLES) if n not in taken]
        self.used = len(taken)

    def holds(self, number: int) -> bool:
        """Whether there is such a table."""
        return number < len(self._maps) * SLAB_TABLES

    def put(self, table: Owners) -> int:
        """Write a table. Returns its number. Raises DriverError."""
        number = self.take()
        self.write(number, table)
        return number

    def write(self, number: int, table: Owners) -> None:
        """Write a table where no packet looks yet."""
        self._write(number, memoryview(table).cast("B") if isinstance(table, array) else table.tobytes())

    def kept(self, number: int, slots: int) -> Kept:
        """The first slots of a table, without a copy."""
        slab = number // SLAB_TABLES
        where = _Where(self._memories[slab], self._numbers[slab], number % SLAB_TABLES * TABLE_SLOTS)
        return self._kept.setdefault(number, Kept(where, slots)) if number else Kept(where, slots)

    def reserve(self, tables: int) -> None:
        """Have room for so many more, in one call. Raises DriverError."""
        missing = tables - len(self._free) - len(self.retired)
        if missing > 0:
            self._grow(-(-missing // SLAB_TABLES))

    def settle(self) -> None:
        """Wait until packets are done that began before."""
        self._outer.settle()
        self.retired.release()

    def trim(self) -> None:
        """Give slabs back whose tables are free, but for one."""
        if len(self._free) + len(self.retired) < 2 * SLAB_TABLES:
            return
        self.settle()
        free = set(self._free)
        last = len(self._maps) - 1
        while last and free.issuperset(range((last - 1) * SLAB_TABLES + (last == 1), (last + 1) * SLAB_TABLES)):
            self._outer.delete(u32(last))
            self._close(last)
            free.difference_update(range(last * SLAB_TABLES, (last + 1) * SLAB_TABLES))
            last -= 1
        self._free = sorted(free)

    def close(self) -> None:
        """Let go of the memory; what is pinned stays."""
        while self._maps:
            self._close(len(self._maps) - 1)

    def take(self) -> int:
        """A table's number, for whoever writes it. Raises DriverError."""
        if not self._free:
            self.retired.ripen()
        if not self._free:
            full = len(self._maps) == self._outer.max_entries
            if len(self.retired) >= (1 if full else max(SLAB_TABLES // 2, self.used // 4)):
                self.settle()
            else:
                self._grow(max(1, len(self._maps) // 4))
        self.used += 1
        return heapq.heappop(self._free)

    def _release(self, number: int) -> None:
        self.used -= 1
        kept = self._kept.pop(number, None)
        if kept is not None:
            kept.leave()
        heapq.heappush(self._free, number)

    def _grow(self, slabs: int) -> None:
        """Raises DriverError."""
        first, most = len(self._maps), self._outer.max_entries
        slabs = min(slabs, most - first)
        if not slabs:
            raise DriverError(f"there is room for no more than {most * SLAB_TABLES - 1} tables of pools")
        for slab in self._outer.add_inner(first, slabs, TABLE_SIZE, SLAB_TABLES):
            self._open(slab)
        for number in range(max(_FIRST, first * SLAB_TABLES), len(self._maps) * SLAB_TABLES):
            heapq.heappush(self._free, number)
        self.retired.release()  # the call has waited for all packets

    def _open(self, slab: Array) -> None:
        self._maps.append(slab)
        self._memories.append(slab.mapped())
        self._views.append(memoryview(self._memories[-1]))
        self._numbers.append(self._views[-1].cast("H"))

    def _close(self, number: int) -> None:
        self._numbers.pop(number).release()
        self._views.pop(number).release()
        self._memories.pop(number).close()
        self._maps.pop(number).close()

    def _write(self, number: int, data: bytes | memoryview) -> None:
        at = number % SLAB_TABLES * TABLE_SIZE
        self._views[number // SLAB_TABLES][at : at + len(data)] = data
