"""What a change of the configuration did."""

from __future__ import annotations

from dataclasses import dataclass

from avi_shell.configuration.document import Document
from avi_shell.configuration.store import Store


@dataclass(frozen=True, slots=True)
class Saved:
    """What a save did."""

    document: Document  # as stored
    created: bool  # no such object was stored before
    notices: tuple[str, ...]  # what the operator should know
    version: int  # of the commit; of the last one where nothing changed
    changed: bool  # False if it was stored like this already
    needs_engine: bool  # the plan forwards for a virtual service that this commit is about


@dataclass(slots=True)
class Settling:
    """A change of what waits to be confirmed."""

    store: Store  # for writing it
    version: int = 0  # of the commit that it is, where several hosts share the configuration


class Undone(Exception):
    """Ends a commit without a fault: everything that it put is taken back."""
