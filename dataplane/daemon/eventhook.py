"""The operator's program that is run on events, in the box of monitors' scripts (`health.probes.sandbox`).

One runs at a time, and has `LIMIT` seconds. Its standard input is the event as a JSON object, in which `at_time` and
`last_time` stand beside `at` and `last`, as in reports; variables say the same to a shell script. It sees every event
of its severity, also one that is only counted elsewhere. While it runs, a newer event of the same kind about the same
object takes the place of one that waits. That it fails is an event, too, on which it is not run.
"""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from dataplane.errors import EngineError, command
from dataplane.events import kinds
from dataplane.events.events import Events
from dataplane.events.model import THIS_ENGINE, Event, Severity, Subject
from dataplane.foreign.text import harmless
from dataplane.health.probes import sandbox
from dataplane.wording import timed

LIMIT = 10.0
"""Seconds that the program has."""
WAITING = 100
"""Events that wait for it."""
LAST = 2.0
"""Seconds for the events that wait when the engine ends."""
USER = 0x41550000
"""The number of its user and group, which nobody else has: of scripts, the mark of a server's route is the user."""


class Wanted(NamedTuple):
    """What an engine was told to run."""

    program: Path
    least: Severity = Severity.WARNING  # events of this severity, and of worse ones


def refusal(program: Path) -> str:
    """Why a program cannot be run by a user without rights, with what mends it; "" where it can."""
    if not program.is_absolute():
        return "expected the whole path of a program, such as /usr/local/bin/notify"
    hidden = next((there for there in sandbox.HIDDEN if program.is_relative_to(there)), None)
    if hidden is not None:
        return f"it is in {hidden}, which the program does not see; put it elsewhere, such as in /usr/local/bin"
    try:
        told = program.stat()
        closed = [one for one in program.parents if not one.stat().st_mode & stat.S_IXOTH]
    except OSError as exc:
        return f"{exc.strerror}"
    if not stat.S_ISREG(told.st_mode):
        return "it is no file"
    if told.st_mode & stat.S_IWOTH:
        return f"every user may write to it; {command('chmod o-w {}', program)}"
    if told.st_mode & (need := stat.S_IXOTH | stat.S_IROTH) != need:
        return f"it is run by a user without rights, who may not; {command('chmod o+rx {}', program)}"
    if closed:
        return f"a user without rights does not get into {closed[-1]}; {command('chmod o+x {}', closed[-1])}"
    return ""


class Hook:
    """Of one engine. events: where it hears, and tells that the program failed."""

    def __init__(self, wanted: Wanted, events: Events) -> None:
        self._program, self._least, self._events = wanted.program, wanted.least, events
        self._waiting: dict[tuple[str, Subject], Event] = {}
        self._lost = 0
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    def hear(self, event: Event) -> None:
        """Have the program run for an event, if it is to be."""
        if event.severity > self._least or event.kind == kinds.HOOK_FAILED.name:
            return
        key = event.kind, event.about
        if self._waiting.pop(key, None) is None and len(self._waiting) >= WAITING:
            self._lost += 1
            return
        self._waiting[key] = event
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Run the program for one event after the other, for ever."""
        while True:
            while self._waiting:
                event = self._waiting.pop(next(iter(self._waiting)))
                if fault := await self._run(event):
                    text = f"{self._program} failed on an event of kind {event.kind}: {fault}"
                    self._events.tell(kinds.HOOK_FAILED, THIS_ENGINE, text)
            if self._lost:
                lost, self._lost = self._lost, 0
                text = f"{self._program} takes longer than events come: {lost} of them it has not seen"
                self._events.tell(kinds.HOOK_FAILED, THIS_ENGINE, text)
            self._idle.set()
            await self._wake.wait()
            self._wake.clear()

    async def done(self) -> None:
        """Wait until it was run for all events, or for a time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST):
                await self._idle.wait()

    async def _run(self, event: Event) -> str:
        """Run it once. Returns what went wrong, "" for nothing."""
        try:
            words = [str(self._program)]
            process = sandbox.start(words, USER, USER, dict(_variables(event)), json.dumps(timed(event.data())))
        except (OSError, ValueError) as exc:
            return str(exc)
        ended = await sandbox.watch(process, LIMIT)
        said = ended.errors.strip().splitlines()
        reason = f": {harmless(said[-1])}" if said else ""
        if not ended.by_itself:
            return f"it has not ended within {LIMIT:.0f} s{reason}"
        return f"it ended with {process.returncode}{reason}" if process.returncode else ""


@asynccontextmanager
async def hooked(events: Events, wanted: Wanted | None) -> AsyncIterator[None]:
    """Events are handed to a program meanwhile, if there is one. Raises EngineError where it cannot be run."""
    if wanted is None:
        yield
        return
    if why := refusal(wanted.program):
        raise EngineError(f"--on-event: {wanted.program} cannot be run: {why}")
    if lacking := sandbox.lacking():
        raise EngineError(f"--on-event: {wanted.program} cannot be run: the engine lacks {', '.join(lacking)}")
    hook = Hook(wanted, events)
    events.heard.append(hook.hear)
    job = asyncio.create_task(hook.run())
    try:
        yield
    finally:
        await hook.done()
        events.heard.remove(hook.hear)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)


def _variables(event: Event) -> Iterator[tuple[str, str]]:
    yield "ENGINE", event.engine
    yield "KIND", event.kind
    yield "SEVERITY", event.severity.word
    yield "OBJECT", event.about.kind
    yield "NAME", event.about.name
    yield "TEXT", event.words
