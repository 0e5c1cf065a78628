"""What XDP drivers pinned, of all engines on this machine: whose it is, whether its engine runs, and its end.

    /sys/fs/bpf/avi-se/INSTANCE/state                    a symbolic link to the engine's state directory
    /sys/fs/bpf/avi-se/INSTANCE/vLAYOUT/MAP              one pin a map
    /sys/fs/bpf/avi-se/INSTANCE/vLAYOUT/link-IFINDEX     one pin an interface

A driver holds a lock (flock(2)) on its instance's folder: two that publish through the same maps would undo each
other's tables. The lock in the state directory is not enough: that directory may be removed, or be another one of the
same name in a container that shares the BPF file system.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dataplane.bpf import bpffs
from dataplane.bpf.links import Link
from dataplane.drivers.maps import folderlock
from dataplane.errors import DriverError, command
from dataplane.kernel.objects import LINK as LINK_KIND
from dataplane.kernel.objects import PIN, KernelObject
from dataplane.runtime import locks

LINK = "link-"
SOCKETS = "sockets"
"""The pin that the DPDK driver's steering has beside its links, and no other program of ours."""
_STATE = "state"
_STEERING = "dpdk-"


@dataclass(frozen=True, slots=True)
class Holder:
    """Another engine of ours whose program is on an interface."""

    folder: Path  # of its pins
    name: str
    state: Path | None  # its state directory; None: it left none
    runs: bool  # False: it ended, and left its program to the kernel
    process: int  # of the running engine; 0: it is not to be seen from here

    def __str__(self) -> str:
        process = f", process {self.process}" if self.process else ""
        whose = f"service engine {self.name}" + (f" of {self.state}" if self.state else "")
        return f"{whose}{process}" if self.runs else f"what {whose} left to the kernel"

    @property
    def remedy(self) -> str:
        """What gives the interface to another engine without harm."""
        if self.runs:
            end = f"; or end that engine first: {command('kill {}', self.process)}" if self.process else ""
            return f"give this engine other interfaces, by --interface{end}"
        if self.state is not None and self.state.is_dir():
            return command("avi-se clean --state {} --name {}", self.state, self.name)
        return command("rm -r {}", self.folder)  # its state is gone, or in a container


class Pins:
    """The folder of one instance, locked until `close`. Raises DriverError where another process has it."""

    def __init__(self, instance: str, state: Path | None = None) -> None:
        self._instance = instance
        self._state = None if state is None else state.resolve()
        self.root = root(instance)
        self._lock = folderlock.held(self.root)
        self._put_mark()

    @property
    def mark(self) -> Path:
        """The symbolic link to the state directory."""
        return self.root / _STATE

    @property
    def has_state(self) -> bool:
        """Whether the state directory is known, and so the mark is to be there."""
        return self._state is not None

    def renew(self) -> None:
        """Have the folder, its lock and its mark again where somebody removed them. Raises DriverError, OSError."""
        root(self._instance)  # mounts the file system
        if not locks.names(self.root, self._lock):
            self.close()
            self._lock = folderlock.held(self.root)
        if not self.mark.is_symlink():
            self._put_mark()

    def _put_mark(self) -> None:
        if self._state is not None:
            self.mark.unlink(missing_ok=True)
            self.mark.symlink_to(self._state)

    def hold_links(self) -> bool:
        """Whether a program is kept on an interface."""
        return any(path for layout in _layouts(self.root) for path in links(layout))

    def clear(self) -> list[KernelObject]:
        """Remove all pins, links first: what is not pinned ends. The folder and its lock stay. Returns what was
        there."""
        found: list[KernelObject] = []
        for layout in _layouts(self.root):
            for path in links(layout):
                with suppress(DriverError), Link.pinned(path) as link:
                    found.append(KernelObject(LINK_KIND, f"of interface {link.interface}"))
                    link.detach()
            for path in sorted(layout.iterdir()):
                found.append(KernelObject(PIN, str(path)))
                path.unlink(missing_ok=True)
            layout.rmdir()
        return found

    def remove(self) -> list[KernelObject]:
        """Remove all pins and the folder. Returns what was there."""
        found = self.clear()
        with suppress(FileNotFoundError):  # somebody else removed it
            self.mark.unlink(missing_ok=True)
            self.root.rmdir()
        with suppress(OSError):  # another instance's pins are there
            self.root.parent.rmdir()
        return found

    def close(self) -> None:
        """Release the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def remove(instance: str) -> list[KernelObject]:
    """End what a driver of this instance left running, and remove its pins. Returns what was there. Raises DriverError
    where it runs."""
    try:
        there = root(instance).is_dir()
    except DriverError:  # without a BPF file system nothing was left
        return []
    if not there:
        return []
    pins = Pins(instance)
    try:
        return pins.remove()
    finally:
        pins.close()


def steering(instance: str) -> str:
    """The name under which an instance's DPDK driver pins what steers frames to it: drivers keep their pins apart."""
    return f"{_STEERING}{instance}"


def own_programs(instance: str) -> set[int]:
    """The ids of the programs that this instance's links attach, whichever driver's: the one that starts ends what the
    other one left."""
    return _programs(root(instance)) | _programs(root(steering(instance)))


def holder(program: int) -> Holder | None:
    """The engine of ours whose program this is; None where it is somebody else's."""
    folder = bpffs.file_system() / "avi-se"
    for each in sorted(folder.iterdir()) if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # its engine is just removing it
            if program in _programs(each):
                return _holder(each)
    return None


def root(instance: str) -> Path:
    """The folder of an instance. Raises DriverError where there is no BPF file system."""
    return bpffs.file_system() / "avi-se" / _name(instance)


def links(layout: Path) -> Iterator[Path]:
    """The pins of links in one layout's folder."""
    if layout.is_dir():
        yield from sorted(path for path in layout.iterdir() if path.name.startswith(LINK))


def _layouts(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.is_symlink() and path.is_dir()] if folder.is_dir() else []


def _programs(folder: Path) -> set[int]:
    found = set()
    for layout in _layouts(folder):
        for path in links(layout):
            with suppress(DriverError), Link.pinned(path) as link:
                found.add(link.program_id)
    return found


def _holder(folder: Path) -> Holder:
    name = re.sub(r"%([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), folder.name)
    name = re.sub(r"-[0-9a-f]{12}$", "", name)
    if any((layout / SOCKETS).exists() for layout in _layouts(folder)):
        name = name.removeprefix(_STEERING)
    state = None
    with suppress(OSError):
        state = (folder / _STATE).readlink()
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        runs = not locks.take(held)
    finally:
        os.close(held)
    return Holder(folder, name, state, runs, locks.holder(folder) if runs else 0)


def _name(instance: str) -> str:
    """An instance as a directory's name: the BPF file system refuses dots."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f"%{ord(found.group()):x}", instance)
