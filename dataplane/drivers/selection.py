"""Which driver moves the frames: chosen from the command line, else from the group's `se_use_dpdk`.

auto  0  the fast driver (XDP) where kernel and interfaces allow it, else pcap
xdp   1  the fast driver, or refuse
pcap  2  the reference decision on AF_PACKET sockets
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dataplane.drivers.xdp import attachment
from dataplane.drivers.xdp import driver as xdpdriver
from dataplane.drivers.xdp import pins as xdppins
from dataplane.errors import DriverError
from dataplane.forwarding.driver import Driver

AUTO, XDP, PCAP = "auto", "xdp", "pcap"
CHOICES = (AUTO, XDP, PCAP)
BY_NUMBER: Mapping[int, str] = {0: AUTO, 1: XDP, 2: PCAP}
"""The values of `se_use_dpdk`."""


def choose(wanted: str, instance: str, state: Path, interfaces: Mapping[str, int]) -> tuple[Driver, str]:
    """A driver and why it is this one. instance names the engine among all on this machine; state: its state directory;
    interfaces: index by name.

    Raises DriverError when `xdp` is wanted and cannot be had, naming what is missing or in the way; also where another
    process is this engine's driver.
    """
    if wanted == PCAP:
        return _pcap(instance), "pcap is configured"
    runs = xdpdriver.runs(instance)
    missing = None if runs else xdpdriver.supported()
    if missing is None:
        occupied = attachment.occupied(instance, interfaces)
        if occupied is None:
            reason = "xdp is configured" if wanted == XDP else "the kernel allows XDP"
            try:
                return xdpdriver.XdpDriver(instance, state), reason
            except DriverError:
                missing = xdpdriver.supported() if runs else None  # it may be another program than runs
                if missing is None:
                    raise
        elif wanted == XDP:
            raise occupied
        else:
            return _pcap(instance), f"XDP cannot be had: {occupied.what}; to have it: {occupied.remedy}"
    if wanted == XDP:
        remedy = missing.remedy or "--driver auto falls back to pcap"
        raise DriverError(f"XDP is wanted and cannot be had: {missing.what}", remedy=remedy)
    return _pcap(instance), f"XDP cannot be had: {missing.what}" + (
        f"; try: {missing.remedy}" if missing.remedy else ""
    )


def holder(instance: str, interface: int) -> xdppins.Holder | None:
    """The other engine of ours that forwards on an interface by XDP, if one does."""
    try:
        return attachment.holder(instance, interface)
    except DriverError:  # without BPF nobody does
        return None


def _pcap(instance: str) -> Driver:
    """The pcap driver alone: what XDP driver of this engine's was left to the kernel ends."""
    from dataplane.drivers.pcap import driver as pcap

    xdppins.remove(instance)
    return pcap.PcapDriver(instance)
