"""Where an engine's parts tell what happened: it is logged, remembered, written to disk and handed on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from dataplane.events import kinds, logformat
from dataplane.events.eventfile import EventFile
from dataplane.events.journal import MOST, Journal
from dataplane.events.model import LONGEST, THIS_ENGINE, Event, Kind, Severity, Subject
from dataplane.foreign.text import harmless
from dataplane.wording import counted

log = logging.getLogger("avi-se")

AT_ONCE, TIME = 200, 10.0
"""How many events of one kind are told in how many seconds; the rest are counted, and told as one."""
UNWRITTEN = 60.0
"""Seconds for which the disk may hold a repeated event with an older count."""


@dataclass(slots=True)
class _Flood:
    """The events of one kind of the last seconds."""

    until: float  # seconds since the epoch
    told: int = 0
    held: int = 0  # events that were not told
    last: str = ""  # the text of the last one that was not told


class Events:
    """Takes in events and hands them on. Used on the engine's loop. engine: its name; clock: seconds since the
    epoch."""

    def __init__(self, engine: str = "", clock: Callable[[], float] = time.time) -> None:
        self._engine, self._clock = engine, clock
        self._journal = Journal()
        self._file: EventFile | None = None
        self._fault = ""
        self._commit: int | None = None
        self._logs = True
        self._floods: dict[str, _Flood] = {}
        self._written: dict[int, float] = {}  # repeated events, and when each was written last
        self.counts = dict.fromkeys(kinds.ALL, 0)
        """How many events of each kind there were since the engine started."""
        self.heard: list[Callable[[Event], None]] = []
        """Functions that get every event as it happens, even those that are otherwise only counted."""

    def keep(self, file: EventFile, before: list[Event]) -> None:
        """Write events to a file from now on. before: the events of earlier runs that it holds already."""
        self._journal.adopt(before)
        self._file = file

    def tell(self, kind: Kind, about: Subject, text: str) -> None:
        """Something happened."""
        now = self._clock()
        if about == THIS_ENGINE:
            about = about._replace(name=self._engine)
        self.counts[kind.name] += 1
        flood = self._floods.get(kind.name)
        if flood is None or now >= flood.until or now < flood.until - TIME:
            self._end_flood(kind)
            flood = self._floods[kind.name] = _Flood(now + TIME)
        if flood.told >= AT_ONCE:
            if not flood.held:
                self._later(kind)
            flood.held, flood.last = flood.held + 1, text
            return
        flood.told += 1
        self._add(kind, about, text, now)

    def note(self, kind: Kind, about: Subject, text: str) -> None:
        """Record an event without logging it, because the caller that ends the process prints it."""
        self._logs = False
        self.tell(kind, about, text)
        self._logs = True

    @contextmanager
    def because_of(self, commit: int) -> Iterator[None]:
        """Mark all events that are told inside the block as caused by a commit."""
        before, self._commit = self._commit, commit
        try:
            yield
        finally:
            self._commit = before

    def by_severity(self) -> dict[str, int]:
        """How many there were since the engine started, by the word of their severity."""
        found = {severity.word: 0 for severity in Severity}
        for name, number in self.counts.items():
            found[kinds.ALL[name].severity.word] += number
        return found

    def newest(self, most: int) -> list[Event]:
        """The newest events, the newest last."""
        return self._journal.newest(most)

    def all(self) -> list[Event]:
        """All remembered events, the newest last."""
        return self._journal.all()

    def close(self) -> None:
        """End: tell what was only counted, and write everything to disk."""
        for name in list(self._floods):
            self._end_flood(kinds.ALL[name])
        if self._file is not None:
            for event in self._journal.all():
                if event.number in self._written:
                    self._file.put(event)
            self._file.close()
            self._file = None

    def _add(self, kind: Kind, about: Subject, text: str, now: float) -> None:
        event = self._journal.add(kind, about, harmless(text, LONGEST), now, self._engine, self._commit)
        if event.count & (event.count - 1) == 0:  # each doubling of a repeated one
            if self._logs:
                log.log(logformat.LEVELS[event.severity], "%s", event.words, extra={"event": event})
            self._write(event)
        elif now - self._written.get(event.number, 0.0) >= UNWRITTEN:
            self._write(event)
        for hear in self.heard:
            hear(event)

    def _write(self, event: Event) -> None:
        if self._file is None:
            return
        if event.count > 1:
            self._written[event.number] = event.last
            if len(self._written) > 2 * MOST:
                self._written = {one.number: one.last for one in self._journal.all() if one.number in self._written}
        self._file.put(event)
        if self._file.full:
            self._file.renew(self._journal.all())
        fault, self._fault = self._fault, self._file.fault
        if self._fault and self._fault != fault:
            self.tell(kinds.EVENTS_NOT_KEPT, THIS_ENGINE, f"events are not kept on disk: {self._fault}")

    def _later(self, kind: Kind) -> None:
        with suppress(RuntimeError):  # no loop runs: the next event of the kind tells
            asyncio.get_running_loop().call_later(TIME, self._end_flood, kind)

    def _end_flood(self, kind: Kind) -> None:
        flood = self._floods.pop(kind.name, None)
        if flood is not None and flood.held:
            more = f"{counted(flood.held, 'more event')} of kind {kind.name}; the last one: {flood.last}"
            self._add(kind, THIS_ENGINE._replace(name=self._engine), more, self._clock())
