"""Follows the configuration that several hosts share: by the shell's program, as a process of its own.

What other hosts commit, the program applies to the store of the state directory, and the engine's plan source sees it
there. So an engine starts, and goes on, by what was applied last, whether or not anybody can be asked.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dataplane import statedir
from dataplane.daemon import shellprogram
from dataplane.events import kinds
from dataplane.events.events import Events
from dataplane.events.model import THIS_ENGINE
from dataplane.foreign.text import harmless

LOOK_EVERY = 1.0
"""Seconds between two looks at whether there is something to follow."""
PATIENCE = 10.0
"""Seconds that the program has to end."""
_SAID = 500
"""Characters of what it said that are told."""


class Following:
    """Has the program run while the state directory belongs to a cluster. state: the state directory; store: options
    that name the cluster, for one that does not yet; events: where it is told what went wrong."""

    def __init__(self, state: Path, store: Sequence[str], events: Events) -> None:
        self._state, self._store, self._events = state, store, events
        self._url, self._fault = "", ""

    def report(self) -> dict[str, Any] | None:
        """What there is to tell; None where the host shares nothing.

        {"store": that is followed, "" until it was reached once, "fault": why it is not followed, ""}
        """
        return {"store": self._url, "fault": self._fault} if self._url or self._fault else None

    async def run(self) -> None:
        """Run the program while it is needed, for ever."""
        while True:
            if self._store or (self._state / statedir.SHARED).exists():
                await self._follow()
            else:
                self._url = self._fault = ""
            await asyncio.sleep(LOOK_EVERY)

    async def _follow(self) -> None:
        """Until the program ends."""
        command = [*shellprogram.command("follow", self._state), "--while-input", *self._store]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=1 << 20, env=shellprogram.environment()
            )
        except OSError as exc:
            self._tell(f"{sys.executable}: {exc.strerror}")
            return
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            await asyncio.gather(self._hear(process.stdout, self._follows), self._hear(process.stderr, self._tell))
            await process.wait()
        finally:
            await _end(process)

    async def _hear(self, stream: asyncio.StreamReader, take: Callable[[str], None]) -> None:
        async for line in stream:
            take(harmless(line.decode("utf-8", "replace").strip(), _SAID))

    def _follows(self, said: str) -> None:
        """It reached the store."""
        self._url, self._fault = said.removeprefix("following "), ""

    def _tell(self, said: str) -> None:
        self._fault = said.removeprefix("avi-shell: error: ")
        text = f"what other hosts commit is not followed: {self._fault}"
        self._events.tell(kinds.CONFIGURATION_NOT_FOLLOWED, THIS_ENGINE, text)


async def _end(process: Process) -> None:
    """End a process that may have ended. Its standard input ends with this one, whatever happens to it."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(PATIENCE):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
