"""What one host of a cluster does for all: it has etcd forget what keys held long ago."""

from __future__ import annotations

import time

from dataplane.cluster import operations as op
from dataplane.cluster.etcd import Etcd

PERIOD = 3600.0
"""Seconds between two compactions: what is forgotten then is at least as old."""


class Housekeeping:
    """The part of one host. Whoever holds the lease does it; its key goes when the host does."""

    def __init__(self, etcd: Etcd, period: float = PERIOD) -> None:
        self._etcd = etcd
        self._period = period
        self._key = f"/avi/{etcd.address.cluster}/housekeeper"
        self._lease = 0
        self._before = 0  # the revision at the last look
        self._looked = time.monotonic()

    def due(self, revision: int) -> bool:
        """Do what is due. revision: of etcd now. Returns whether something was. Raises ClusterError."""
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
        """Whether this host is the one: it was, or nobody is. Its lease outlives two periods."""
        if self._lease and self._etcd.keep_alive(self._lease):
            return True
        self._lease = self._etcd.lease(int(2 * self._period) + 1)
        if self._etcd.txn([op.absent(self._key)], [op.put(self._key, b"", lease=self._lease)]).succeeded:
            return True
        self._etcd.revoke(self._lease)
        self._lease = 0
        return False
