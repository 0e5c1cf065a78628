"""An engine with exactly the capabilities that it asks for, as in a container that drops all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplane import plan
from dataplane.drivers import registry
from dataplane.health.probes import sandbox
from tests.broken.world import MONITOR, World
from tests.drivers import every_driver
from tests.field.world import field, forwards

pytestmark = pytest.mark.root

SCRIPT = plan.Monitor(
    "m2", plan.MONITOR_EXTERNAL, send_interval=1, receive_timeout=2, successful_checks=1, failed_checks=1,
    script="echo up",
)  # fmt: skip


def wanted(driver: str) -> list[str]:
    """What a driver needs, as the engine says it."""
    return ["CAP_NET_ADMIN", "CAP_NET_RAW", *registry.entry(driver).capabilities]


def bound(world: World, capabilities: list[str]) -> None:
    """Start the engine with these capabilities alone."""
    plus = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities)
    world.around = ["setpriv", "--inh-caps=-all", f"--bounding-set=-all,{plus}"]


@every_driver
def test_an_engine_runs_with_what_it_asks_for(driver: str, tmp_path: Path) -> None:
    with field(tmp_path, driver, napi=True, runs=False) as world:
        world.sh("client", "ethtool -K eth0 tx off")
        bound(world, wanted(driver))
        world.start_engine()
        world.is_well()
        forwards(world)
        told = world.status()
        assert told is not None
        assert told["driver"]["notes"] == []
        assert told["kernel"] == []


def test_scripts_need_more(tmp_path: Path) -> None:
    with field(tmp_path, "pcap", runs=False) as world:
        world.publish(monitors=(MONITOR, SCRIPT))
        bound(world, wanted("pcap"))
        world.start_engine()
        world.reports("down", f"the engine lacks {', '.join(sandbox.CAPABILITIES)}")
        world.end_engine()
        bound(world, [*wanted("pcap"), *sandbox.CAPABILITIES])
        world.start_engine()
        world.is_well()


@pytest.mark.parametrize(("driver", "lacking"), [("pcap", "CAP_NET_RAW"), ("xdp", "CAP_BPF"), ("xdp", "CAP_NET_ADMIN")])
def test_an_engine_without_one_of_them_says_so(driver: str, lacking: str, tmp_path: Path) -> None:
    with field(tmp_path, driver, napi=True, runs=False) as world:
        bound(world, [name for name in wanted(driver) if name != lacking])
        wrong, remedy = world.refused()
        assert "Traceback" not in wrong
        assert lacking in wrong + remedy
