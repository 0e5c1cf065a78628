"""Where an engine's plan comes from.

A source is a small interface, so that a plan shared by engines on several machines can take its place beside the store
of this one (`storesource`).
"""

from __future__ import annotations

from typing import Protocol

from dataplane.plan import Common, Mark, Plan
from dataplane.plan.unconfirmed import Unconfirmed


class PlanSource(Protocol):
    """Follows a plan. Used on one event loop, which it never blocks."""

    async def read(self) -> Plan:
        """The whole plan as it is now; an empty one where there is none yet. Raises PlanError."""

    async def common(self) -> Common | None:
        """What the engines share, as it is now: read in no time, however long the plan is. None where there is none, or
        it cannot be read: `read` tells why."""

    async def newer(self, after: Mark) -> Plan:
        """Wait until there is a newer version than `after`, and return what changed since. Returns the whole plan where
        it is of another store, or of one that went back to an older state. Raises PlanError where the plan cannot be
        read: once, however long that lasts. The next call waits for the next change."""

    @property
    def unconfirmed(self) -> Unconfirmed | None:
        """The commits that are undone at a deadline unless somebody confirms them, as of the last look at the plan."""

    def wake(self) -> None:
        """There may be a newer version: look at once."""

    def reread(self) -> None:
        """Look at once, and read the whole plan again."""

    def close(self) -> None:
        """End. Nobody waits for a version any more."""
