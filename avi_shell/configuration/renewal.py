"""The plan of an older release, made anew: it lacks what that release stored without effect.

On a host alone the first shell does it that opens the store. Hosts that share a configuration do it when an operator
says that all of them have the new release (`shared`): what an older one commits meanwhile lacks it again.
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
