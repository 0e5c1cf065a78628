"""Whether XDP really forwards what comes to an interface: some interfaces take its program and lose frames
nevertheless."""

from __future__ import annotations

from dataplane.drivers.xdp.attachment import GENERIC, NATIVE
from dataplane.drivers.xdp.sending import SendingWatch
from dataplane.errors import DriverError, command
from dataplane.network import ethtool, features

_SOFTWARE_BUSES = ("", "N/A", "tun", "tap")
"""What interfaces that are no device of a bus tell as its address."""
_SEND_UNSEGMENTED = ("tun",)
"""Network drivers that give a native program no segments that a sender left to its card, but run it as generic."""


def unfit(watch: SendingWatch, name: str, index: int, mode: str) -> DriverError | None:
    """Why an interface that runs the program in a mode would lose frames; None: as far as can be seen it does not."""
    if stripped := features.untagging(name, changeable=False):
        return DriverError(
            f"{name} takes VLAN tags off frames, which XDP then cannot tell from untagged ones, and its network driver "
            f"cannot be told not to ({', '.join(stripped)}: fixed)",
            remedy="--driver pcap",
        )
    if mode == GENERIC or ethtool.network_driver(name) in _SEND_UNSEGMENTED:
        return _coalesced(name)
    fault = watch.fault(name, index) if mode == NATIVE else None
    return DriverError(fault.what, remedy=fault.remedy) if fault else None


def _coalesced(name: str) -> DriverError | None:
    """A generic program cannot see that a frame stands for many (segmentation offload): it drops them as too big."""
    if ethtool.bus(name) in _SOFTWARE_BUSES:
        kind = ethtool.network_driver(name) or "a software interface"
        return DriverError(
            f"{name} ({kind}) has generic XDP only, and senders on this machine leave segmentation to it: "
            "generic XDP drops what is not cut yet",
            remedy="--driver pcap, or --interface with the network card itself",
        )
    if ethtool.has_gro(name):
        return DriverError(
            f"{name} has generic XDP only, and puts segments together (GRO) before it: generic XDP drops these",
            remedy=command("ethtool -K {} gro off", name),
        )
    return None
