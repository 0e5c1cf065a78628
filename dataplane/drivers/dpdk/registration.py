"""What the registry of drivers asks of the DPDK driver (`dataplane.drivers.registry.Registration`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.errors import DriverError
from dataplane.forwarding.devices import AF_XDP, Device, How
from dataplane.kernel.objects import INTERFACE, KernelObject

if TYPE_CHECKING:
    from dataplane.drivers.dpdk.driver import DpdkDriver
    from dataplane.drivers.dpdk.replayer import NativeReplayer
    from dataplane.drivers.xdp.pins import Holder


def supported() -> DriverError | None:
    """Whether the forwarder is built."""
    from dataplane.drivers.dpdk import program

    return program.missing()


def prepare(instance: str, how: How) -> list[str]:
    """Make the host's interfaces that stand for network cards. Returns the names of those that were not there. Raises
    DriverError."""
    from dataplane.drivers.dpdk import twin

    if not any(device.whole for device in how.devices.values()):
        return []
    if missing := supported():
        raise missing
    made: list[str] = []
    try:
        for device in how.devices.values():
            if device.whole and twin.make(device.name, instance):
                made.append(device.name)
    except DriverError:
        unprepare(made)
        raise
    return made


def unprepare(names: Sequence[str]) -> None:
    """Take them away again."""
    from dataplane.drivers.dpdk import twin

    for name in names:
        twin.remove(name)


def runs(instance: str) -> bool:
    """Whether a forwarder of this layout runs for an instance."""
    from dataplane.drivers.dpdk import process
    from dataplane.drivers.dpdk.folder import root
    from dataplane.drivers.maps import layout

    return process.is_there(root(instance) / f"v{layout.LAYOUT}")


def occupied(instance: str, interfaces: Mapping[str, int], how: How) -> DriverError | None:
    """The error for the first interface with AF_XDP sockets that has an XDP program of somebody else's; None: there is
    none."""
    from dataplane.drivers.xdp import attachment

    steered = {name: index for name, index in interfaces.items() if _device(how, name).kind == AF_XDP}
    return attachment.occupied(instance, steered)


def start(
    instance: str, state: Path, interfaces: Mapping[str, int], clear: Callable[[], object], how: How
) -> DpdkDriver:
    """The driver. Raises DriverError."""
    from dataplane.drivers.dpdk.driver import DpdkDriver

    if missing := supported():
        raise missing
    made = DpdkDriver(instance, state, {name: _device(how, name) for name in interfaces}, how.workers, how.queues)
    try:
        clear()
    except BaseException:
        made.close(keep=made.forwarder.adopted)
        raise
    return made


def remove(instance: str) -> list[KernelObject]:
    """End what a driver of this instance left. Raises DriverError where it runs."""
    from dataplane.drivers.dpdk import folder, twin
    from dataplane.drivers.pcap import hostguard
    from dataplane.drivers.xdp import pins

    found = folder.remove(instance)
    found += pins.remove(pins.steering(instance))
    with suppress(DriverError):  # without nftables there is no table
        found += hostguard.remove(pins.steering(instance))
    for name in twin.of(instance):
        found.append(KernelObject(INTERFACE, name))
        twin.remove(name)
    return found


def holder(instance: str, interface: int) -> Holder | None:
    """None: the XDP driver tells of these, too, because the steering program is pinned like its own."""
    return None


def prepare_peer(interface: str) -> None:
    """Nothing: a veth takes what sockets send."""


def replayer() -> NativeReplayer:
    """The native decision."""
    from dataplane.drivers.dpdk.replayer import NativeReplayer

    return NativeReplayer()


def _device(how: How, name: str) -> Device:
    """An interface's device; AF_XDP sockets where nothing else is said."""
    there = how.devices.get(name)
    return there if there is not None and there.kind else Device(AF_XDP, name, name)
