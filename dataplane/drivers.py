"""Which driver moves the frames: chosen from the command line, else from the group's `se_use_dpdk`.

auto  0  the fast driver (XDP) where kernel and interfaces allow it, else pcap
xdp   1  the fast driver, or refuse
pcap  2  the reference decision on AF_PACKET sockets
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from . import pcap, xdpdriver
from .errors import DriverError
from .forwarding import Driver

AUTO, XDP, PCAP = "auto", "xdp", "pcap"
CHOICES = (AUTO, XDP, PCAP)
BY_NUMBER: Mapping[int, str] = {0: AUTO, 1: XDP, 2: PCAP}
"""The values of `se_use_dpdk`."""


def choose(wanted: str, instance: str, interfaces: Mapping[str, int]) -> tuple[Driver, str]:
    """A driver and why it is this one. instance names the engine among all on this machine; interfaces: index by name.

    Raises DriverError when `xdp` is wanted and cannot be had, naming what is missing or in the way.
    """
    if wanted == PCAP:
        return _pcap(instance), "pcap is configured"
    missing = xdpdriver.supported()
    if missing is None:
        foreign = xdpdriver.foreign(instance, interfaces)
        if foreign is None:
            reason = "xdp is configured" if wanted == XDP else "the kernel allows XDP"
            return xdpdriver.XdpDriver(instance), reason
        if wanted == XDP:
            raise foreign
        return _pcap(instance), f"XDP cannot be had: {foreign.what}; to remove it: {foreign.remedy}"
    if wanted == XDP:
        remedy = missing.remedy or "--driver auto falls back to pcap"
        raise DriverError(f"XDP is wanted and cannot be had: {missing.what}", remedy=remedy)
    return _pcap(instance), f"XDP cannot be had: {missing.what}" + (
        f"; try: {missing.remedy}" if missing.remedy else ""
    )


def _pcap(instance: str) -> Driver:
    """The pcap driver alone: what XDP driver of this engine's was left to the kernel ends."""
    with suppress(DriverError):  # where there is no BPF, nothing was left
        xdpdriver.remove(instance)
    return pcap.PcapDriver(instance)
