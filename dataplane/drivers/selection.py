"""Chooses the driver that moves the frames: of those that are wanted, the first that can be had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dataplane.drivers import registry
from dataplane.drivers.registry import Entry, Holder, Wanted
from dataplane.errors import DriverError
from dataplane.forwarding.devices import NOTHING_SAID, How
from dataplane.forwarding.driver import Driver
from dataplane.kernel.objects import KernelObject


class _Refusal(NamedTuple):
    """Why a driver cannot be had."""

    error: DriverError  # to be raised where no other driver will do
    reason: str  # why another driver was taken instead


def choose(
    wanted: Wanted, instance: str, state: Path, interfaces: Mapping[str, int], how: How = NOTHING_SAID
) -> tuple[Driver, str]:
    """A driver and why it is this one. instance names the engine among all on this machine; state: its state directory;
    interfaces: index by name; how: they are driven.

    Raises DriverError when none can be had, naming what the last one lacks or what is in its place; also where another
    process is this engine's driver.
    """
    reasons = [wanted.reason] if wanted.reason else []
    for entry in wanted.entries:
        had = _start(entry, instance, state, interfaces, how)
        if not isinstance(had, _Refusal):
            if reasons and entry.slower > 1:
                reasons.append(f"{entry.title} forwards about {entry.slower} times fewer frames a second")
            fits = f"{entry.name} is configured" if len(wanted.entries) == 1 else f"the kernel allows {entry.title}"
            return had, "; ".join(reasons) or fits
        if entry is wanted.entries[-1]:
            raise had.error
        reasons.append(had.reason)
    raise DriverError("no driver is wanted")


def prepare(wanted: Wanted, instance: str, how: How) -> list[str]:
    """Make the host's interfaces that stand for devices of DPDK's. Returns the names of those that were not there.
    Raises DriverError."""
    return [name for entry in wanted.entries if entry.takes_devices for name in entry.load().prepare(instance, how)]


def unprepare(names: Sequence[str]) -> None:
    """Take such interfaces away again."""
    for entry in registry.DRIVERS if names else ():
        entry.load().unprepare(names)


def _start(entry: Entry, instance: str, state: Path, interfaces: Mapping[str, int], how: How) -> Driver | _Refusal:
    """One driver alone: what other drivers of this engine left running ends."""
    for device in how.devices.values() if not entry.takes_devices else ():
        if device.kind:
            what = f"{entry.title} takes interfaces by their names alone, and {device.name} is given as {device.kind}"
            error = DriverError(what, remedy="--driver dpdk")
            return _Refusal(error, _reason(entry, error))
    module = entry.load()
    runs = module.runs(instance)
    occupied: DriverError | None = None
    try:
        occupied = module.occupied(instance, interfaces, how)
        if occupied is None:
            return module.start(instance, state, interfaces, lambda: remove_leftovers(instance, but=entry), how)
        failed = occupied
    except DriverError as exc:
        failed = exc
    # What the machine lacks is asked where the start failed, not before: to look through a program takes the kernel a
    # quarter of a second.
    missing = None if runs and occupied else module.supported()
    if missing and not runs:
        remedy = missing.remedy or f"--driver {registry.AUTO} falls back to {registry.FALLBACK.name}"
        what = f"{entry.title} is wanted and cannot be had: {missing.what}"
        return _Refusal(DriverError(what, remedy=remedy), _reason(entry, missing))
    if occupied:
        return _Refusal(occupied, f"{entry.title} cannot be had: {occupied.what}; to have it: {occupied.remedy}")
    if runs and missing is None:  # another driver would end what forwards without this process
        raise failed
    return _Refusal(failed, _reason(entry, failed))


def _reason(entry: Entry, error: DriverError) -> str:
    """Why another driver was taken: the error's first line. libbpf's own words follow it, and are left out."""
    tries = f"; try: {error.remedy}" if error.remedy else ""
    what = error.what.partition("\n")[0]
    return f"{entry.title} cannot be had: {what}{tries}"


def holder(instance: str, interface: int) -> Holder | None:
    """The other engine of ours that forwards on an interface, if one does."""
    for entry in registry.DRIVERS:
        try:
            found = entry.load().holder(instance, interface)
        except DriverError:  # where the driver cannot be had, nobody does
            continue
        if found is not None:
            return found
    return None


def prepare_peer(choice: str | None, interface: str) -> None:
    """Prepare the far end of an engine's veth (`Registration.prepare_peer`) for the drivers that a choice may come to.
    choice: one of CHOICES; None: any driver. Raises DriverError."""
    for entry in registry.candidates(choice).entries if choice else registry.DRIVERS:
        module = entry.load()
        try:
            module.prepare_peer(interface)
        except DriverError:
            if module.supported() is None:  # asked afterwards: the kernel takes long to look through a program
                raise


def remove_leftovers(instance: str, *, but: Entry | None = None) -> list[KernelObject]:
    """Remove what drivers of an instance left behind, but for one. Returns what was there. Raises DriverError where one
    of them runs."""
    return [one for entry in registry.DRIVERS if entry is not but for one in entry.load().remove(instance)]
