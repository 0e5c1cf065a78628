"""Everything that breaks a server, for real: the engine says which it is, the healthy one beside it stays up, and the
printed commands mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplane.plan import L2
from tests.broken.case import Case
from tests.broken.server_cases import CASES
from tests.broken.world import VIP, built
from tests.polling import until

pytestmark = pytest.mark.root


TRIED = [(driver, case) for case in CASES for driver in case.drivers]


@pytest.mark.parametrize(
    ("driver", "case"), TRIED, ids=[f"{case.mode}, {driver}: {case.title}" for driver, case in TRIED]
)
def test_a_broken_server(driver: str, case: Case, tmp_path: Path) -> None:
    with built(tmp_path, case.mode, driver) as world:
        assert world.sh("broken", "cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
        case.breaks(world)
        (world.has_told if case.passing else world.reports)(case.state, case.reason)
        assert world.server("healthy")["state"] == "up"
        found = [finding for finding in world.diagnose()["findings"] if finding["grave"]]
        assert not case.told or any(case.told in finding["what"] for finding in found), found
        commands = [(finding["host"], command) for finding in found for command in finding["commands"]]
        assert len(commands) == case.mends, commands
        for host, command in commands:
            world.sh("broken" if host == "server" else "engine", command)
        case.restores(world)
        world.is_well()


def test_who_forwards_to_a_server_that_answers_arp_is_down_all_the_same(tmp_path: Path) -> None:
    """The other server would answer the probes that are forwarded to it: they do not go that far."""
    with built(tmp_path, L2) as world:
        world.sh("healthy", "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.eth0.arp_ignore=0")
        world.reports("down", "answers ARP for the VIP", "healthy")
        mac = world.sh("healthy", "ip -br link show eth0").split()[2]
        world.sh("broken", f"ip neigh replace {VIP} lladdr {mac} dev eth0; ip addr del {VIP}/32 dev lo")
        world.reports("down", "VIP missing on its loopback")
        with pytest.raises(AssertionError, match="never up"):
            until(lambda: world.server()["state"] == "up", lambda: "never up", seconds=4)
