"""Removes what an engine that no longer runs left in the kernel. The owners that keep it for a running engine remove
it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dataplane.drivers import selection
from dataplane.health.probepaths import ProbePaths
from dataplane.health.probes import script
from dataplane.kernel.objects import FOLDER, KernelObject
from dataplane.network import settings
from dataplane.network.settings import KernelSettings


def record(state: Path, name: str) -> Path:
    """The file in which an engine records settings before it changes them."""
    return state / "run" / f"{name}.settings"


async def remove(instance: str, written: Path) -> Sequence[KernelObject]:
    """Take away what an engine left. instance: its name among all on this machine; written: its record. Returns what
    was there. Raises DriverError where a driver of it runs, NetworkError.

    Rules and routes of probes, and scripts of monitors, do not tell whose they are: those of all engines that run no
    more go.
    """
    removed = selection.remove_leftovers(instance)
    paths = ProbePaths()
    try:
        removed += await paths.clean()
    finally:
        await paths.close()
    removed += [KernelObject(FOLDER, folder) for folder in script.clear()]
    if not settings.elsewhere(written):
        removed += KernelSettings(written).close()
    return removed
