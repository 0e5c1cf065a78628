"""Hosts of a cluster are upgraded one by one, and one goes back: `python -m tests.cluster.upgrade`.

Until the last one is upgraded both releases commit, and engines of both forward by what either committed.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from avi_shell.configuration.shared import SharedConfiguration
from tests import earlier
from tests.polling import until

from .hosts import dump
from .segment import SERVER, Host, Segment, segment, vip

NAMES = ("a", "b", "c")
_PROFILE = """
configure networkprofile dsr
profile
tcp_fast_path_profile
dsr_profile dsr_type dsr_type_l2
save
save
"""
_SERVICE = """
configure pool {name} lb_algorithm lb_algorithm_consistent_hash
servers ip {server} port 80
save
save
configure vsvip {name}
vip ip_address {vip}
save
save
configure virtualservice {name} application_profile_ref System-L4-Application network_profile_ref dsr
pool_ref {name}
vsvip_ref {name}
services port 80
save
save
"""


class Upgrade:
    """The hosts, and what was committed on them. before: the checkout of the earlier release."""

    def __init__(self, there: Segment, before: Path) -> None:
        self.there, self.before, self.vips = there, before, list[str]()
        self.hosts = list(there.hosts.values())

    def run(self) -> None:
        """All of it."""
        for host in self.hosts:
            self.change(host, self.before)
        self.hosts[0].shell(_PROFILE)
        self.hosts[0].shell("configure serviceenginegroup Default-Group max_vs_per_se 50\nsave\n")
        self.everybody_commits()
        for host in self.hosts:
            self.change(host, earlier.ROOT)
            if host is self.hosts[0]:
                self.confirms(host)
            self.everybody_commits()
        self.change(self.hosts[-1], self.before)
        self.everybody_commits()
        self.joins(self.before)
        self.change(self.hosts[-1], earlier.ROOT)
        self.everybody_commits()
        self.joins(earlier.ROOT)
        self.renewed()

    def change(self, host: Host, code: Path) -> None:
        """Run a host by another release: it ends, and starts again with what it has."""
        host.end()
        host.code = code
        host.start()
        until(lambda: self.served(host) == self.vips, lambda: f"{self.served(host)}: {host.log()}", 60)

    def everybody_commits(self) -> None:
        """A virtual service is made on every host, and forwarded by every engine; the next host changes it."""
        for index, host in enumerate(self.hosts):
            self.vips.append(vip(len(self.vips)))
            name = f"vs{len(self.vips)}"
            host.shell(_SERVICE.format(name=name, server=SERVER, vip=self.vips[-1]))
            self.hosts[index - 1].shell(f"configure pool {name} description changed\nsave\n")
        for host in self.hosts:
            until(lambda h=host: self.served(h) == self.vips, host.log, 60)  # type: ignore[misc]
        self.equal(host.state for host in self.hosts)

    def confirms(self, host: Host) -> None:
        """What waits to be confirmed on an upgraded host stays, whatever the others commit."""
        host.shell("configure pool tried\nsave confirm 5\n")
        self.hosts[1].shell("configure pool meanwhile\nsave\n")
        assert "Commit" in host.shell("confirm\n")
        assert "tried" in self.hosts[1].shell("show pool tried\n")

    def joins(self, code: Path) -> None:
        """A host that is new begins with the snapshot of an upgraded one."""
        there, store = self.there, self.there.etcd.address("fleet")

        def snapshot() -> bool:
            with closing(SharedConfiguration.join(there.shell, store)) as configuration:
                return configuration.write_snapshot()

        assert there.etcd.run(snapshot)
        new = Host("new", there.spaces["client"], there.shell.with_name(f"new{len(self.vips)}"), store.url)
        new.code = code
        assert f"vs{len(self.vips)}" in new.shell("show virtualservice\n")
        self.equal((new.state, self.hosts[0].state))

    def renewed(self) -> None:
        """What the earlier release stored without effect has one when an operator says that all are upgraded."""
        host = self.hosts[0]
        assert not redundancy(host), "it had no effect there: take a field that had none"
        told = host.avi_shell("cluster", "upgrade")
        assert "Successfully upgraded the plan" in told
        assert redundancy(host)
        for other in self.hosts:
            until(lambda h=other: redundancy(h) == redundancy(host), other.log, 60)  # type: ignore[misc]
        self.equal(one.state for one in self.hosts)

    @staticmethod
    def served(host: Host) -> list[str]:
        """The VIPs that an engine forwards, in the order of their numbers."""
        found = {one["vip"] for one in host.status().get("services", ())}
        return [one for one in map(vip, range(len(found) + 1)) if one in found]

    @staticmethod
    def equal(states: Iterable[Path]) -> None:
        """See that stores are equal, row ids included, and that the history has no gap."""
        first, *others = [dump(state) for state in states]
        assert all(other == first for other in others)
        numbers = [row[0] for row in first["history"]]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))


def redundancy(host: Host) -> Any:
    """What its plan has of how engines stand in for each other."""
    with closing(sqlite3.connect(host.state / "config.db")) as store:
        (found,) = store.execute("SELECT document FROM plan WHERE key = ''").fetchone()
    return json.loads(found).get("redundancy")


def upgrade(folder: Path, commit: str = earlier.BEFORE) -> int:
    """Upgrade three hosts from a commit to what is here. Returns how many virtual services were made meanwhile."""
    before = earlier.checked_out(folder / "before", commit)
    with segment(folder, NAMES) as there:
        made = Upgrade(there, before)
        made.run()
    return len(made.vips)


def main() -> int:
    """Do it, and say so."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.upgrade", description=__doc__)
    parser.add_argument("--before", default=earlier.BEFORE, help="commit (default: %(default)s)")
    commit = parser.parse_args().before
    with tempfile.TemporaryDirectory(prefix="avi-fleet-") as name:
        count = upgrade(Path(name), commit)
    print(f"three hosts were upgraded from {commit}, one went back: {count} services made meanwhile, stores are equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
