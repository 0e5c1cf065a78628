"""What DPDK is refused for, each with what mends it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataplane.drivers import registry, selection
from dataplane.drivers.dpdk import program
from dataplane.drivers.dpdk.program import Options
from dataplane.errors import DriverError
from dataplane.forwarding import devices
from dataplane.forwarding.devices import AF_PACKET, AF_XDP, PCI, Device, How

CARD = Device(PCI, "0000:01:00.0", "eth1", True)
INSTANCE = f"avi-test-{os.getpid()}"


@pytest.mark.parametrize("wanted", [registry.candidates("dpdk"), registry.numbered(1, 1)], ids=["--driver", "fields"])
@pytest.mark.parametrize(
    ("sources", "what"), [("", "the forwarder is not built here"), ("0123", "the forwarder was built of other sources")]
)
def test_without_a_forwarder_of_these_sources(
    wanted: registry.Wanted, sources: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tmp_path / "forwarder"
    if sources:
        built.write_text(f"#!/bin/sh\necho {sources}\n")
        built.chmod(0o755)
    monkeypatch.setattr(program, "BINARY", built)
    with pytest.raises(DriverError, match=what) as refused:
        selection.choose(wanted, INSTANCE, tmp_path, {})
    assert refused.value.remedy == "make dpdk"


def test_memory_is_huge_pages_where_enough_are_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "FREE_PAGES", tmp_path / "free")
    card = Options("one", cards=[CARD.where])
    (tmp_path / "free").write_text("127\n")
    with pytest.raises(DriverError, match="127 huge pages of 2 MiB are free, 128 are needed") as refused:
        program.memories(card)
    assert refused.value.remedy == "sysctl -w vm.nr_hugepages=256"
    (ordinary,) = program.memories(Options("one"))
    (tmp_path / "free").write_text("128\n")
    (huge,) = program.memories(card)
    assert program.memories(Options("one")) == [huge, ordinary], "others may take them meanwhile"
    assert "--no-huge" in ordinary
    command = program.command(tmp_path, tmp_path / "control", card, huge)
    assert command[command.index("-a") + 1] == CARD.where


@pytest.mark.parametrize("driver", ["xdp", "pcap"])
def test_a_card_for_another_driver(driver: str, tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="eth1 is given as pci") as refused:
        selection.choose(registry.candidates(driver), INSTANCE, tmp_path, {"eth1": 1}, How({"eth1": CARD}))
    assert refused.value.remedy == "--driver dpdk"


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("eth0", Device("", "eth0", "eth0")),
        ("eth0.7", Device("", "eth0.7", "eth0.7")),
        ("af_xdp:eth0", Device(AF_XDP, "eth0", "eth0")),
        ("af_packet:eth0", Device(AF_PACKET, "eth0", "eth0")),
        ("af_packet:nic0=eth1", Device(AF_PACKET, "nic0", "eth1", True)),
        ("pci:0000:01:00.0=eth1", CARD),
    ],
)
def test_an_interface_is_read(text: str, device: Device) -> None:
    assert devices.parse(text) == device


@pytest.mark.parametrize(
    "text",
    [
        "", "a name", "pci:0000:01:00.0", "pci:01:00.0=eth1", "af_packet:", "tap:eth0", "eth0=eth1", "af_xdp:eth0=eth1",
        "pci:0000:01:00.0=averylongname", "an_interfaces_name",
    ],
)  # fmt: skip
def test_what_names_no_interface(text: str) -> None:
    with pytest.raises(DriverError, match=repr(text)):
        devices.parse(text)
