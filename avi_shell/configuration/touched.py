"""What a commit in the making did so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from avi_shell.configuration.store import Entry


@dataclass(frozen=True, slots=True)
class Put:
    """An object that was put."""

    entry: Entry  # as stored now
    created: bool  # no such object was stored before
    changed: bool  # False where it is what was stored already


@dataclass(slots=True)
class Touched:
    """What a commit touched so far."""

    ids: dict[int, None] = field(default_factory=dict)  # of objects that it put, in order
    saved: set[int] = field(default_factory=set)  # of those, the ones that the operator saved himself
    common: bool = False  # what the engines share may have changed
    services: dict[int, None] = field(default_factory=dict)  # ids of virtual services to check and compile, in order
    gone: set[str] = field(default_factory=set)  # keys of the plan's services of what was removed
