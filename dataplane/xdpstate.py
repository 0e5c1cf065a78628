"""What every packet needs, in the program's memory: struct state of xdp/layout.h, seen through mmap.

Words are stored whole; what is larger is written where no frame looks yet, and then pointed to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from . import xdplayout
from .bpf import Map


class State:
    """Parts of the memory as views: bytes, but `index` in words. Close it before the map."""

    def __init__(self, bss: Map) -> None:
        self._memory = bss.mapped()
        whole = memoryview(self._memory)
        self._views = [whole]
        at = 0
        for size in xdplayout.STATE:
            self._views.append(whole[at : at + size])
            at += size
        _, self.interfaces, self.addresses, self.members, index, self.entries, self.targets = self._views
        self.index = index.cast("I")
        self._views.append(self.index)

    def close(self) -> None:
        """Let go of the memory."""
        for view in reversed(self._views):
            view.release()
        self._memory.close()


class Filter:
    """A set of addresses by their last two bytes (struct filter). It counts, so that they can be taken out again."""

    def __init__(self, bits: bytearray | memoryview) -> None:
        """bits: 65,536 of them; other than zero only before `start`."""
        self.bits = bits
        self._counts: Counter[int] = Counter()

    def start(self, addresses: Iterable[bytes]) -> None:
        """Take over bits that hold these, and maybe others that are gone."""
        self._counts.update(map(_tail, addresses))
        held = bytearray(len(self.bits))
        for at in self._counts:
            held[at // 8] |= 1 << at % 8
        self.bits[:] = held

    def add(self, addresses: Iterable[bytes]) -> None:
        """Add addresses."""
        for at in map(_tail, addresses):
            self._counts[at] += 1
            self.bits[at // 8] |= 1 << at % 8

    def remove(self, addresses: Iterable[bytes]) -> None:
        """Remove addresses that were added."""
        for at in map(_tail, addresses):
            self._counts[at] -= 1
            if not self._counts[at]:
                del self._counts[at]
                self.bits[at // 8] &= ~(1 << at % 8)


def _tail(address: bytes) -> int:
    return int.from_bytes(address[-2:], "little")
