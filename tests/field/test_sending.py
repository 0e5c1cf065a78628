"""Frames that the engine's network driver would lose: seen at the start, told of, and nothing is green meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplane.drivers import selection
from tests.field.world import curl, field, forwards, vip
from tests.polling import until

pytestmark = pytest.mark.root

FAR_END = "no frame that XDP sends leaves by eth0: its far end, the veth engine0, has no XDP program"


def test_auto_takes_pcap_where_the_far_end_of_a_veth_takes_no_frames_from_xdp(tmp_path: Path) -> None:
    with field(tmp_path, "auto") as world:
        told = world.status()
        assert told is not None
        assert told["driver"]["name"] == "pcap"
        assert FAR_END in told["driver"]["reason"]
        assert "times fewer frames" in told["driver"]["reason"]
        forwards(world)


def test_the_xdp_driver_refuses_such_a_veth_with_the_command_that_mends_it(tmp_path: Path) -> None:
    with field(tmp_path, "xdp", runs=False) as world:
        wrong, remedy = world.refused()
        assert FAR_END in wrong
        world.sh("switch", "ethtool -K engine0 gro on")  # not enough: frames of XDP_TX wait in its ring
        assert world.refused() == (wrong, remedy)
        assert remedy.startswith("ip link set dev engine0 xdpdrv ")
        world.sh("switch", remedy)
        world.sh("client", "ethtool -K eth0 tx off")
        world.start_engine()
        world.is_well()
        forwards(world)


def test_nothing_is_green_while_no_frame_leaves(tmp_path: Path) -> None:
    """The far end loses its NAPI while the engine runs, as when a container is made anew."""
    with field(tmp_path, "xdp", napi=True) as world:
        world.sh("client", "ethtool -K eth0 tx off")
        forwards(world)
        world.sh("switch", "ip link set engine0 xdp off")
        curl(world, patience=1)
        for server in ("broken", "healthy"):
            world.reports("down", FAR_END, server)
        until(lambda: not vip(world)["announced"], lambda: str(world.status()))
        told = world.status()
        assert told is not None
        assert told["dropped"]["tx_lost"] > 0
        assert {service["state"] for service in told["services"]} == {"down"}
        assert [interface["fault"] for interface in told["interfaces"]] == [FAR_END]
        assert world.diagnose("healthy")["verdict"] == FAR_END

        world.spaces["switch"].run(lambda: selection.prepare_peer("xdp", "engine0"))
        world.is_well()
        until(lambda: bool(vip(world)["announced"]), lambda: str(world.status()))
        forwards(world)


@pytest.mark.parametrize("kind", ["bridge", "macvlan"])
def test_auto_takes_pcap_where_generic_xdp_would_lose_unsegmented_frames(kind: str, tmp_path: Path) -> None:
    with field(tmp_path, "auto", kind=kind) as world:
        told = world.status()
        assert told is not None
        assert told["driver"]["name"] == "pcap"
        assert f"lan0 ({kind}) has generic XDP only" in told["driver"]["reason"]
        assert "times fewer frames" in told["driver"]["reason"]
        forwards(world)


@pytest.mark.parametrize("kind", ["bridge", "macvlan"])
def test_the_xdp_driver_refuses_a_bridge_and_a_macvlan(kind: str, tmp_path: Path) -> None:
    with field(tmp_path, "xdp", kind=kind, runs=False) as world:
        wrong, remedy = world.refused()
        assert f"lan0 ({kind}) has generic XDP only" in wrong
        assert "--driver pcap" in remedy
