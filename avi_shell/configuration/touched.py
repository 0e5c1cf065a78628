"""What a commit in the making did so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from avi_shell.configuration.entry import Entry
from avi_shell.configuration.walks import Reference


class Put(NamedTuple):
    """An object that was put."""

    entry: Entry  # as stored now
    created: bool  # no such object was stored before
    changed: bool  # False where it is what was stored already


@dataclass(slots=True)
class Touched:
    """What a commit touched so far."""

    entries: dict[int, Entry] = field(default_factory=dict)  # objects that it put, in order, as they are stored now
    references: dict[int, list[Reference]] = field(default_factory=dict)  # those in each of them
    created: set[int] = field(default_factory=set)  # of the objects, those that were not stored before
    saved: set[int] = field(default_factory=set)  # of those, the ones that the operator saved himself
    holders: list[Entry] = field(default_factory=list)  # those whose own addresses changed
    common: bool = False  # what the engines share may have changed
    services: dict[int, None] = field(default_factory=dict)  # ids of virtual services to check and compile, in order
    gone: set[str] = field(default_factory=set)  # keys of the plan's services of what was removed
