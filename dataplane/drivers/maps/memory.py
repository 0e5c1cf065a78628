"""What every packet needs, in the program's memory: struct state of dataplane/forwarding/program/layout.h, seen through
mmap; and what else the program is told (`own` of maps.h).

Words are stored whole; what is larger is written where no frame looks yet, and then pointed to.
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Iterable
from ctypes import c_char_p, c_uint32, c_void_p

from dataplane.drivers.maps import layout
from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.native.library import address, function


class State:
    """Parts of the memory as views: bytes, but `index` in words and `pools` in double ones. next_hops: the double words
    of `targets`, the first of each pair a target's next hop. Close it before the maps."""

    def __init__(self, bss: HeldMap, data: HeldMap) -> None:
        self._memory, self._barrier = bss.mapped(), threading.Lock()
        self._told = data.mapped()
        whole = memoryview(self._memory)
        self._views = [whole]
        at = 0
        for size in layout.STATE:
            self._views.append(whole[at : at + size])
            at += size
        _, self.interfaces, self.addresses, self.source_macs, index, self.entries, pools, self.targets = self._views
        self.index, self.pools, self.next_hops = index.cast("I"), pools.cast("Q"), self.targets.cast("Q")
        self._own = memoryview(self._told).cast("Q")
        self._views += self.index, self.pools, self.next_hops, self._own
        self._targets_at = sum(layout.STATE[:-1])

    @property
    def answers_until(self) -> int:
        """Nanoseconds of the monotonic clock until which ARP is answered; 0: it always is."""
        return int(self._own[layout.ANSWERS_UNTIL])

    @answers_until.setter
    def answers_until(self, time: int) -> None:
        self._own[layout.ANSWERS_UNTIL] = time

    def publish(self, pool: int, word: int) -> None:
        """Store a pool's word, after all that was written before."""
        self.barrier()
        self.pools[pool] = word

    def barrier(self) -> None:
        """What was written before is seen before what is written from now on: two locks are a barrier on every
        processor. Where a reader comes from one to the other by an address, it needs none itself."""
        for _ in range(2):
            with self._barrier:
                pass

    def targets_address(self) -> int:
        """Where `targets` stand, for native loops."""
        return address(self._memory) + self._targets_at

    def close(self) -> None:
        """Let go of the memory."""
        for view in reversed(self._views):
            view.release()
        self._memory.close()
        self._told.close()


FILTER_PLACES = 1 << 16
_ADD = "filter", "add", c_char_p, c_uint32, c_uint32, c_uint32, c_void_p, c_void_p


class Filter:
    """A set of 32-bit words by one bit a hash (struct filter). It counts, so that words can be taken out again."""

    _FACTOR = 0x9E3779B1

    def __init__(self, bits: bytearray | memoryview) -> None:
        """bits: 8192 bytes; other than zero only before `start`."""
        self.bits = bits
        self._counts = array("I", bytes(4 * FILTER_PLACES))

    def start(self, words: Iterable[bytes]) -> None:
        """Take over bits that hold these words, and maybe others that are gone."""
        self._count(words)
        self.start_counted(self._counts)

    def start_counted(self, counts: array[int]) -> None:
        """As `start`, for words whose places are counted already."""
        self._counts = counts
        held = bytearray(len(self.bits))
        for at, count in enumerate(counts):
            if count:
                held[at // 8] |= 1 << at % 8
        self.bits[:] = held

    def add(self, keys: bytes, size: int = 4, at: int = 0) -> None:
        """Add a word of each key. keys: side by side; size: bytes of each; at: where in a key its word begins."""
        native = function(*_ADD)
        if native is None:
            self.add_here(keys, size, at)
        else:
            native(keys, len(keys) // size, size, at, address(self._counts), address(self.bits))

    def add_here(self, keys: bytes, size: int, at: int) -> None:
        """`add` in Python, for machines without the native loop."""
        for place in self._count(keys[first : first + 4] for first in range(at, len(keys), size)):
            self.bits[place // 8] |= 1 << place % 8

    def remove(self, words: Iterable[bytes]) -> None:
        """Remove words that were added."""
        for at in map(self._hash, words):
            self._counts[at] -= 1
            if not self._counts[at]:
                self.bits[at // 8] &= ~(1 << at % 8)

    def _count(self, words: Iterable[bytes]) -> list[int]:
        counts, factor, places = self._counts, self._FACTOR, []
        for word, number in Counter(array("I", b"".join(words))).items():  # a loop of its own: starts add 100,000s
            at = (word * factor & 0xFFFFFFFF) >> 16
            counts[at] += number
            places.append(at)
        return places

    def _hash(self, word: bytes) -> int:
        return (int.from_bytes(word, "little") * self._FACTOR & 0xFFFFFFFF) >> 16
