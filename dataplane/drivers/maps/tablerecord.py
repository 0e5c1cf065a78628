"""A pool's table as the program reads it (struct table of dataplane/forwarding/program/layout.h), and back.

While every slot is stable that is the table of the forwarding value itself.
"""

from __future__ import annotations

from array import array
from ctypes import c_uint32, c_void_p

from dataplane.drivers.maps.layout import IN_TRANSITION, NO_TARGET, UNSETTLED
from dataplane.forwarding.maglev import NO_SERVER, Owners
from dataplane.forwarding.values import STABLE, TRACKED, TRANSITION, Pool
from dataplane.native import library
from dataplane.native.library import Buffer


def is_empty(pool: Pool) -> bool:
    """Whether no slot has an owner, nor had one: such a pool needs no table."""
    if pool.phases or (pool.slots and pool.table[0] != NO_SERVER):
        return False
    return pool.table.tobytes() == b"\xff" * (2 * pool.slots)


def pack(pool: Pool, table: Buffer, formers: Buffer) -> bool:
    """Write a pool's table and its formers, where not every slot is stable. False where this machine has no native
    loop for it: `packed_here` defines it."""
    native = library.function("tablerecord", "mark", *[c_void_p] * 5, c_uint32)
    if native is None:
        return False
    arrays: tuple[Buffer | bytearray, ...] = pool.table, pool.fallback, bytearray(pool.phases), table, formers
    native(*map(library.address, arrays), pool.slots)
    return True


def unpacked(table: Owners, formers: Owners) -> tuple[array[int], array[int], bytes]:
    """Owners, fallback and phases."""
    native = library.function("tablerecord", "unmark", *[c_void_p] * 5, c_uint32)
    if native is None:
        return unpacked_here(table, formers)
    owners, fallback, phases = _slots(len(table)), _slots(len(table)), bytearray(len(table))
    arrays: tuple[Owners | bytearray, ...] = table, formers, owners, fallback, phases
    native(*map(library.address, arrays), len(table))
    return owners, fallback, bytes(phases)


def packed_here(pool: Pool) -> tuple[array[int], array[int]]:
    """What `pack` writes, in Python, for machines without the native loop."""
    unsettled = [UNSETTLED if phase != STABLE else 0 for phase in pool.phases]
    marks = [IN_TRANSITION if phase == TRANSITION else 0 for phase in pool.phases]
    return (
        array("H", [owner & NO_TARGET | mark for owner, mark in zip(_owners(pool.table), unsettled, strict=True)]),
        array("H", [former & NO_TARGET | mark for former, mark in zip(pool.fallback, marks, strict=True)]),
    )


def unpacked_here(table: Owners, formers: Owners) -> tuple[array[int], array[int], bytes]:
    """`unpacked` in Python."""
    phases = bytes(
        STABLE if not held & UNSETTLED else TRANSITION if former & IN_TRANSITION else TRACKED
        for held, former in zip(_owners(table), _owners(formers), strict=True)
    )
    owners, fallback = (
        array("H", [NO_SERVER if held & NO_TARGET == NO_TARGET else held & NO_TARGET for held in _owners(one)])
        for one in (table, formers)
    )
    return owners, fallback, phases


def _owners(table: Owners) -> array[int]:
    return array("H", table.tobytes())


def _slots(number: int) -> array[int]:
    return array("H", (0,)) * number
