"""The folder in memory of an engine's maps, which its forwarder reads: made, locked, removed.

    /run/avi-se/INSTANCE/vLAYOUT/MAP        one file a map
    /run/avi-se/INSTANCE/vLAYOUT/control    the forwarder's socket

Where /run is no file system in memory, /dev/shm stands for it. A driver holds a lock (flock(2)) on its instance's
folder.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from dataplane.drivers.dpdk import process
from dataplane.drivers.maps import folderlock, layout
from dataplane.errors import DriverError, command
from dataplane.kernel.objects import PROCESS, KernelObject

_MOUNTS = Path("/proc/self/mounts")


class Folder:
    """The folder of one instance, locked until `close`. Raises DriverError where another process has it."""

    def __init__(self, instance: str) -> None:
        self.root = root(instance)
        self._lock = _lock(self.root)

    @property
    def maps(self) -> Path:
        """The folder of the maps of this layout."""
        return self.root / f"v{layout.LAYOUT}"

    def make(self) -> None:
        """Make the folder of this layout, and remove all others with the forwarders that run on them."""
        for other in self.root.iterdir():
            if other != self.maps:
                process.stop(other)
                shutil.rmtree(other)
        self.maps.mkdir(mode=0o700, exist_ok=True)

    def clear(self) -> list[KernelObject]:
        """End the forwarder, and remove all that lies here. Returns what was there."""
        found = []
        for path in self.root.iterdir():
            if process.stop(path):
                found.append(KernelObject(PROCESS, f"forwarder on {path}"))
            shutil.rmtree(path)
        return found

    def remove(self) -> list[KernelObject]:
        """As `clear`; removes the folder itself, too."""
        found = self.clear()
        with suppress(OSError):
            self.root.rmdir()
        with suppress(OSError):  # another instance's is there
            self.root.parent.rmdir()
        return found

    def close(self) -> None:
        """Release the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def root(instance: str) -> Path:
    """The folder of an instance."""
    name = re.sub(r"[^A-Za-z0-9_.-]", lambda found: f"%{ord(found.group()):x}", instance)
    return _in_memory() / "avi-se" / name


def remove(instance: str) -> list[KernelObject]:
    """End what a driver of this instance left running, and remove its folder. Returns what was there. Raises
    DriverError where it runs."""
    if not root(instance).is_dir():
        return []
    held = Folder(instance)
    try:
        return held.remove()
    finally:
        held.close()


def _in_memory() -> Path:
    mounted = {words[1]: words[2] for words in map(str.split, _MOUNTS.read_text("utf-8").splitlines())}
    return Path("/run" if mounted.get("/run") == "tmpfs" else "/dev/shm")


def _lock(folder: Path) -> int:
    """Make a folder that is this user's alone, and lock it. Returns the descriptor. Raises DriverError."""
    folder.parent.mkdir(mode=0o755, exist_ok=True)

    def check() -> None:
        there = folder.lstat()
        if there.st_uid != os.geteuid() or there.st_mode & 0o077:
            raise DriverError(f"{folder} is not this user's alone", remedy=command("rm -r {}", folder))

    return folderlock.held(folder, check)
