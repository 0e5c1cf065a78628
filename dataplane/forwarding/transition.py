"""Which slots of a pool changed owner lately, and who had them before: what tracking needs to know.

A slot is stable until its owner changes while the old one may still serve: then it is in transition, for as long as a
connection may be idle; then tracked, until the last flow of another member than its owner is gone; then stable again.
Where the old owner may not serve, nothing of it can be kept, and the slot stays stable.

Times are seconds since the epoch, because the plan carries them to other engines, on a clock that nobody moves. Slots
that changed owner together share a window; while all are stable nothing is held but the table itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dataplane.forwarding import slotphases
from dataplane.forwarding.maglev import NO_SERVER, Owners
from dataplane.forwarding.values import STABLE, TRACKED, TRANSITION, Pool

Life = tuple[bytes, int]
"""A member in one life of it: address and generation."""

WINDOWS = slotphases.WINDOWS
"""Windows at a time: a byte tells a slot's. If more are needed, the two that began closest together become one."""
GRAIN = 1.0
"""Seconds. Changes that follow the first within this time share its window, which then ends with the last of them."""

_MARKS = bytes.maketrans(
    bytes([STABLE, TRANSITION, TRACKED]), bytes([slotphases.STABLE, slotphases.WINDOW, slotphases.TRACKED])
)


@dataclass(frozen=True, slots=True)
class Phases:
    """The phases of a pool's slots for a driver. It never changes."""

    phases: bytes  # STABLE, TRANSITION or TRACKED for each slot
    fallback: array[int]  # indices into the members


@dataclass(slots=True)
class _Window:
    """A change, or several in short order, whose slots are in transition."""

    first: float  # when its first slots changed owner
    last: float  # when its last did


class Slots:
    """The slots of one pool through all its changes. Arrays that come in and go out are shared: nobody changes them."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._members: Sequence[Life] = ()
        self._owners: Owners | None = None
        self._former = array("H")
        self._marks = bytearray()
        self._windows: dict[int, _Window] = {}
        self._told: Phases | None = None

    @property
    def stable(self) -> bool:
        """Whether every slot is stable: `not moving`, without counting."""
        return not self._marks

    @property
    def moving(self) -> int:
        """How many slots are not stable."""
        return self._slots - self._marks.count(slotphases.STABLE) if self._marks else 0

    @property
    def in_transition(self) -> int:
        """How many slots are in transition."""
        return self.moving - self._marks.count(slotphases.TRACKED)

    def adopt(self, pool: Pool, now: float) -> None:
        """Go on from what a driver was found to run; windows begin anew."""
        self._members = [(target.address, target.generation) for target in pool.targets]
        self._owners = pool.table
        if pool.phases.strip(b"\0"):
            self._former = array("H", pool.fallback)
            self._marks = bytearray(pool.phases.translate(_MARKS))
            self._windows = {slotphases.WINDOW: _Window(now, now)}

    def copy(self) -> Slots:
        """An independent copy."""
        other = Slots(self._slots)
        other._members, other._owners, other._former = self._members, self._owners, self._former
        other._marks, other._told = bytearray(self._marks), self._told
        other._windows = {number: _Window(window.first, window.last) for number, window in self._windows.items()}
        return other

    def change(self, table: Owners, members: Sequence[Life], serves: Callable[[Life], bool], now: float) -> bool:
        """Take over a new table. Returns whether it differs from the one before. table: indices into members; members:
        all of them, in the table or not (one that is missing is gone for good); serves: whether a member may go on with
        its flows."""
        self._renumber(members)
        before, self._owners = self._owners, table
        if before is None or before is table or before == table:
            return before is None
        if self._marks:
            self._former = array("H", self._former)  # the old one was told
        else:
            self._former, self._marks = array("H", [NO_SERVER]) * self._slots, bytearray(self._slots)
        window = self._window(now)
        serving = bytearray(map(serves, members))
        slotphases.begin(before, table, serving, self._marks, self._former, window)
        self._forget()
        return True

    def void(self, since: float) -> None:
        """Note that no flow came here since a time. Slots that changed owner meanwhile had no flows, so the next table
        is taken as the one that was always there."""
        if self._marks:
            self._join([number for number, window in self._windows.items() if window.first >= since], slotphases.STABLE)
            self._former = slotphases.formers(self._marks, self._former)
            self._forget()
        self._owners = None

    def is_at(self, table: Owners, members: Sequence[Life]) -> bool:
        """Whether `change` to this very table would change nothing."""
        return self._owners is table and self._members == members

    def exchange(self, table: Owners, kept: Owners) -> None:
        """Replace the table in force by an equal one, which is kept elsewhere."""
        if self._owners is table:
            self._owners = kept

    def advance(
        self, now: float, timeout: float, serves: Callable[[Life], bool], lingering: Iterable[tuple[int, Life]]
    ) -> bool:
        """Time passed: ends windows and tracking. Returns whether a phase changed.

        timeout: the longest idle timeout of the pool's services in seconds, 0 = infinite: the window then ends when the
        former owner may not serve any more. lingering: slot and member of every tracked flow that lives.
        """
        if not self._marks:
            return False
        if timeout:
            over = [number for number, window in self._windows.items() if now - window.last >= timeout]
            changed = self._join(over, slotphases.TRACKED)
        else:
            serving = bytearray(map(serves, self._members))
            changed = slotphases.end_unserved(self._marks, self._former, serving) > 0
        if slotphases.TRACKED in self._marks and slotphases.settle(self._marks, self._kept(lingering)):
            self._former = slotphases.formers(self._marks, self._former)
            changed = True
        if changed:
            self._forget()
        return changed

    def phases(self, members: Sequence[Life]) -> Phases | None:
        """The phases for a driver, the same object until something changes; None while every slot is stable."""
        if not self._marks:
            return None
        self._renumber(members)
        if self._told is None:
            self._told = Phases(slotphases.phases(self._marks), self._former)
        return self._told

    def _renumber(self, members: Sequence[Life]) -> None:
        if self._members == members:
            return
        index = {life: number for number, life in enumerate(members)}
        numbers = array("H", [index.get(life, NO_SERVER) for life in self._members])
        self._members = members
        if list(numbers) == list(range(len(numbers))):
            return  # others came behind those that there were
        if self._owners is not None:
            self._owners = slotphases.renumbered(self._owners, numbers)
        if self._marks:
            self._former = slotphases.renumbered(self._former, numbers)
        self._told = None

    def _window(self, now: float) -> int:
        """The window of slots that change now."""
        newest = max(self._windows, key=lambda number: self._windows[number].last, default=0)
        if newest and 0 <= now - self._windows[newest].first < GRAIN:
            self._windows[newest].last = now
            return newest
        if len(self._windows) == WINDOWS:
            ordered = sorted(self._windows, key=lambda number: self._windows[number].last)
            pairs = zip(ordered, ordered[1:], strict=False)
            earlier, later = min(pairs, key=lambda pair: self._windows[pair[1]].last - self._windows[pair[0]].last)
            self._join([earlier], later)
        number = next(n for n in range(slotphases.WINDOW, 256) if n not in self._windows)
        self._windows[number] = _Window(now, now)
        return number

    def _join(self, windows: Iterable[int], mark: int) -> bool:
        """Give the slots of some windows, which end, another mark. Returns whether there were any."""
        turned = bytearray(range(256))
        for number in windows:
            turned[number] = mark
            del self._windows[number]
        before, self._marks = self._marks, self._marks.translate(turned)
        return before != self._marks

    def _kept(self, lingering: Iterable[tuple[int, Life]]) -> bytearray:
        """A byte for each slot: whether a flow of a member other than its owner lives."""
        kept = bytearray(self._slots)
        index = {life: number for number, life in enumerate(self._members)}
        owners = self._owners
        for slot, life in lingering:
            number = index.get(life)
            if number is not None and (owners is None or owners[slot] != number):
                kept[slot] = True
        return kept

    def _forget(self) -> None:
        """Drop what was told of the phases, which changed, and the arrays that hold nothing any more."""
        self._told = None
        if self._marks == bytes(self._slots):
            self._marks, self._former, self._windows = bytearray(), array("H"), {}
