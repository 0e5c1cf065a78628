"""How engines of a group stand in for each other, in all three modes, and under XDP."""

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from avi_shell.configuration.document import reference
from dataplane.membership.heartbeats import RESTART
from tests.configuration.conftest import Site
from tests.polling import until

from .arpasking import GAP, SILENCE, Asking
from .segment import Host, Segment, segment, vip
from .test_moves import placed, shell

pytestmark = pytest.mark.root
LOADED = 1.0
"""Seconds that a machine full of tests may add."""
VIPS = [vip(index) for index in range(2)]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Segment]:
    with segment(tmp_path_factory.mktemp("segment"), ["a", "b", "c"]) as made:
        made.start()
        made.serve(len(VIPS), vs_scalein_timeout=1, dp_hb_timeout_count=round(SILENCE / 0.1))
        quiet = "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"
        made.spaces["server"].sh(f"{quiet}; ip addr add {VIPS[0]}/32 dev lo")
        made.configure(check)
        yield made


def check(site: Site) -> None:
    """Have the servers of the first virtual service checked, each second."""
    site.save("healthmonitor", name="each", type="HEALTH_MONITOR_PING", send_interval=1, receive_timeout=1)
    site.save("pool", name="pool0", health_monitor_refs=[reference("healthmonitor", "each")])


def become(there: Segment, mode: str, **fields: Any) -> None:
    def work(site: Site) -> None:
        site.save("serviceenginegroup", name="Default-Group", ha_mode=mode, **fields)

    there.configure(work)


def probes(there: Segment, name: str) -> int:
    """How many checks of servers have ended at an engine."""
    return int(there.hosts[name].status()["monitors"]["probes"])


def die(there: Segment, host: Host) -> float:
    """Cut a host from everything, when the others would believe its death. Returns when."""
    there.believe()
    host.link("store", "down")
    host.link("data", "down")
    return time.monotonic()


def revive(there: Segment, host: Host) -> None:
    host.link("store", "up")
    host.link("data", "up")
    there.believe()


def test_active_active_the_next_one_answers_and_another_one_joins(there: Segment, asking: Asking) -> None:
    become(there, "HA_MODE_SHARED_PAIR")
    until(lambda: len(placed(there)) == 2)
    first, second = placed(there)
    assert there.owner(asking, VIPS[0]).name == first
    begun = die(there, there.hosts[first])
    there.owner(asking, VIPS[0], [second])
    taken = asking.first(VIPS[0], there.hosts[second].mac, begun)
    assert taken is not None
    assert taken - begun <= SILENCE + 0.2 + LOADED + asking.late(begun, taken)
    (third,) = there.hosts.keys() - {first, second}
    until(lambda: placed(there) == [second, third])
    revive(there, there.hosts[first])
    assert there.owner(asking, VIPS[0], [second]).name == second, "who is back takes nothing"


def test_a_pair_switches_over_and_does_not_switch_back(there: Segment, asking: Asking) -> None:
    become(there, "HA_MODE_LEGACY_ACTIVE_STANDBY", hm_on_standby=False)
    until(lambda: all(len(placed(there, name)) == 2 for name in ("vs0", "vs1")))
    active, standby = placed(there)
    until(lambda: there.hosts[standby].tells("the checks of its servers rest until it is active", "checks_rest"))
    counted = probes(there, active)
    until(lambda: probes(there, active) > counted + 1)  # what the standby had begun has ended meanwhile
    before = probes(there, active), probes(there, standby)
    until(lambda: probes(there, active) > before[0])
    assert probes(there, standby) == before[1]
    assert placed(there, "vs1") == [active, standby], "all are active on one"
    for address in VIPS:
        there.owner(asking, address, [active])
    refused, _ = shell(there, f"migrate virtualservice vs0 to_se_ref {standby}", status=1)
    assert "is a pair of an active and a standby engine" in refused
    shell(there, f"switchover serviceengine {active}")
    until(lambda: probes(there, standby) > before[1])
    for address in VIPS:
        there.owner(asking, address, [standby])
        assert asking.longest(address, 0) <= GAP
    die(there, there.hosts[standby])
    for address in VIPS:
        there.owner(asking, address, [active])
    revive(there, there.hosts[standby])
    until(lambda: len(placed(there)) == 2)
    time.sleep(1)
    assert there.owner(asking, VIPS[0]).name == active, "who is back stands by"


def test_a_pair_that_shares_the_load_by_tags_gives_vips_back(there: Segment, asking: Asking) -> None:
    shares = {"distribute_load_active_standby": True, "auto_redistribute_active_standby_load": True}
    become(there, "HA_MODE_LEGACY_ACTIVE_STANDBY", hm_on_standby=True, **shares)
    until(lambda: len(placed(there)) == 2)
    one, two = sorted(placed(there))

    def tag(site: Site) -> None:
        site.save("virtualservice", name="vs1", active_standby_se_tag="ACTIVE_STANDBY_SE_2")

    there.configure(tag)
    there.owner(asking, VIPS[0], [one])
    there.owner(asking, VIPS[1], [two])
    die(there, there.hosts[two])
    there.owner(asking, VIPS[1], [one])
    revive(there, there.hosts[two])
    there.owner(asking, VIPS[1], [two])
    assert there.owner(asking, VIPS[0], [one])


def test_under_xdp_a_daemon_that_dies_has_half_a_minute_to_come_back(there: Segment, asking: Asking) -> None:
    become(there, "HA_MODE_SHARED")
    owner = there.owner(asking, VIPS[0])
    owner.end()
    owner.start("--driver", "xdp")
    there.believe()
    for address, name in zip(VIPS, ("vs0", "vs1"), strict=True):
        if there.owner(asking, address) is not owner:
            shell(there, f"migrate virtualservice {name} to_se_ref {owner.name}")
            there.owner(asking, address, [owner.name])
    time.sleep(1)
    asking.rounds.clear()
    owner.end(signal.SIGKILL)
    time.sleep(8)  # longer than a lease, and than heartbeats may fail to come
    assert {there.owner(asking, address).name for address in VIPS} == {owner.name}
    owner.start("--driver", "xdp")
    until(lambda: owner.members() == set(there.hosts), owner.log, 60)
    time.sleep(1)
    for address in VIPS:
        assert there.owner(asking, address) is owner
        assert asking.longest(address, 0) <= GAP
        assert asking.longest(address, 2) == 0
    asking.rounds.clear()
    owner.end(signal.SIGKILL)
    begun, others = time.monotonic(), [name for name in there.hosts if name != owner.name]
    heirs = {address: there.owner(asking, address, others) for address in VIPS}
    for address, heir in heirs.items():
        taken = asking.first(address, heir.mac, begun)
        assert taken is not None
        late = asking.late(begun, taken)
        # Its last heartbeat is older than its death where it stood still before.
        assert RESTART - 0.2 - asking.late(begun - 1, begun) <= taken - begun
        assert taken - begun <= RESTART + SILENCE + 0.2 + LOADED + late
        assert asking.longest(address, 0) <= SILENCE + 0.4 + LOADED + late
    owner.start("--driver", "xdp")
    until(lambda: owner.members() == set(there.hosts), owner.log, 60)
    time.sleep(1)
    for address, heir in heirs.items():
        assert there.owner(asking, address) is heir, "who comes too late takes nothing"
        assert asking.longest(address, 2) == 0, "a VIP never had two owners"
    assert owner.end() == 0
