"""What changed and is to be put into the driver anew."""

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
    """Marks of what is to be put anew, and the wait for them. Each is marked once, however often that is said."""

    def __init__(self) -> None:
        self._marked = Dirty({}, set(), set())
        self._wake = asyncio.Event()

    def __bool__(self) -> bool:
        """Whether pools are marked."""
        return bool(self._marked.pools)

    def mark_pools(self, uuids: Iterable[str]) -> None:
        """These pools are to be put anew, and that is waited for."""
        self._marked.pools.update(dict.fromkeys(uuids))
        if self._marked.pools:
            self.wake()

    def mark_service(self, key: str) -> None:
        """A service is to be put anew, with the next that is taken."""
        self._marked.services.add(key)

    def mark_vips(self, vips: Iterable[bytes]) -> None:
        """These VIPs are to be put anew, with the next that is taken."""
        self._marked.vips.update(vips)

    def take(self) -> Dirty:
        """All that is marked; nothing is afterwards."""
        taken, self._marked = self._marked, Dirty({}, set(), set())
        return taken

    def wake(self) -> None:
        """End the wait, whether something is marked or not."""
        self._wake.set()

    async def wait(self) -> None:
        """Wait until pools are marked, or for `wake`: since the last wait, if it was before this one."""
        await self._wake.wait()
        self._wake.clear()
