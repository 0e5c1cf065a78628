"""The events that are remembered: bounded, with repeated ones folded, so that noise cannot push out the rest.

What happened to one object in the same words `FEW` times is told as it comes. Each further time within `WINDOW` seconds
of the last one only counts, unless a commit caused it. Of one object and kind at most `OF_ONE` events are kept. Where
there are more than `MOST` of all, the oldest of the kind that has most is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dataplane.events.model import Event, Kind, Subject

FEW = 3
"""Events of the same words about one object that are kept by themselves."""
WINDOW = 600.0
"""Seconds without it after which an event is no longer a repeated one."""
OF_ONE = 50
"""Events of one kind about one object."""
MOST = 2000
"""Events of all."""


class Journal:
    """In the order in which events happened last."""

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
        """Something happened. Returns the event: a new one, or an earlier one that counts this time, too."""
        mine = [self._events[number] for number in self._of.get((kind.name, about), ())]
        same = [event for event in mine if event.text == text and at - event.last < WINDOW]
        same = same if commit is None else []  # what somebody did is no noise
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
