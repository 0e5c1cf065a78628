"""What the registry of drivers asks of the XDP driver (`dataplane.drivers.registry.Registration`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.drivers.maps import layout
from dataplane.drivers.xdp import pins
from dataplane.errors import DriverError
from dataplane.forwarding.devices import How
from dataplane.kernel.objects import KernelObject

if TYPE_CHECKING:
    from dataplane.drivers.xdp.driver import XdpDriver
    from dataplane.drivers.xdp.replayer import ProgramReplayer


def supported() -> DriverError | None:
    """What this machine lacks for the program, with its remedy; None: nothing."""
    from dataplane.drivers.xdp import driver

    return driver.supported()


def prepare(instance: str, how: How) -> list[str]:
    """Nothing: interfaces are the kernel's."""
    return []


def unprepare(names: Sequence[str]) -> None:
    """Nothing."""


def runs(instance: str) -> bool:
    """Whether this machine runs a program of this layout for an instance, so that it can most likely load it."""
    try:
        return any(pins.links(pins.root(instance) / f"v{layout.LAYOUT}"))
    except DriverError:
        return False


def occupied(instance: str, interfaces: Mapping[str, int], how: How) -> DriverError | None:
    """The error for the first of these interfaces (index by name) that XDP cannot have (`attachment.occupied`); None:
    there is none."""
    from dataplane.drivers.xdp import attachment

    return attachment.occupied(instance, interfaces)


def start(
    instance: str, state: Path, interfaces: Mapping[str, int], clear: Callable[[], object], how: How
) -> XdpDriver:
    """The driver, which runs on these interfaces already. Raises DriverError, also where one of them would lose
    frames: what ran before runs on."""
    from dataplane.bpf.libbpf import LITTLE_MEMORY
    from dataplane.drivers.xdp.driver import XdpDriver

    try:
        made = XdpDriver(instance, state)
    except (OSError, MemoryError) as exc:
        raise DriverError(f"the XDP driver cannot start: {exc or 'no memory'}", remedy=LITTLE_MEMORY) from exc
    adopted = bool(list(made.attachments))
    try:
        clear()
        made.try_interfaces(interfaces)
    except BaseException:
        made.close(keep=adopted)
        raise
    return made


def remove(instance: str) -> list[KernelObject]:
    """End what a driver of this instance left to the kernel. Raises DriverError where it runs."""
    return pins.remove(instance)


def holder(instance: str, interface: int) -> pins.Holder | None:
    """The other engine of ours whose program is on an interface, if there is one. Raises DriverError."""
    from dataplane.drivers.xdp import attachment

    return attachment.holder(instance, interface)


def prepare_peer(interface: str) -> None:
    """Have an interface pass every frame through XDP (`attach_pass`). Raises DriverError."""
    from dataplane.drivers.xdp import attachment

    attachment.attach_pass(interface)


def replayer() -> ProgramReplayer:
    """The program, tried in the kernel. Raises DriverError."""
    from dataplane.drivers.xdp.replayer import ProgramReplayer

    return ProgramReplayer()
