"""VIPs that engines of several hosts answer ARP for: one engine each, whatever befalls engines, networks and etcd.

Bounds are those of a machine that does nothing else, and a second more.
"""

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.polling import until

from .arpasking import EVERY, GAP, SILENCE, Asking
from .segment import Host, Segment, segment, vip

pytestmark = pytest.mark.root
LOADED = 1.0
"""Seconds that a machine full of tests may add."""
BEAT = 0.1
"""Seconds between two heartbeats."""
VIPS = [vip(index) for index in range(3)]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Segment]:
    with segment(tmp_path_factory.mktemp("segment"), ["a", "b", "c"]) as made:
        made.serve(len(VIPS), dp_hb_timeout_count=round(SILENCE / BEAT))
        made.start()
        yield made


def followed(there: Segment, asking: Asking, dead: Host, begun: float) -> float:
    """Seconds from a time until another engine answers for the first VIP. Those that the machine stood still count as
    none."""
    others = [host for host in there.hosts.values() if host is not dead]
    found: list[float] = []

    def taken() -> bool:
        times = [asking.first(VIPS[0], host.mac, begun) for host in others]
        found[:] = [when - begun for when in times if when is not None]
        return bool(found)

    until(taken, lambda: "\n".join(host.log() for host in others), 20)
    return min(found) - asking.late(begun, begun + min(found))


def test_a_host_that_dies_is_followed_within_the_time_of_its_heartbeats(there: Segment, asking: Asking) -> None:
    owner = there.owner(asking, VIPS[0])
    there.believe()
    begun = time.monotonic()
    owner.link("store", "down")
    owner.link("data", "down")
    try:
        assert followed(there, asking, owner, begun) <= SILENCE + 0.2 + LOADED
        dead = f"engine {owner.name} is dead: its VIPs go to others", "member_lost"
        until(lambda: any(h.tells(*dead) for h in there.hosts.values()))
    finally:
        owner.link("store", "up")
        owner.link("data", "up")  # it still has them, by a place that is older
    there.believe()
    there.owner(asking, VIPS[0], [name for name in there.hosts if name != owner.name])
    assert asking.longest(VIPS[0], 2) <= BEAT + 2 * EVERY + LOADED


def test_an_engine_that_ends_hands_its_vips_over(there: Segment, asking: Asking) -> None:
    owner = there.owner(asking, VIPS[0])
    assert owner.end(signal.SIGTERM) == 0
    there.owner(asking, VIPS[0], [name for name in there.hosts if name != owner.name])
    assert asking.longest(VIPS[0], 0) <= GAP
    there.start(owner.name)


def test_an_engine_that_stands_still_loses_its_vips_and_does_not_keep_them(there: Segment, asking: Asking) -> None:
    there.believe()
    owner = there.owner(asking, VIPS[0])
    assert owner.process is not None
    owner.process.send_signal(signal.SIGSTOP)
    try:
        assert followed(there, asking, owner, time.monotonic()) <= SILENCE + 0.2 + LOADED
    finally:
        owner.process.send_signal(signal.SIGCONT)
    there.owner(asking, VIPS[0], [name for name in there.hosts if name != owner.name])
    assert asking.longest(VIPS[0], 2) <= BEAT + 2 * EVERY + LOADED
    there.believe()


def test_without_etcd_nobody_moves_and_afterwards_neither(there: Segment, asking: Asking) -> None:
    there.believe()
    before = {address: there.owner(asking, address).name for address in VIPS}
    there.etcd.kill(0)
    until(lambda: all(h.status()["membership"]["state"] == "cut off" for h in there.hosts.values()))
    time.sleep(6)  # all leases have ended
    there.etcd.start(0)
    there.believe()
    time.sleep(1)
    assert {address: there.owner(asking, address).name for address in VIPS} == before
    for address in VIPS:
        assert asking.longest(address, 0) <= GAP
        assert asking.longest(address, 2) == 0


def test_an_owner_that_is_cut_from_etcd_is_followed_without_a_gap(there: Segment, asking: Asking) -> None:
    owner = there.owner(asking, VIPS[0])
    begun = time.monotonic()
    owner.link("store", "down")
    try:
        assert followed(there, asking, owner, begun) <= 5.5 + LOADED
        there.owner(asking, VIPS[0], [name for name in there.hosts if name != owner.name])
        assert asking.longest(VIPS[0], 0) <= GAP
        assert asking.longest(VIPS[0], 2) <= BEAT + 2 * EVERY + LOADED
    finally:
        owner.link("store", "up")
    there.believe()


def test_a_lease_that_etcd_ends_by_mistake_moves_nobody(there: Segment, asking: Asking) -> None:
    there.believe()
    owner = there.owner(asking, VIPS[0])

    def end() -> int:
        etcd = there.etcd.client()
        (key,) = etcd.get(f"/avi/fleet/engine/{owner.name}")
        etcd.revoke(key.lease)
        return key.lease

    ended = there.etcd.run(end)

    def again() -> bool:
        return any(one.lease != ended for one in there.etcd.client().get(f"/avi/fleet/engine/{owner.name}"))

    begun = time.monotonic()
    until(lambda: there.etcd.run(again), owner.log)
    assert time.monotonic() - begun - asking.late(begun) <= 2 + LOADED
    time.sleep(1)
    assert there.owner(asking, VIPS[0]) is owner
    for address in VIPS:
        answered = {mac for _, answers in asking.rounds for mac in answers.get(socket.inet_aton(address), ())}
        assert answered == {there.owner(asking, address).mac}
