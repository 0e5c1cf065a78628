"""The MAC addresses that a pool's servers send from, by which a frame that a server sent on is told from a client's.

A prepared server delivers packets to the VIP to itself. One that is not may send them on: such a frame has the server's
MAC address and the client's IP address. In layer 2 alone: what comes out of a tunnel is not sent on as it came.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Set

from dataplane.drivers.maps import layout
from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.drivers.maps.layout import u32
from dataplane.drivers.maps.memory import Filter
from dataplane.plan import L2

Known = Set[tuple[bytes, bytes]]
"""MAC and IP addresses of servers."""


class SourceMacs:
    """The map `source_macs`, with its filter in the program's memory."""

    def __init__(self, held: HeldMap, bits: memoryview) -> None:
        self._map, self._filter = held, Filter(bits)

    def add(self, number: int, mode: str, before: Known, after: Known) -> None:
        """Add what a pool has after a change and not before. Raises DriverError."""
        keys = _keys(number, mode, after) - _keys(number, mode, before)
        if keys:
            joined = b"".join(keys)
            self._filter.add(joined, len(joined) // len(keys), layout.SOURCE_MAC_WORD_AT)
            self._map.update_all(joined, u32(1) * len(keys))

    def remove(self, number: int, mode: str, before: Known, after: Known) -> None:
        """Remove what a pool has before a change and not after."""
        keys = _keys(number, mode, before) - _keys(number, mode, after)
        for key in keys:
            self._map.delete(key)
        self._filter.remove(map(layout.source_mac_word, keys))

    def start(self, pools: Iterable[tuple[int, str, Known]]) -> None:
        """Hold what these pools have, by number and mode, and nothing else."""
        wanted: set[bytes] = set()
        for number, mode, known in pools:
            wanted |= _keys(number, mode, known)
        found = {key for key, _ in self._map.items()}
        for key in found - wanted:
            self._map.delete(key)
        self._filter.start(map(layout.source_mac_word, wanted))
        missing = wanted - found
        self._map.update_all(b"".join(missing), u32(1) * len(missing))

    def start_counted(self, counts: array[int]) -> None:
        """Go on where the map holds what it should. counts: how often each place of the filter is used."""
        self._filter.start_counted(counts)


def _keys(number: int, mode: str, known: Known) -> set[bytes]:
    return layout.source_macs(number, known) if mode == L2 and known else set()
