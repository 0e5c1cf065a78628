"""What the registry of drivers asks of the pcap driver (`dataplane.drivers.registry.Registration`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.errors import DriverError
from dataplane.forwarding.devices import How
from dataplane.kernel.objects import KernelObject

if TYPE_CHECKING:
    from dataplane.drivers.pcap.driver import PcapDriver
    from dataplane.drivers.pcap.replayer import ReferenceReplayer


def supported() -> DriverError | None:
    """None: every machine has packet sockets. What they lack the start tells."""
    return None


def prepare(instance: str, how: How) -> list[str]:
    """Nothing: interfaces are the kernel's."""
    return []


def unprepare(names: Sequence[str]) -> None:
    """Nothing."""


def runs(instance: str) -> bool:
    """False: its forwarding ends with its process."""
    return False


def occupied(instance: str, interfaces: Mapping[str, int], how: How) -> DriverError | None:
    """None: an interface has any number of packet sockets."""
    return None


def start(
    instance: str, state: Path, interfaces: Mapping[str, int], clear: Callable[[], object], how: How
) -> PcapDriver:
    """The driver. Raises DriverError."""
    from dataplane.drivers.pcap.driver import PcapDriver

    clear()
    return PcapDriver(instance)


def remove(instance: str) -> list[KernelObject]:
    """Remove the packet filter that a killed driver of this instance left. Raises DriverError where it runs."""
    from dataplane.drivers.pcap import hostguard

    with hostguard.claim(instance), suppress(DriverError):  # without nftables there is none
        return hostguard.remove(instance)
    return []


def holder(instance: str, interface: int) -> None:
    """None: packet sockets keep no other engine from an interface."""
    return


def prepare_peer(interface: str) -> None:
    """Nothing: a veth takes what a packet socket sends."""


def replayer() -> ReferenceReplayer:
    """The reference decision."""
    from dataplane.drivers.pcap.replayer import ReferenceReplayer

    return ReferenceReplayer()
