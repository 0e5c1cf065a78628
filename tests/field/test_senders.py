"""Senders that leave checksums to their network device, as every container does: named, with what mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broken.world import CLIENT, VIP, inet
from tests.field import raw
from tests.field.world import UDP, counted, curl, field, forwards, rejects_nothing
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
        assert not diagnosed["verdict"], "the server is not to blame"
        assert [named in finding["what"] for finding in diagnosed["findings"] if finding["host"] == "engine"] == [True]

        world.sh("client", COMMAND.replace("IF", "eth0"))
        forwards(world)
        until(lambda: curl(world) and named not in told(), told)


def test_a_sender_in_a_vlan_whose_tag_a_veth_carries_beside_its_frames_is_named_with_the_command(
    tmp_path: Path,
) -> None:
    """XDP takes its frames for untagged ones, until the tag is put into them."""
    with field(tmp_path, "xdp", napi=True) as world:
        world.is_well()
        rejects_nothing(world)
        client, engine = world.spaces["client"].link("eth0")[1], world.spaces["engine"].link("eth0")[1]
        frame = raw.tagged(raw.datagram(engine, client, inet(CLIENT), inet(VIP), UDP, b"of VLAN 99"), 99)
        world.spaces["client"].run(lambda: raw.exchanged("eth0", [frame], b"of VLAN 99"))

        def told() -> str:
            report = world.status()
            return "; ".join(service["reason"] for service in report["services"]) if report else ""

        named = (
            f"{CLIENT} (MAC address {client.hex(':')}) sends to {VIP} in VLAN 99, and gets through: the veth engine0 "
        )
        until(lambda: named in told(), lambda: str(world.status()))
        world.sh("switch", told().partition("where engine0 is: ")[2].partition(";")[0])
        before = counted(world)
        question = raw.datagram(engine, client, inet(CLIENT), inet(VIP), UDP, b"untagged")
        came = world.spaces["client"].run(lambda: raw.exchanged("eth0", [frame, question], b"untagged"))
        assert not [one for one in came if b"VLAN" in one]
        until(lambda: counted(world) > before)
        assert counted(world) == before + 1


def test_the_pcap_driver_forwards_for_such_a_sender(tmp_path: Path) -> None:
    with field(tmp_path, "pcap") as world:
        forwards(world)
        report = world.status()
        assert report is not None
        assert not [service for service in report["services"] if "checksums" in service["reason"]]
