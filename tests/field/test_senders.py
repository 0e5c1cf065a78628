"""Senders that leave checksums to their network device, as every container does: named, with what mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broken.world import CLIENT
from tests.field.world import curl, field, forwards
from tests.polling import until

pytestmark = pytest.mark.root

COMMAND = "ethtool -K IF tx off"


def test_a_sender_that_leaves_checksums_to_its_device_is_named_with_the_command(tmp_path: Path) -> None:
    with field(tmp_path, "xdp", napi=True) as world:
        mac = world.spaces["client"].link("eth0")[1].hex(":")
        named = f"{CLIENT} (MAC address {mac}) leaves checksums to its network device"
        assert curl(world, patience=3) == ""

        def told() -> str:
            report = world.status()
            return "; ".join(service["reason"] for service in report["services"]) if report else ""

        until(lambda: named in told(), lambda: str(world.status()))
        assert COMMAND in told()
        report = world.status()
        assert report is not None
        assert any(named in event["text"] for event in report["events"])
        diagnosed = world.diagnose("healthy")
        assert named in diagnosed["verdict"]

        world.sh("client", COMMAND.replace("IF", "eth0"))
        forwards(world)


def test_the_pcap_driver_forwards_for_such_a_sender(tmp_path: Path) -> None:
    with field(tmp_path, "pcap") as world:
        forwards(world)
        report = world.status()
        assert report is not None
        assert not [service for service in report["services"] if "checksums" in service["reason"]]
