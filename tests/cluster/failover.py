"""VIPs of several engines while hosts die, networks fall apart and etcd is away, at full size: `python -m
tests.cluster.failover`. It prints what it measured, and ends with status 1 where a bound is not kept."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from avi_shell.errors import ShellError
from dataplane.membership.heartbeats import RESTART
from tests.bgp.traffic import Datagrams
from tests.configuration.conftest import Site
from tests.polling import until

from .arpasking import EVERY, Asking
from .datagrams import flowing, served
from .segment import Host, Segment, segment, vip
from .test_moves import shell

SILENCE, BEAT = 1.0, 0.1
"""Seconds without heartbeats after which an engine is taken for dead, and between two of them."""
MOVED = SILENCE + 0.2
"""Seconds within which a dead engine's VIPs have another."""
UNDER_XDP, SHARE = "c", 5
"""The host whose driver is XDP; the others' is pcap. And VIPs that it has at least, when that matters."""
GAP = 0.3
"""Seconds without an answer: an engine on packet sockets that is asked 4,000 times a second is late now and then."""


class Report:
    """What was measured, against its bound."""

    def __init__(self) -> None:
        self.failed = False

    def bound(self, what: str, seconds: float, most: float) -> None:
        """Print a time, and whether it is short enough."""
        kept = seconds <= most
        self.failed |= not kept
        print(f"{what}: {seconds:.2f} s, at most {most:.2f} s{'' if kept else ': NOT KEPT'}", flush=True)

    def true(self, what: str, kept: object) -> None:
        """Print whether something is so."""
        self.failed |= not kept
        print(f"{what}: {'yes' if kept else 'NO'}", flush=True)

    def none(self, what: str, datagrams: Datagrams) -> None:
        """Print how many datagrams were lost of how many, and whether none was."""
        self.failed |= bool(datagrams.lost)
        print(f"{what}: {datagrams.lost} of {datagrams.sent}{': NOT KEPT' if datagrams.lost else ''}", flush=True)


class Fleet:
    """The segment under test, asked all the while for all VIPs."""

    def __init__(self, there: Segment, asking: Asking, vips: list[str]) -> None:
        self.there, self.asking, self.vips = there, asking, vips

    def owners(self) -> dict[str, str]:
        """The one owner of each VIP, by address, once each has one."""
        names = {host.mac: host.name for host in self.there.hosts.values()}
        found: dict[str, str] = {}

        def each() -> bool:
            answers = {address: self.asking.answering(address) for address in self.vips}
            found.clear()
            found.update({a: names[next(iter(macs))] for a, macs in answers.items() if len(macs) == 1})
            return len(found) == len(self.vips)

        until(each, lambda: f"{len(found)} of {len(self.vips)} have one owner", 60)
        return dict(found)

    def calm(self) -> dict[str, str]:
        """The owners, when deaths would be believed. What was asked before is forgotten."""
        self.there.believe()
        found = self.owners()
        self.asking.rounds.clear()
        return found

    def last(self, moved: list[str], dead: Host, begun: float) -> float:
        """Seconds from a time until the last of some VIPs was answered for by another engine."""
        others = [host for host in self.there.hosts.values() if host is not dead]
        found: dict[str, float] = {}

        def all_of_them() -> bool:
            for address in moved:
                for when in (self.asking.first(address, host.mac, begun) for host in others):
                    if when is not None:
                        found[address] = when - begun
            return len(found) == len(moved)

        until(all_of_them, lambda: f"{len(found)} of {len(moved)} moved", 30)
        return max(found.values())

    def doubled(self) -> float:
        """The longest time that any VIP had two owners for."""
        return max(self.asking.longest(address, 2) for address in self.vips)

    def silent(self) -> float:
        """The longest time that any VIP had none for."""
        return max(self.asking.longest(address, 0) for address in self.vips)


def death(fleet: Fleet, report: Report) -> None:
    """A host dies with a share of the VIPs, and comes back."""
    owners = fleet.calm()
    dead = fleet.there.hosts[max(set(owners.values()), key=list(owners.values()).count)]
    moved = [address for address, name in owners.items() if name == dead.name]
    begun = time.monotonic()
    dead.link("store", "down")
    dead.link("data", "down")
    report.bound(
        f"a host dies with {len(moved)} VIPs, until the last is answered for", fleet.last(moved, dead, begun), MOVED
    )
    dead.link("store", "up")
    dead.link("data", "up")
    fleet.calm()
    report.bound("it comes back: two answer for a VIP", fleet.doubled(), BEAT + 2 * EVERY)


def cut(fleet: Fleet, report: Report) -> None:
    """A host is cut off from etcd alone."""
    owners = fleet.calm()
    host = fleet.there.hosts[owners[fleet.vips[0]]]
    moved = [address for address, name in owners.items() if name == host.name]
    begun = time.monotonic()
    host.link("store", "down")
    report.bound(
        f"a host with {len(moved)} VIPs is cut off from etcd, until all moved", fleet.last(moved, host, begun), 6.7
    )
    fleet.owners()
    report.bound("nobody answers for a VIP", fleet.silent(), GAP)
    report.bound("two answer for a VIP", fleet.doubled(), BEAT + 2 * EVERY)
    host.link("store", "up")


def deaf(fleet: Fleet, report: Report) -> None:
    """Heartbeats of one host are lost, and nothing else."""
    owners = fleet.calm()
    host = fleet.there.hosts[owners[fleet.vips[0]]]
    host.there.sh(
        "nft add table ip deaf; nft 'add chain ip deaf in { type filter hook input priority 0; }'\n"
        "nft 'add chain ip deaf out { type filter hook output priority 0; }'\n"
        "nft add rule ip deaf in udp dport 1550 drop; nft add rule ip deaf out udp dport 1550 drop"
    )
    time.sleep(5)
    after = fleet.owners()
    names = {one.mac: one.name for one in fleet.there.hosts.values()}
    stayed = {address for address, name in owners.items() if name != host.name}
    moved = {
        a
        for a in stayed
        for _, answers in fleet.asking.rounds
        for mac in answers.get(socket.inet_aton(a), ())
        if names[mac] != owners[a]
    }
    report.true("heartbeats of a host are lost: nothing moves to it, nor away from the others", not moved)
    report.true("its own VIPs are with others", host.name not in after.values())
    report.bound("two answer for a VIP", fleet.doubled(), BEAT + 2 * EVERY)
    host.there.sh("nft delete table ip deaf")
    fleet.there.believe()
    report.true("they come again: nobody moves", fleet.owners() == after)


def quorum(fleet: Fleet, report: Report, seconds: float) -> None:
    """etcd has no quorum for a while."""
    hosts = fleet.there.hosts.values()
    owners = _calm_on(fleet, [host.name for host in hosts])
    with flowing(fleet.there, fleet.vips[:SHARE]) as datagrams:
        fleet.there.etcd.kill(0)
        fleet.there.etcd.kill(1)
        until(lambda: all(host.status()["membership"]["state"] == "cut off" for host in hosts), seconds=60)
        refused = ""
        try:
            fleet.there.configure(_pool)
        except ShellError as exc:
            refused = exc.what
        report.true(f"save is refused ({refused})", refused)
        time.sleep(seconds)
        report.true(f"without a quorum for {seconds:.0f} s nobody moves", fleet.owners() == owners)
        fleet.there.etcd.start(0)
        fleet.there.etcd.start(1)
        fleet.there.believe()
        time.sleep(2)
        report.true("with a quorum again nobody moves", fleet.owners() == owners)
    carriers = {owners[address] for address in fleet.vips[:SHARE]}
    report.none(f"datagrams lost of VIPs on {len(carriers)} engines", datagrams)
    report.bound("nobody answers for a VIP", fleet.silent(), GAP)
    report.bound("two answer for a VIP", fleet.doubled(), 0.0)


def ended(fleet: Fleet, report: Report) -> None:
    """The daemon of an ARP owner is killed, whose kernel forwards on; it is started again when its VIPs have moved."""
    owners, host = _calm_under_xdp(fleet)
    moved = [address for address, name in owners.items() if name == host.name]
    with flowing(fleet.there, fleet.vips[:SHARE]) as datagrams:
        begun = time.monotonic()
        host.end(signal.SIGKILL)
        time.sleep(RESTART - 2)
        report.true(f"a daemon with {len(moved)} VIPs is killed: its kernel answers for them", fleet.owners() == owners)
        after = fleet.last(moved, host, begun)
        report.bound("until the last is answered for by another engine", after, RESTART + MOVED)
        fleet.owners()
    report.none("datagrams lost", datagrams)
    report.bound("nobody answers for a VIP", fleet.silent(), MOVED + GAP)
    others = fleet.owners()
    host.start("--driver", "xdp")
    fleet.there.believe()
    report.true("it is started again: nobody moves", fleet.owners() == others)
    report.bound("two answer for a VIP", fleet.doubled(), 0.0)


def frozen(fleet: Fleet, report: Report) -> None:
    """The process of an ARP owner stands still as a whole, and its kernel forwards on; then it goes on."""
    owners, host = _calm_under_xdp(fleet)
    moved = [address for address, name in owners.items() if name == host.name]
    assert host.process is not None
    begun = time.monotonic()
    host.process.send_signal(signal.SIGSTOP)
    report.bound(
        f"a process with {len(moved)} VIPs is frozen, until the last is answered for by another engine",
        fleet.last(moved, host, begun),
        MOVED,
    )
    fleet.owners()
    report.bound("its kernel answers, too", fleet.doubled(), RESTART + 2 * EVERY)
    fleet.asking.rounds.clear()
    host.process.send_signal(signal.SIGCONT)
    fleet.there.believe()
    report.bound("it goes on: two answer for a VIP", fleet.doubled(), BEAT + 2 * EVERY)


def _calm_under_xdp(fleet: Fleet) -> tuple[dict[str, str], Host]:
    """The owners, and the host whose driver is XDP, once it has some of the VIPs."""
    return _calm_on(fleet, [UNDER_XDP] * SHARE), fleet.there.hosts[UNDER_XDP]


def _calm_on(fleet: Fleet, names: Sequence[str]) -> dict[str, str]:
    """The owners, once the first VIPs are on these hosts."""
    owners, wanted = fleet.calm(), dict(zip(fleet.vips, names, strict=False))
    away = [number for number, address in enumerate(wanted) if owners[address] != wanted[address]]
    if away:
        shell(fleet.there, *(f"migrate virtualservice vs{number} to_se_ref {names[number]}" for number in away))
    until(lambda: fleet.owners().items() >= wanted.items(), seconds=60)
    return fleet.calm()


def member(fleet: Fleet, report: Report) -> None:
    """One member of etcd is cut off, the one that leads."""
    owners = fleet.calm()
    leader = fleet.there.etcd.leader()
    fleet.there.etcd.stop(leader)
    time.sleep(10)
    report.true("the leader of etcd stands still for 10 s: nobody moves", fleet.owners() == owners)
    fleet.there.etcd.go_on(leader)
    fleet.there.believe()
    report.true("it goes on: nobody moves", fleet.owners() == owners)


def _pool(site: Site) -> None:
    site.save("pool", name="never")


@contextmanager
def fleet_of(folder: Path, vips: int) -> Iterator[Fleet]:
    """Three hosts, three members of etcd, and VIPs spread over the hosts."""
    with segment(folder, ["a", "b", "c"], 3) as there:
        there.hosts[UNDER_XDP].start("--driver", "xdp")
        there.start(*(name for name in there.hosts if name != UNDER_XDP))
        there.serve(vips, algo="PLACEMENT_ALGO_DISTRIBUTED")
        addresses = [vip(index) for index in range(vips)]
        try:
            with Asking(there.spaces["client"], addresses) as asking, served(there, addresses[:SHARE]):
                yield Fleet(there, asking, addresses)
        finally:
            there.hosts[UNDER_XDP].end()


def main() -> int:
    """Run all of it. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.failover", description=__doc__)
    parser.add_argument("--vips", type=int, default=200, help="virtual services (default: %(default)s)")
    parser.add_argument("--without", type=float, default=60.0, help="seconds without a quorum (default: %(default)s)")
    arguments = parser.parse_args()
    report = Report()
    work: list[Callable[[Fleet, Report], None]] = [
        death,
        cut,
        deaf,
        ended,
        frozen,
        member,
        lambda fleet, report: quorum(fleet, report, arguments.without),
    ]
    with tempfile.TemporaryDirectory(prefix="avi-failover-") as name, fleet_of(Path(name), arguments.vips) as fleet:
        for one in work:
            one(fleet, report)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
