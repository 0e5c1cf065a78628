"""The registry of what the engine keeps in the kernel: looked at all the time, and put back where others removed it.

Some owners hear of a loss at once (rtnetlink, nftables' notifications) and call `wake`. The rest is read twice a
second: the kernel tells of no detached XDP link, and not of all settings. Whoever removes the same object again and
again meets pauses that grow; what cannot be put back is a fault until it can.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from dataplane.events import kinds
from dataplane.events.model import THIS_ENGINE, Tell
from dataplane.kernel.objects import KernelObject, Owner

LOOK_EVERY = 0.5
"""Seconds between two looks."""
AT_ONCE = 3
"""How often in `CALM` seconds an object is put back at once."""
CALM = 20.0
"""Seconds without a loss after which an object's losses are forgotten."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""Seconds between two tries to put back what cannot be, or does not stay."""
_NAMED = 3
"""Objects that an event names before it counts the rest."""
_STUBBORN = "somebody removes it again and again"


@dataclass(slots=True)
class _Losses:
    """What is remembered of an object that was missing."""

    times: int = 0  # that it was missing, since it was calm
    last: float = 0.0  # when it was last found missing (time.monotonic())
    again: float = 0.0  # when it is tried next
    pause: float = FIRST_PAUSE  # seconds until then, the next time


class KernelRegistry:
    """All owners. tell: hears of events."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._owners: list[Owner] = []
        self._losses: dict[KernelObject, _Losses] = {}
        self._faults: dict[KernelObject, str] = {}
        self._wake = asyncio.Event()

    def add(self, owner: Owner) -> None:
        """Watch what an owner keeps, too."""
        self._owners.append(owner)

    def objects(self) -> list[KernelObject]:
        """All that the engine keeps in the kernel now."""
        return [one for owner in self._owners for one in owner.objects()]

    @property
    def faults(self) -> Mapping[KernelObject, str]:
        """What is missing and cannot be put back now, with the reason."""
        return self._faults

    def words(self) -> list[str]:
        """The faults in words for an operator."""
        return [f"{one} is missing: {reason}" for one, reason in self._faults.items()]

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def waker(self) -> Callable[[], None]:
        """What any thread may call to have this thread's loop look now."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self.wake)

        return wake

    async def watch(self) -> None:
        """Look again and again, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._wake.wait()
            self._wake.clear()
            await self.look(time.monotonic())

    async def look(self, now: float) -> None:
        """Put back what is missing and is due. now: time.monotonic()."""
        missing: set[KernelObject] = set()
        for owner in self._owners:
            lost = owner.missing()
            missing.update(lost)
            due = [one for one in lost if self._is_due(one, now)]
            if due:
                self._heed(await owner.restore(due), now)
        for one in [one for one in self._faults if one not in missing]:
            self._tell(kinds.KERNEL_BACK, THIS_ENGINE, f"{one} is there again")
            del self._faults[one]
        for one in [one for one, losses in self._losses.items() if one not in missing and now - losses.last > CALM]:
            del self._losses[one]

    def _is_due(self, one: KernelObject, now: float) -> bool:
        losses = self._losses.get(one)
        if losses is None or now >= losses.again:
            return True
        if one not in self._faults:
            self._faults[one] = _STUBBORN
            text = f"{one} is missing: {_STUBBORN}; it is put back after a pause"
            self._tell(kinds.KERNEL_MISSING, THIS_ENGINE, text)
        return False

    def _heed(self, restored: Mapping[KernelObject, str], now: float) -> None:
        """Take over what came of a try."""
        back: list[KernelObject] = []
        for one, reason in restored.items():
            losses = self._losses.setdefault(one, _Losses())
            losses.times, losses.last = losses.times + 1, now
            if reason or losses.times > AT_ONCE:
                losses.again = now + losses.pause
                losses.pause = min(2 * losses.pause, LONGEST_PAUSE)
            if not reason:
                self._faults.pop(one, None)
                back.append(one)
            elif self._faults.get(one) != reason:
                self._faults[one] = reason
                text = f"{one} is missing, and cannot be put back: {reason}"
                self._tell(kinds.KERNEL_MISSING, THIS_ENGINE, text)
        if back:
            text = f"{_listed(back)} removed or changed by somebody else: put back"
            self._tell(kinds.KERNEL_RESTORED, THIS_ENGINE, text)


def _listed(several: list[KernelObject]) -> str:
    named, more = ", ".join(map(str, several[:_NAMED])), len(several) - _NAMED
    return f"{named} and {more} more were" if more > 0 else f"{named} {'was' if len(several) == 1 else 'were'}"


def removed(several: Iterable[KernelObject]) -> list[str]:
    """What was removed, in words: many of a kind are counted."""
    kinds: dict[str, list[str]] = {}
    for one in several:
        kinds.setdefault(one.kind, []).append(one.name)
    return [
        f"removed {kind} {names[0]}" if len(names) == 1 else f"removed {len(names)} {kind}s: {', '.join(names)}"
        for kind, names in kinds.items()
    ]
