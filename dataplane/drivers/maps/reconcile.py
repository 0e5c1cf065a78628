"""Whether `lives` and `source_macs` hold exactly what the pools' targets tell, found without a look at each key.

A process that was killed while it wrote may have left keys of targets that no word names, or not written all.
`dataplane/native/reconcile.c` compares numbers of keys and sums of their hashes, in a hundredth of the time that it
takes to compare the keys; where they differ, or where this machine has no such library, the keys are compared.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_uint32, c_void_p
from typing import NamedTuple

from dataplane.drivers.maps.heldmap import HeldMap
from dataplane.drivers.maps.layout import DETAIL_SIZE, TARGET_SIZE
from dataplane.drivers.maps.memory import FILTER_PLACES
from dataplane.native.library import address, function

_ENTRY = "reconcile", "entries", c_void_p, c_void_p, c_uint32, c_void_p
_LIVES = "reconcile", "lives", c_void_p, c_uint32, c_uint32, c_void_p
_SOURCE_MACS = "reconcile", "source_macs", c_void_p, c_uint32, c_uint32, c_void_p, c_void_p


_AT_ONCE = 1 << 15
"""Keys: whoever reads them waits seldom for the interpreter's lock."""


class Run(NamedTuple):
    """A pool's targets, which stand side by side."""

    pool: int  # the pool's number
    first: int  # the first target's place
    targets: int  # how many
    layer2: bool  # whether the pool is reached by layer 2


class Consistency:
    """What `lives` and `source_macs` hold, read by a thread of its own from the moment that this is made: the keys come
    while other things are read."""

    def __init__(self, lives: HeldMap, source_macs: HeldMap) -> None:
        self._reader = ThreadPoolExecutor(1, "avi-se-reconcile")
        self._lives, self._source_macs = (self._reader.submit(_sum, held) for held in (lives, source_macs))
        self._reader.shutdown(wait=False)

    def lives_agree(self, runs: Iterable[Run], details: int) -> bool:
        """Whether `lives` leads to these targets, and to nothing else. details: where the details stand in memory.
        False where that cannot be told."""
        native = function(*_LIVES)
        if native is None:
            return False
        wanted = array("Q", [0, 0])
        for run in runs:
            native(details + run.first * DETAIL_SIZE, run.first, run.targets, address(wanted))
        return self._lives.result() == wanted

    def source_macs_agree(self, runs: Iterable[Run], targets: int) -> array[int] | None:
        """How often each place of the filter is used where `source_macs` holds these targets and nothing else; None
        where it does not, or where that cannot be told. targets: where the targets stand in memory."""
        native = function(*_SOURCE_MACS)
        if native is None:
            return None
        wanted, places = array("Q", [0, 0]), array("I", bytes(4 * FILTER_PLACES))
        for run in runs:
            if run.layer2:
                native(targets + run.first * TARGET_SIZE, run.pool, run.targets, address(wanted), address(places))
        return places if self._source_macs.result() == wanted else None


def _sum(held: HeldMap) -> array[int] | None:
    native = function(*_ENTRY)
    if native is None:
        return None
    found = array("Q", [0, 0])
    for keys, values, count in held.batches(_AT_ONCE):
        native(keys, values, count, address(found))
    return found
