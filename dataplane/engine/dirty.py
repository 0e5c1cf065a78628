"""Marks of what changed and must be put into the driver again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple


class Dirty(NamedTuple):
    """What was marked until it was taken."""

    pools: dict[str, None]  # uuids, in the order in which they were marked
    services: set[str]  # keys in the plan
    vips: set[bytes]  # their addresses


class DirtySet:
    """Marks of what must be put again, and the wait for them. Marking something twice marks it once."""

    def __init__(self) -> None:
        self._marked = Dirty({}, set(), set())
        self._wake = asyncio.Event()

    def __bool__(self) -> bool:
        """Whether pools are marked."""
        return bool(self._marked.pools)

    def mark_pools(self, uuids: Iterable[str]) -> None:
        """Mark pools, and end the wait."""
        self._marked.pools.update(dict.fromkeys(uuids))
        if self._marked.pools:
            self.wake()

    def mark_service(self, key: str) -> None:
        """Mark a service. The wait goes on: it is put with what is taken next."""
        self._marked.services.add(key)

    def mark_vips(self, vips: Iterable[bytes]) -> None:
        """Mark VIPs. The wait goes on: they are put with what is taken next."""
        self._marked.vips.update(vips)

    def take(self) -> Dirty:
        """Take all marks. Nothing is marked afterwards."""
        taken, self._marked = self._marked, Dirty({}, set(), set())
        return taken

    def wake(self) -> None:
        """End the wait, even if nothing is marked."""
        self._wake.set()

    async def wait(self) -> None:
        """Wait until pools are marked or `wake` is called. What happened since the last wait ends this one at once."""
        await self._wake.wait()
        self._wake.clear()
