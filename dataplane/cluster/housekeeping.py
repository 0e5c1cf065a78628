"""Compaction of etcd's history, which one host of a cluster does for all."""

from __future__ import annotations

import time

from dataplane.cluster import operations as op
from dataplane.cluster.etcd import Etcd

PERIOD = 3600.0
"""Seconds between two compactions; a compaction removes only history that is at least this old."""


class Housekeeping:
    """Compacts etcd's history if this host is elected. The elected host holds a key by its lease; the key goes with the
    host."""

    def __init__(self, etcd: Etcd, period: float = PERIOD) -> None:
        self._etcd = etcd
        self._period = period
        self._key = f"/avi/{etcd.address.cluster}/housekeeper"
        self._lease = 0
        self._before = 0  # the revision at the last look
        self._looked = time.monotonic()

    def due(self, revision: int) -> bool:
        """Compact if it is time to. revision: etcd's current one. Returns whether it was time. Raises ClusterError."""
        self._before = self._before or revision
        if time.monotonic() - self._looked < self._period:
            return False
        self._looked = time.monotonic()
        before, self._before = self._before, revision
        if not self._elected():
            return False
        self._etcd.compact(before)
        return True

    def _elected(self) -> bool:
        """Whether this host is elected: it was already, or no host is. Its lease outlives two periods."""
        if self._lease and self._etcd.keep_alive(self._lease):
            return True
        self._lease = self._etcd.lease(int(2 * self._period) + 1)
        if self._etcd.txn([op.absent(self._key)], [op.put(self._key, b"", lease=self._lease)]).succeeded:
            return True
        self._etcd.revoke(self._lease)
        self._lease = 0
        return False
