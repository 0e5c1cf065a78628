"""The placement of VIPs on the engines of hosts that share a configuration, as operators see it and steer it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from avi_shell.errors import Refused
from dataplane import plan
from dataplane.cluster.etcd import Etcd
from dataplane.errors import ClusterError, PlacementError
from dataplane.membership import requesting
from dataplane.plan import sqlite

if TYPE_CHECKING:
    from dataplane.membership.requesting import Seen
    from dataplane.placement.model import Place


class Placement:
    """Shows and changes placement. stored: a store's database, with the plan as last applied. Raises Refused for what
    is not possible or cannot be asked."""

    def __init__(self, etcd: Etcd, stored: sqlite3.Connection) -> None:
        self._etcd, self._stored = etcd, stored

    def seen(self) -> Seen:
        """Where all VIPs are."""
        try:
            return requesting.read(self._etcd, sqlite.read(self._stored))
        except ClusterError as exc:
            raise Refused(exc.what, hint=exc.remedy) from exc

    def request(self, decide: Callable[[Seen], Mapping[str, Place]]) -> Mapping[str, Place]:
        """Move VIPs. decide: returns the new places, by VIP. Returns them."""
        try:
            return requesting.request(self._etcd, sqlite.read(self._stored), decide)
        except (ClusterError, PlacementError) as exc:
            raise Refused(exc.what, hint=exc.remedy) from exc

    def warnings(self) -> list[str]:
        """Warnings about the room on engines; none if etcd does not answer."""
        with suppress(ClusterError):
            return requesting.short_of_spare(self._etcd, sqlite.read_common(self._stored) or plan.Common())
        return []
