"""An etcd that is full: commits are refused in words, what is there is still read, and it ends as the manual says."""

from pathlib import Path

import pytest

from avi_shell.errors import StoreError
from dataplane.cluster import operations as op
from dataplane.cluster import overview
from dataplane.cluster.etcd import Etcd
from dataplane.errors import ClusterError

from .hosts import Hosts, dump
from .members import Members, until

pytestmark = pytest.mark.root
QUOTA = 1 << 20
"""Bytes that the database may have."""


def test_a_full_etcd_refuses_commits_until_it_has_room_again(tmp_path: Path) -> None:
    def body() -> None:
        with Hosts(tmp_path, members.address("full")) as hosts:
            hosts.save(0, "before")
            etcd = members.client()
            fill(etcd)
            before = dump(hosts.folders[0])
            with pytest.raises(StoreError) as refused:
                hosts.save(0, "refused")
            told = "nothing was stored: etcd at 127.0.0.1:2379: etcdserver: mvcc: database space exceeded"
            assert refused.value.what == told
            assert "etcdctl defrag, and etcdctl alarm disarm" in refused.value.hint
            assert dump(hosts.folders[0]) == before
            hosts.equal()
            until(lambda: [one.alarms for one in overview.members(etcd)[0]] == ["NOSPACE"])
            make_room(etcd)
            hosts.save(1, "after")
            hosts.equal()
            assert hosts.open[0].names("pool", "admin") == ["after", "before"]

    with Members(tmp_path / "etcd", options=["--quota-backend-bytes", str(QUOTA)]) as members:
        members.run(body)


def fill(etcd: Etcd) -> None:
    """Write until it refuses."""

    def refuses() -> bool:
        try:
            etcd.put("/filler", bytes(QUOTA // 3))
        except ClusterError as exc:
            return "space exceeded" in exc.what
        return False

    until(refuses)


def make_room(etcd: Etcd) -> None:
    """What an operator does: the filler goes, `etcdctl defrag`, `etcdctl alarm disarm`."""
    etcd.compact(etcd.txn((), [op.delete("/filler")]).revision)
    etcd._call("/v3/maintenance/defragment", {})
    for member, alarm in etcd.alarms():
        etcd._call("/v3/maintenance/alarm", {"action": "DEACTIVATE", "memberID": member, "alarm": alarm})
