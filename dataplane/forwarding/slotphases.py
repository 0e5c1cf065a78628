"""What becomes of a pool's slots when its table changes and when time passes: loops over all slots.

Each slot has a mark: STABLE, TRACKED, or from WINDOW on the number of the window that it is in transition in. The
native loops of `dataplane/native/slotphases.c` do this; the functions here whose names end in `_here` define them, and
run on machines that those are not shipped for. Owners and formers are numbers of members or NO_SERVER.
"""

from __future__ import annotations

from array import array
from ctypes import c_uint32, c_void_p
from typing import TypeAlias

from dataplane.forwarding import values
from dataplane.forwarding.maglev import NO_SERVER, Owners
from dataplane.native.library import address, function

STABLE, TRACKED, WINDOW = 0, 1, 2
WINDOWS = 256 - WINDOW
_PHASES = bytes([values.STABLE, values.TRACKED]) + bytes([values.TRANSITION]) * WINDOWS

Numbers: TypeAlias = "array[int]"
"""Unsigned integers of 16 bits ("H")."""


def renumbered(owners: Owners, numbers: Numbers) -> Numbers:
    """Every slot's owner by its new number. numbers: by old number; NO_SERVER for who is gone."""
    native = function("slotphases", "renumber", c_void_p, c_void_p, c_void_p, c_uint32)
    if native is None:
        return renumbered_here(owners, numbers)
    found = array("H", [NO_SERVER]) * len(owners)
    native(address(owners), address(numbers), address(found), len(owners))
    return found


def renumbered_here(owners: Owners, numbers: Numbers) -> Numbers:
    """`renumbered` in Python."""
    return array("H", [NO_SERVER if owner == NO_SERVER else numbers[owner] for owner in array("H", owners.tobytes())])


def begin(before: Owners, after: Owners, serves: bytearray, marks: bytearray, former: Numbers, window: int) -> int:
    """Put slots whose owner changes in transition, in `window`. Changes marks and former.

    serves: for every member whether it may go on with its flows; a stable slot whose owner may not stays stable. A slot
    that is in transition already keeps its former owner. Returns how many slots were put in transition.
    """
    native = function("slotphases", "begin", *[c_void_p] * 5, c_uint32, c_uint32)
    if native is None:
        return begin_here(before, after, serves, marks, former, window)
    places = address(before), address(after), address(serves), address(marks), address(former)
    return native(*places, len(marks), window)


def begin_here(before: Owners, after: Owners, serves: bytearray, marks: bytearray, former: Numbers, window: int) -> int:
    """`begin` in Python."""
    begun = 0
    owners = zip(array("H", before.tobytes()), array("H", after.tobytes()), strict=True)
    for slot, (old, new) in enumerate(owners):
        if old == new or (marks[slot] == STABLE and (old == NO_SERVER or not serves[old])):
            continue
        if marks[slot] < WINDOW:
            former[slot] = old
        marks[slot] = window
        begun += 1
    return begun


def phases(marks: bytearray) -> bytes:
    """The phases of slots with these marks: values.STABLE, TRANSITION or TRACKED."""
    native = function("slotphases", "phases", c_void_p, c_void_p, c_uint32)
    if native is None:
        return phases_here(marks)
    found = bytearray(len(marks))
    native(address(marks), address(found), len(marks))
    return bytes(found)


def phases_here(marks: bytearray) -> bytes:
    """`phases` in Python."""
    return bytes(marks.translate(_PHASES))


def end_unserved(marks: bytearray, former: Numbers, serves: bytearray) -> int:
    """Make slots in transition tracked where the former owner may not serve. Changes marks. Returns how many
    changed."""
    native = function("slotphases", "end_unserved", c_void_p, c_void_p, c_void_p, c_uint32)
    if native is None:
        return end_unserved_here(marks, former, serves)
    return native(address(marks), address(former), address(serves), len(marks))


def end_unserved_here(marks: bytearray, former: Numbers, serves: bytearray) -> int:
    """`end_unserved` in Python."""
    over = [
        slot
        for slot, (mark, owner) in enumerate(zip(marks, former, strict=True))
        if mark >= WINDOW and (owner == NO_SERVER or not serves[owner])
    ]
    for slot in over:
        marks[slot] = TRACKED
    return len(over)


def settle(marks: bytearray, kept: bytearray) -> int:
    """Make tracked slots stable, but for those that are `kept`. Changes marks. Returns how many changed."""
    native = function("slotphases", "settle", c_void_p, c_void_p, c_uint32)
    if native is None:
        return settle_here(marks, kept)
    return native(address(marks), address(kept), len(marks))


def settle_here(marks: bytearray, kept: bytearray) -> int:
    """`settle` in Python."""
    done = [slot for slot, mark in enumerate(marks) if mark == TRACKED and not kept[slot]]
    for slot in done:
        marks[slot] = STABLE
    return len(done)


def formers(marks: bytearray, former: Numbers) -> Numbers:
    """The former owners of slots that are not stable; NO_SERVER of the others."""
    native = function("slotphases", "formers", c_void_p, c_void_p, c_void_p, c_uint32)
    if native is None:
        return formers_here(marks, former)
    found = array("H", [NO_SERVER]) * len(former)
    native(address(marks), address(former), address(found), len(marks))
    return found


def formers_here(marks: bytearray, former: Numbers) -> Numbers:
    """`formers` in Python."""
    return array("H", [owner if mark else NO_SERVER for mark, owner in zip(marks, former, strict=True)])
