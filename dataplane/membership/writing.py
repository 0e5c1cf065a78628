"""What engines write into etcd of placement. Each write holds only if what it was decided from is still there."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dataplane.cluster import operations as op
from dataplane.cluster.etcd import Etcd
from dataplane.cluster.operations import Json
from dataplane.membership import heartbeat, places
from dataplane.membership.places import Placer
from dataplane.placement.model import Place

_AT_ONCE = 60
"""Places of one transaction: etcd takes 128 operations."""


def secret(etcd: Etcd, key: str) -> None:
    """Make the cluster's secret, unless there is one. Raises ClusterError."""
    etcd.txn([op.absent(key)], [op.put(key, secrets.token_bytes(heartbeat.SECRET))])


def elect(etcd: Etcd, lease: int, key: str, placer: Placer) -> bool:
    """Make an engine the one that places, if it is still the one of the same revision; 0: nobody is. It is for as long
    as the engine's lease lives. Raises ClusterError."""
    return (
        bool(lease)
        and etcd.txn([op.unchanged(key, placer.revision)], [op.put(key, placer.text(), lease=lease)]).succeeded
    )


def write(
    etcd: Etcd,
    folder: str,
    changes: Mapping[str, Place | None],
    epochs: Mapping[str, int],
    compare: Sequence[Json] = (),
) -> bool:
    """Write places, by VIP; None removes one. epochs: that they were decided from, 0 where there was none; compare:
    what must hold beside. Returns whether all were. Raises ClusterError."""
    names = list(changes)
    for at in range(0, len(names), _AT_ONCE):
        some = names[at : at + _AT_ONCE]
        unchanged = [op.unchanged(folder + name, epochs.get(name, 0)) for name in some]
        done = [_change(folder + name, changes[name]) for name in some]
        if not etcd.txn([*compare, *unchanged], done).succeeded:
            return False
    return True


def _change(key: str, place: Place | None) -> Json:
    return op.delete(key) if place is None else op.put(key, places.text(replace(place, epoch=0)))
