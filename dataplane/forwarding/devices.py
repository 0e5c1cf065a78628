"""How an interface is reached, as `--interface` names it: by the kernel's name alone, or by a device of DPDK's.

eth0                     as the driver does it by itself
af_xdp:eth0              AF_XDP sockets of eth0
af_packet:eth0           packet sockets of eth0
pci:0000:01:00.0=eth1    a network card that is taken from the kernel whole; the host has it as eth1
af_packet:nic=eth1       the same with packet sockets in the card's place
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dataplane.errors import DriverError

AF_XDP, AF_PACKET, PCI = "af_xdp", "af_packet", "pci"
FAR_END = "-dp"
"""Behind a name: the far end of the veth by which the host has an interface that is taken whole."""
LONGEST = 15
"""Bytes of an interface's name."""
FORMS = "af_xdp:NAME, af_packet:NAME, af_packet:OTHER=NAME or pci:0000:01:00.0=NAME"
"""All forms but a name alone, for messages."""
_NAME = re.compile(r"[^\s/:=]{1,15}")
_ADDRESS = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")


@dataclass(frozen=True, slots=True)
class Device:
    """What stands behind an interface."""

    kind: str  # one of those above; "" for what the driver takes by itself
    where: str  # an interface of the kernel's, or an address on the PCI bus
    name: str  # of the interface that is served
    whole: bool = False  # it is taken whole: the host has it as `name`

    @property
    def far_end(self) -> str:
        """The other end of the host's veth; "" where it has none."""
        return self.name + FAR_END if self.whole else ""


@dataclass(frozen=True, slots=True)
class How:
    """How an engine's interfaces are driven, as far as the operator said so."""

    devices: Mapping[str, Device] = field(default_factory=dict)  # by the names of their interfaces
    workers: int = 0  # threads that move frames, where the driver has any; 0: as it thinks best
    queues: int = 1  # of an interface, where the driver opens them


NOTHING_SAID = How()


def parse(text: str) -> Device:
    """A device, as it is given. Raises DriverError naming what is expected."""
    kind, _, rest = text.rpartition(":") if not text.startswith(f"{PCI}:") else (PCI, ":", text[len(PCI) + 1 :])
    where, whole, name = rest.partition("=")
    name = name if whole else where
    known = kind in ("", AF_XDP, AF_PACKET, PCI) and not (kind == "" and whole)
    where_fits = (_ADDRESS if kind == PCI else _NAME).fullmatch(where) is not None
    if not known or not where_fits or not _NAME.fullmatch(name) or (kind == PCI and not whole):
        raise DriverError(f"{text!r} names no interface: expected NAME, {FORMS}")
    if kind == AF_XDP and whole:
        raise DriverError(f"{text!r}: AF_XDP leaves the interface to the host, and needs no other name")
    if whole and len(name) > LONGEST - len(FAR_END):
        raise DriverError(f"{text!r}: {name} is longer than {LONGEST - len(FAR_END)} bytes")
    return Device(kind, where, name, bool(whole))
