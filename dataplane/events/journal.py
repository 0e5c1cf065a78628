"""The events that are remembered: bounded, with repeated ones folded, so that noise cannot push out the rest.

The first `FEW` events with the same words about one object are kept as they come. Each further one within `WINDOW`
seconds of the last only raises a count, unless a commit caused it. At most `OF_ONE` events are kept of one object and
kind. When there are more than `MOST` in all, the oldest of the most frequent kind is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dataplane.events.model import Event, Kind, Subject

FEW = 3
"""How many events with the same words about one object are kept one by one."""
WINDOW = 600.0
"""Seconds after which the same event counts as a new one."""
OF_ONE = 50
"""The most events of one kind about one object."""
MOST = 2000
"""The most events of all."""


class Journal:
    """Remembers events, in the order in which they happened last."""

    def __init__(self) -> None:
        self._events: dict[int, Event] = {}
        self._of: dict[tuple[str, Subject], list[int]] = {}
        self._kinds: dict[str, dict[int, None]] = {}
        self._next = 1

    def adopt(self, events: Iterable[Event]) -> None:
        """Take over what an earlier run remembered; before anything is added."""
        for event in sorted(events, key=lambda one: (one.last, one.number)):
            self._enter(event)
            self._next = max(self._next, event.number + 1)

    def add(self, kind: Kind, about: Subject, text: str, at: float, engine: str, commit: int | None = None) -> Event:
        """Add an event. Returns it, or the earlier event whose count it raised."""
        mine = [self._events[number] for number in self._of.get((kind.name, about), ())]
        same = [event for event in mine if event.text == text and at - event.last < WINDOW]
        # what an operator caused is no noise, and what came later has another cause
        same = [event for event in same if event.commit is None] if commit is None else []
        if len(same) >= FEW or (same and same[-1].count > 1):
            event = replace(same[-1], last=at, count=same[-1].count + 1)
            self._forget(event.number)
            self._enter(event)
            return event
        event = Event(self._next, at, at, 1, kind.name, kind.severity, about, text, engine, commit)
        self._next += 1
        self._enter(event)
        return event

    def all(self) -> list[Event]:
        """Every event that is remembered, the newest last."""
        return list(self._events.values())

    def newest(self, most: int) -> list[Event]:
        """The newest events, the newest last."""
        return self.all()[-most:]

    def _enter(self, event: Event) -> None:
        self._events[event.number] = event
        mine = self._of.setdefault((event.kind, event.about), [])
        mine.append(event.number)
        kind = self._kinds.setdefault(event.kind, {})
        kind[event.number] = None
        if len(mine) > OF_ONE:
            self._forget(mine[0])
        elif len(self._events) > MOST:
            most = max(self._kinds, key=lambda name: len(self._kinds[name]))
            self._forget(next(iter(self._kinds[most])))

    def _forget(self, number: int) -> None:
        event = self._events.pop(number)
        mine, kind = self._of[event.kind, event.about], self._kinds[event.kind]
        mine.remove(number)
        if not mine:
            del self._of[event.kind, event.about]
        del kind[number]
        if not kind:
            del self._kinds[event.kind]
