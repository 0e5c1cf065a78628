"""Which slots of a pool changed owner lately, and who had them before: what tracking needs to know.

A slot is stable until its owner changes while the old one may still serve: then it is in transition, for as long as a
connection may be idle; then tracked, until the last flow of another member than its owner is gone; then stable again.
Where the old owner may not serve, nothing of it can be kept, and the slot stays stable.

Times are seconds since the epoch, because the plan carries them to other engines.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .forwarding import STABLE, TRACKED, TRANSITION, Pool
from .hashing import NO_SERVER

Life = tuple[bytes, int]
"""A member in one life of it: address and generation."""


@dataclass(frozen=True, slots=True)
class Phases:
    """The phases of a pool's slots for a driver; fallback: indices into the members asked for."""

    phases: bytes
    fallback: array[int]


class Slots:
    """The slots of one pool through all its changes."""

    def __init__(self, slots: int) -> None:
        self._numbers: dict[Life, int] = {}
        self._owners = array("H", [NO_SERVER]) * slots
        self._former = array("H", [NO_SERVER]) * slots
        self._phases = bytearray(slots)
        self._since: dict[int, float] = {}
        self._tracked: set[int] = set()

    @property
    def moving(self) -> int:
        """How many slots are not stable."""
        return len(self._since) + len(self._tracked)

    @property
    def in_transition(self) -> int:
        """How many slots are in transition."""
        return len(self._since)

    def adopt(self, pool: Pool, now: float) -> None:
        """Go on from what a driver was found to run; windows begin anew."""
        lives = [(target.address, target.generation) for target in pool.targets]
        self._owners = self._numbered(pool.table, lives)
        if not pool.phases:
            return
        self._former = self._numbered(pool.fallback, lives)
        self._phases = bytearray(pool.phases)
        self._since = {slot: now for slot, phase in enumerate(pool.phases) if phase == TRANSITION}
        self._tracked = {slot for slot, phase in enumerate(pool.phases) if phase == TRACKED}

    def change(self, table: Sequence[int], members: Sequence[Life], serves: Callable[[Life], bool], now: float) -> None:
        """A new table came into force. table: indices into members; serves: whether one may go on with its flows."""
        owners = self._numbered(table, members)
        serving = {number for life, number in self._numbers.items() if serves(life)}
        for slot, (before, after) in enumerate(zip(self._owners, owners, strict=True)):
            if before != after:
                self._move(slot, before, serving, now)
        self._owners = owners

    def _numbered(self, table: Sequence[int], members: Sequence[Life]) -> array[int]:
        numbers = [self._numbers.setdefault(life, len(self._numbers)) for life in members]
        numbers.extend([NO_SERVER] * (NO_SERVER + 1 - len(numbers)))
        return array("H", map(numbers.__getitem__, table))

    def _move(self, slot: int, before: int, serving: Collection[int], now: float) -> None:
        phase = self._phases[slot]
        if phase == STABLE and (before == NO_SERVER or before not in serving):
            return
        if phase != TRANSITION:
            self._former[slot] = before
            self._phases[slot] = TRANSITION
            self._tracked.discard(slot)
        self._since[slot] = now

    def advance(
        self, now: float, timeout: float, serves: Callable[[Life], bool], lingering: Iterable[tuple[int, Life]]
    ) -> bool:
        """Time passed: ends windows and tracking. Returns whether a phase changed.

        timeout: the longest idle timeout of the pool's services in seconds, 0 = infinite: the window then ends when the
        former owner may not serve any more. lingering: slot and member of every tracked flow that lives.
        """
        over = [slot for slot, since in self._since.items() if self._window_is_over(slot, since, now, timeout, serves)]
        for slot in over:
            del self._since[slot]
            self._phases[slot] = TRACKED
            self._tracked.add(slot)
        if not self._tracked:
            return bool(over)
        kept = {slot for slot, life in lingering if self._owners[slot] != self._numbers.get(life, NO_SERVER)}
        done = self._tracked - kept
        for slot in done:
            self._phases[slot] = STABLE
            self._former[slot] = NO_SERVER
        self._tracked &= kept
        return bool(over or done)

    def _window_is_over(
        self, slot: int, since: float, now: float, timeout: float, serves: Callable[[Life], bool]
    ) -> bool:
        if timeout:
            return now - since >= timeout
        life = self._life(self._former[slot])
        return life is None or not serves(life)

    def _life(self, number: int) -> Life | None:
        for life, known in self._numbers.items():
            if known == number:
                return life
        return None

    def phases(self, members: Mapping[Life, int]) -> Phases | None:
        """The phases for a driver; None while every slot is stable. members: indices by member."""
        if not self._since and not self._tracked:
            return None
        indices = [NO_SERVER] * (NO_SERVER + 1)
        for life, number in self._numbers.items():
            indices[number] = members.get(life, NO_SERVER)
        return Phases(bytes(self._phases), array("H", map(indices.__getitem__, self._former)))
