"""Has commits undone that nobody confirmed in time. The shell's program does it, as a process of its own. The engine
only watches the time: the program finds out what is to be undone, whether that is possible, and who was faster."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path
from typing import Any

from dataplane.daemon import shellprogram
from dataplane.events import kinds
from dataplane.events.events import Events
from dataplane.events.model import THIS_ENGINE
from dataplane.foreign.text import harmless
from dataplane.plan.source import PlanSource
from dataplane.plan.unconfirmed import Unconfirmed, Watch

log = logging.getLogger("avi-se")

LOOK_EVERY = 0.2
"""Seconds between two looks at the time."""
AGAIN_AFTER = 10.0
"""Seconds until the program is started again, where it did not end what was to be ended."""
PATIENCE = 120.0
"""Seconds that it has."""
_SAID = 500
"""Characters of what it said that are told."""


class Undoing:
    """Watches what waits to be confirmed. state: the state directory; events: where it is told what went wrong."""

    def __init__(self, state: Path, source: PlanSource, events: Events) -> None:
        self._state, self._source, self._events = state, source, events
        self._watch = Watch()
        self._told = ""

    async def run(self) -> None:
        """Watch, for ever."""
        while True:
            waits = self._source.unconfirmed
            if waits is not None and self._watch.over(waits):
                await self._undo(waits)
                await self._gone(waits)
            await asyncio.sleep(LOOK_EVERY)

    async def _undo(self, waits: Unconfirmed) -> None:
        command = shellprogram.command("undo-unconfirmed", self._state)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                *("--deadline", repr(waits.deadline)),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                env=shellprogram.environment(),
            )
        except OSError as exc:
            self._tell(f"{sys.executable}: {exc.strerror}")
            return
        try:
            async with asyncio.timeout(PATIENCE):
                said, _ = await process.communicate()
        except TimeoutError:
            self._tell(f"it takes more than {PATIENCE:.0f} s")
            return
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        text = harmless(said.decode("utf-8", "replace").strip().rpartition("\n")[2], _SAID)
        if process.returncode:
            self._tell(text.removeprefix("avi-shell: error: "))
        elif not text.startswith("Nothing "):  # else another one undid it
            self._events.tell(kinds.CONFIGURATION_UNDONE, THIS_ENGINE, text)

    def _tell(self, why: str) -> None:
        told = f"what was not confirmed is not undone: {why}"
        if told != self._told:
            self._told = told
            self._events.tell(kinds.CONFIGURATION_NOT_UNDONE, THIS_ENGINE, told)

    async def _gone(self, waits: Unconfirmed) -> None:
        """Until the store is seen without what waited, or it is time to try again."""
        self._source.wake()
        until = time.monotonic() + AGAIN_AFTER
        while self._source.unconfirmed == waits and time.monotonic() < until:
            await asyncio.sleep(LOOK_EVERY)


def report(waits: Unconfirmed | None) -> dict[str, Any] | None:
    """What waits, as engines tell it: {"commits": numbers, "deadline": seconds since 1970, "fault": why it could not be
    undone then, ""}; None for nothing."""
    return None if waits is None else {"commits": waits.commits, "deadline": waits.deadline, "fault": waits.fault}
