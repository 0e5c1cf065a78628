"""Makes an older release's plan anew, because it lacks fields that had no effect in that release.

On a single host the first shell that opens the store does this. Hosts that share a configuration do it when an operator
says that all of them have the new release (`shared`), because commits of an older host would lack the fields again.
"""

from __future__ import annotations

from avi_shell.configuration.configuration import NOBODY, Configuration
from avi_shell.configuration.record import Author
from avi_shell.configuration.saved import Undone
from dataplane.plan import sqlite

ACTION = "upgrade"
"""Of the commit, in the history."""


def renew(configuration: Configuration, by: Author = NOBODY) -> int:
    """Make the plan anew, in a commit if it is another one. Returns the commit, 0 for none. Raises StoreError."""
    version = 0
    with configuration.bulk(ACTION, by) as (store, made):
        made.replan()
        if store.newest_planned() < made.version:
            raise Undone
        version = made.version
    with configuration.transaction() as store:
        sqlite.set_plan_format(store.connection)
    return version
