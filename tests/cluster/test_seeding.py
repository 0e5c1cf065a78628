"""Where the hosts of a cluster begin: seeds, snapshots, hosts that may not join, and an etcd that lost what it had."""

import zlib
from pathlib import Path

import pytest

from avi_shell.configuration import shared
from avi_shell.configuration.configuration import Configuration
from avi_shell.configuration.record import Author
from avi_shell.configuration.shared import SharedConfiguration
from avi_shell.errors import Refused, StoreError
from dataplane.cluster import log as logs
from dataplane.cluster import operations as op
from dataplane.errors import ClusterError

from .hosts import Hosts, Run, dump

pytestmark = pytest.mark.root


def test_a_snapshot_takes_the_place_of_old_commits(hosts: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def body(hosts: Hosts) -> None:
        monkeypatch.setattr(shared, "SNAPSHOT_EVERY", 8)
        monkeypatch.setattr(logs, "KEPT", 3)
        log = hosts.open[0].log
        head, _ = log.read(0)
        assert head is not None
        begun = head.version
        for number in range(8):
            hosts.save(0, f"p{number}")
        head, kept = log.read(0)
        assert head is not None
        assert head.version == begun + 8
        assert [one.number for one in kept] == [begun + 6, begun + 7, begun + 8]
        assert len(log.etcd.get(f"/avi/{hosts.address.cluster}/part/", f"/avi/{hosts.address.cluster}/part0")) == 1
        hosts.save(0, "later")
        hosts.equal()
        new = hosts.folders[0].with_name("new")
        SharedConfiguration.join(new, hosts.address).close()
        assert dump(new) == dump(hosts.folders[0])

    hosts(body)


def test_a_cluster_that_is_seeded_anew_is_followed(hosts: Run, tmp_path: Path) -> None:
    def body(hosts: Hosts) -> None:
        hosts.save(0, "before")
        hosts.save(1, "other")
        with pytest.raises(Refused, match="has a configuration already"):
            shared.seed(tmp_path / "third", hosts.address, None, Author())
        own = Configuration.open(tmp_path / "third")
        own.save("pool", {"name": "third"}, "admin")
        own.close()
        number = shared.seed(tmp_path / "third", hosts.address, None, Author(), replace=True)
        hosts.equal()
        assert hosts.open[0].names("pool", "admin") == ["third"]
        assert hosts.save(1, "next") == number + 1
        hosts.equal()

    hosts(body)


def test_an_etcd_that_lost_commits_is_filled_again_by_command_alone(hosts: Run) -> None:
    def body(hosts: Hosts) -> None:
        hosts.save(0, "p1")
        number = hosts.save(0, "p2")
        one, other = hosts.open
        log, prefix = one.log, f"/avi/{hosts.address.cluster}/"
        log.etcd.txn((), [op.delete(f"{prefix}log/{number:012}")])
        with pytest.raises(StoreError, match=f"nothing was stored: commit {number} of this host is not in etcd"):
            hosts.save(0, "p3")
        assert f"commit {number} of this host is not in etcd" in one.follow()
        assert hosts.save(1, "q2") == number, "this host knows nothing of what was lost"
        with pytest.raises(StoreError, match=f"commit {number} of .* is not the one of cluster"):
            SharedConfiguration.join(hosts.folders[0], hosts.address)
        log.etcd.txn((), [op.delete(prefix, op.following(prefix))])
        for index in range(2):
            with pytest.raises(StoreError, match="etcd holds no configuration of cluster"):
                hosts.open[index].save("pool", {"name": "p4"}, "admin")
        shared.seed(hosts.folders[0], hosts.address, None, Author())
        hosts.equal()
        assert other.names("pool", "admin") == ["p1", "p2"]

    hosts(body)


def test_a_host_with_commits_of_its_own_does_not_join(hosts: Run, tmp_path: Path) -> None:
    def body(hosts: Hosts) -> None:
        own = Configuration.open(tmp_path / "third")
        own.save("pool", {"name": "third"}, "admin")
        own.close()
        with pytest.raises(StoreError, match="has commits of its own .1.,") as caught:
            SharedConfiguration.join(tmp_path / "third", hosts.address)
        assert "cluster reload" in caught.value.hint
        assert Configuration.open(tmp_path / "third").names("pool", "admin") == ["third"]
        SharedConfiguration.join(tmp_path / "third", hosts.address, anew=True).close()
        assert dump(tmp_path / "third") == dump(hosts.folders[0])
        stray = Configuration.open(hosts.folders[1])
        stray.save("pool", {"name": "stray"}, "admin")
        stray.close()
        with pytest.raises(StoreError, match=r"commit 2 of .* is not the one of cluster"):
            SharedConfiguration.join(hosts.folders[1], hosts.address)
        hosts.save(0, "other")
        with pytest.raises(StoreError, match=r"commit 2 of .* is not the one of cluster"):
            SharedConfiguration.join(hosts.folders[1], hosts.address)
        with pytest.raises(StoreError, match="belongs to cluster"):
            SharedConfiguration.join(hosts.folders[0], hosts.address.__class__(hosts.address.endpoints, "another"))

    hosts(body)


def test_what_etcd_holds_is_checked(hosts: Run) -> None:
    def body(hosts: Hosts) -> None:
        log, prefix = hosts.open[0].log, f"/avi/{hosts.address.cluster}/"
        number = hosts.save(0, "p")
        key = f"{prefix}log/{number:012}"
        (stored,) = log.etcd.get(key)
        line = stored.value.partition(b"\n")[0]
        for damaged, told in (
            (b"nonsense", "not understood: nonsense"),
            (stored.value[:-10], "is cut short"),
            (
                line + b"\n" + zlib.compress(b'{"format": 99}'),
                "commit 2 in etcd: .* format 99",
            ),
            (stored.value.replace(b"\n", b"\n?"), "is damaged"),
        ):
            log.etcd.put(key, damaged)
            with pytest.raises(ClusterError, match=told):
                hosts.open[1].catch_up()
        assert "is damaged" in hosts.open[1].follow()
        log.etcd.put(key, stored.value)
        hosts.equal()

    hosts(body)
