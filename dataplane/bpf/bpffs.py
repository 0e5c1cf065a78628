"""The BPF file system, where pins are."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from dataplane.errors import DriverError, command

BPFFS = Path("/sys/fs/bpf")
BPF_FS_MAGIC = 0xCAFE4A11  # linux/magic.h

_mounted_here = False


def file_system() -> Path:
    """The BPF file system, mounted in this mount namespace if it was not. Raises DriverError."""
    global _mounted_here
    if _is_bpffs(BPFFS):
        return BPFFS
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(BPFFS), b"bpf", 0, b"mode=0700"):
        reason = os.strerror(ctypes.get_errno())
        mount = command("mount -t bpf bpf {}", BPFFS)
        remedy = f"run as root: {mount}" if os.geteuid() else mount
        raise DriverError(f"{BPFFS} has no BPF file system, and it cannot be mounted: {reason}", remedy=remedy)
    _mounted_here = True
    return BPFFS


def is_private() -> bool:
    """Whether the BPF file system belongs to this mount namespace alone, and so ends with the namespace's last process.
    That is so where the process that this one descends from has another, as far as it can be looked at."""
    if os.getpid() == 1:  # of a container: what it finds mounted at its start was given to it
        return _mounted_here
    own, outermost = BPFFS.stat().st_dev, None
    process = os.getppid()
    while process:
        try:
            outermost = os.stat(f"/proc/{process}/root{BPFFS}").st_dev
        except PermissionError:
            pass
        except OSError:
            break
        process = _parent(process)
    return outermost is not None and outermost != own


def _parent(process: int) -> int:
    """The process that started another one; 0 where there is none to be seen."""
    try:
        told = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
    except OSError:
        return 0
    return int(told.rpartition(")")[2].split()[1])


def _is_bpffs(path: Path) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)  # struct statfs begins with f_type, a long
    if libc.statfs(os.fsencode(path), buffer):
        return False
    return int.from_bytes(buffer.raw[:4], "little") == BPF_FS_MAGIC
