"""The services of one port, found in memory instead of a hash table.

A lookup in a hash table costs calls, which on processors with mitigated returns is more than the rest of the program.
The index holds at a key's hash, or beside it, a place among the entries. An entry is never changed while it can be
seen: a change is a new entry, and places are used again only after a second. What finds no place is in the hash table
`services` alone, which holds every service and is looked up last.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dataplane.drivers.maps import layout
from dataplane.drivers.maps.allocators import Retired
from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.drivers.maps.layout import ENTRY_SIZE
from dataplane.drivers.maps.memory import State


class ServiceLookup:
    """Entries by key; `services` is the hash table that they stand for. It takes over what it finds."""

    def __init__(self, state: State, services: HeldMap, clock: Callable[[], float] = time.monotonic) -> None:
        self._state, self._index, self._entries = state, state.index, state.entries
        self._places: dict[bytes, tuple[int, int]] = {}
        self._taken: set[int] = set()
        self._free: list[int] = []
        self._retired = Retired[int](self._free.append, clock)
        self._end = 1  # place 0 stays empty: the index is zero where there is nothing
        self._read(services)

    def put(self, key: bytes, entry: bytes) -> None:
        """Add or replace, when it stands in the hash table: the system call for that orders it before this."""
        number = self._number()
        place = self._places[key][0] if key in self._places else self._place(key)
        if number is None or place is None:
            self.remove(key)
            return
        self._entries[number * ENTRY_SIZE : (number + 1) * ENTRY_SIZE] = entry
        self._state.barrier()
        self._index[place] = number
        if key in self._places:
            self._retired.add(self._places[key][1])
        self._places[key] = place, number
        self._taken.add(place)

    def remove(self, key: bytes) -> None:
        """Remove, if it is there."""
        if key not in self._places:
            return
        place, number = self._places.pop(key)
        self._index[place] = 0
        self._taken.discard(place)
        self._retired.add(number)

    def __len__(self) -> int:
        return len(self._places)

    def _place(self, key: bytes) -> int | None:
        first = layout.index_place(key)
        return next((place for place in (first, first ^ 1) if place not in self._taken), None)

    def _number(self) -> int | None:
        if not self._free:
            self._retired.ripen()
        if self._free:
            return self._free.pop()
        if self._end * ENTRY_SIZE == len(self._entries):
            return None
        self._end += 1
        return self._end - 1

    def _read(self, services: HeldMap) -> None:
        """What a process that was killed left half done is not taken over: the hash table is right."""
        used = set()
        for place, number in enumerate(self._index.tolist()):
            if not number:
                continue
            entry = bytes(self._entries[number * ENTRY_SIZE : (number + 1) * ENTRY_SIZE])
            key = entry[:8]
            if services.lookup(key) != entry or key in self._places:
                self._index[place] = 0
                continue
            self._places[key] = place, number
            self._taken.add(place)
            used.add(number)
        self._end = max(used, default=0) + 1
        self._free += [number for number in range(1, self._end) if number not in used]
