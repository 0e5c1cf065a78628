"""The registered drivers: their names, the numbers that choose them, and the words about them."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dataplane.bpf.libbpf import LITTLE_MEMORY, failed
from dataplane.drivers import registry, selection
from dataplane.drivers.dpdk.driver import DpdkDriver
from dataplane.drivers.pcap.driver import PcapDriver
from dataplane.drivers.xdp.driver import XdpDriver
from dataplane.errors import DriverError
from dataplane.forwarding.devices import How
from dataplane.kernel.objects import KernelObject


def names(entries: tuple[registry.Entry, ...]) -> list[str]:
    return [entry.name for entry in entries]


def test_a_driver_bears_the_name_that_it_is_registered_by() -> None:
    assert [XdpDriver.name, DpdkDriver.name, PcapDriver.name] == list(registry.NAMES)
    assert names(registry.candidates("xdp").entries) == ["xdp"]
    with pytest.raises(DriverError, match="no driver 'none'; there are xdp, dpdk, pcap"):
        registry.entry("none")


@pytest.mark.parametrize(
    ("use", "pmd", "on_names", "on_cards"),
    [
        (0, 0, ["xdp", "pcap"], ["xdp", "pcap"]),
        (0, 1, ["xdp", "pcap"], ["dpdk", "xdp", "pcap"]),
        (0, 2, ["xdp", "pcap"], ["xdp", "pcap"]),
        (1, 0, ["xdp"], ["dpdk"]),
        (1, 1, ["dpdk"], ["dpdk"]),
        (1, 2, ["xdp"], ["xdp"]),
        (2, 0, ["pcap"], ["pcap"]),
        (2, 1, ["pcap"], ["pcap"]),
        (3, 0, ["xdp", "pcap"], ["xdp", "pcap"]),
    ],
)
def test_se_use_dpdk_and_se_dpdk_pmd_choose(use: int, pmd: int, on_names: list[str], on_cards: list[str]) -> None:
    assert names(registry.numbered(use, pmd).entries) == on_names
    assert names(registry.numbered(use, pmd, cards=True).entries) == on_cards


def test_that_dpdk_is_wanted_and_no_card_is_given_is_told() -> None:
    assert "no interface is given as one" in registry.numbered(0, 1).reason
    assert not registry.numbered(0, 1, cards=True).reason


def test_the_words_of_the_command_line_name_every_driver() -> None:
    assert registry.CHOICES == ("auto", "xdp", "dpdk", "pcap")
    assert registry.explained().startswith("auto: xdp, else pcap; xdp: ")
    xdp, dpdk = "for XDP also CAP_BPF and CAP_PERFMON", "for DPDK also CAP_BPF and CAP_IPC_LOCK"
    assert registry.capabilities() == f"CAP_NET_ADMIN, CAP_NET_RAW; {xdp}; {dpdk}"


def test_a_command_line_imports_no_driver() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "dataplane", "run", "--help"]
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "xdp: the compiled decision in the kernel" in " ".join(told.stdout.split())
    assert "dataplane.drivers.registry" in told.stderr
    assert not [each for each in registry.NAMES if f"dataplane.drivers.{each}" in told.stderr]


class Made:
    """A registered driver of a test. log: what was asked of it, in order; fails: what its start raises."""

    def __init__(
        self,
        name: str,
        *,
        missing: DriverError | None = None,
        occupied: DriverError | None = None,
        fails: DriverError | None = None,
        runs: bool = False,
    ) -> None:
        self.log: list[str] = []
        self.name, self.missing, self.fails = name, missing, fails
        module: Any = SimpleNamespace(
            runs=lambda instance: runs,
            supported=self.supported,
            occupied=lambda instance, interfaces, how: occupied,
            start=self.start,
            remove=self.remove,
        )
        self.entry = registry.Entry(name, name.upper(), "", False, 1, False, False, (), lambda: module)

    def supported(self) -> DriverError | None:
        self.log.append("supported")
        return self.missing

    def remove(self, instance: str) -> list[KernelObject]:
        self.log.append("remove")
        return []

    def start(
        self, instance: str, state: Path, interfaces: Mapping[str, int], clear: Callable[[], object], how: How
    ) -> Made:
        self.log.append("start")
        if failed := self.missing or self.fails:
            raise failed
        clear()
        return self


def chosen(monkeypatch: pytest.MonkeyPatch, *drivers: Made) -> tuple[str, str]:
    """The driver that is chosen of several in this order, and why."""
    entries = tuple(each.entry for each in drivers)
    monkeypatch.setattr(registry, "DRIVERS", entries)
    driver, reason = selection.choose(registry.Wanted(entries), "se", Path("/"), {"eth0": 1})
    return driver.name, reason


def test_the_first_that_can_be_had_is_chosen_and_the_others_leftovers_go(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Made("first", missing=DriverError("no such card", remedy="buy one"))
    second = Made("second", occupied=DriverError("eth0 is taken", remedy="free it"))
    third, fourth = Made("third"), Made("fourth")
    reason = "FIRST cannot be had: no such card; try: buy one; SECOND cannot be had: eth0 is taken; to have it: free it"
    assert chosen(monkeypatch, first, second, third, fourth) == ("third", reason)
    assert [each.log for each in (first, second, third, fourth)] == [
        ["start", "supported", "remove"],  # its leftovers went when the third was there
        ["supported", "remove"],
        ["start"],  # without being tried before
        ["remove"],
    ]
    assert chosen(monkeypatch, third, second) == ("third", "the kernel allows THIRD")
    assert chosen(monkeypatch, third) == ("third", "third is configured")


def test_where_none_can_be_had_the_last_one_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    missing, taken = Made("one", missing=DriverError("no card")), Made("two", occupied=DriverError("eth0 is taken"))
    with pytest.raises(DriverError, match="ONE is wanted and cannot be had: no card") as refused:
        chosen(monkeypatch, taken, missing)
    assert refused.value.remedy == "--driver auto falls back to pcap"
    with pytest.raises(DriverError, match="eth0 is taken"):
        chosen(monkeypatch, missing, taken)


def test_where_there_is_no_memory_for_the_maps_the_next_driver_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start fails though a small trial loads. But what forwards without its process is not ended for that."""
    full = failed("create map flows", -errno.ENOMEM)
    first, second = Made("first", fails=full), Made("second")
    reason = f"FIRST cannot be had: create map flows: Cannot allocate memory; try: {LITTLE_MEMORY}"
    assert chosen(monkeypatch, first, second) == ("second", reason)
    with pytest.raises(DriverError, match="Cannot allocate memory") as refused:
        chosen(monkeypatch, first)
    assert refused.value.remedy == LITTLE_MEMORY
    with pytest.raises(DriverError, match="Cannot allocate memory"):
        chosen(monkeypatch, Made("first", fails=full, runs=True), second)
